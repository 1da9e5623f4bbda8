//! One connection from its first byte to its last.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{Router, body::Body, routing::future::RouteFuture};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::{body::Incoming, rt::Executor};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_util::{sync::WaitForCancellationFuture, task::TaskTracker};

use super::{
    BodyLimits, Drain, PeerAddr,
    activity::{Activity, Due, PARTING, Timeouts, Verdict},
    body::{self, InFlight, WatchedBody},
    io::{ConnectionIo, Protocol},
    stats::{ConnectionStats, TimeoutPhase},
};

/// Concurrent HTTP/2 streams of one connection.
const HTTP2_MAX_STREAMS: u32 = 100;

/// The answer to a head that came too slowly. It is written past the protocol
/// library, which has no request to answer.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What all connections of a server have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) router: Router,
    pub(super) timeouts: Timeouts,
    pub(super) body: BodyLimits,
    pub(super) max_head_bytes: usize,
    pub(super) drain: Drain,
    pub(super) stats: Arc<ConnectionStats>,
    pub(super) tasks: TaskTracker,
}

/// Serves `stream` until either side is done with it.
pub(super) async fn run(stream: TcpStream, peer: PeerAddr, common: Arc<Common>) {
    let activity = Arc::new(Activity::new(common.timeouts, Arc::clone(&common.stats)));
    let mut io = ConnectionIo::new(stream, Arc::clone(&activity));
    let sleep = pin!(tokio::time::sleep(common.timeouts.first_byte));
    let closing = pin!(common.drain.closing_future());
    let cut = pin!(common.drain.cut_future());
    let mut driver = Driver {
        activity: &activity,
        common: &common,
        sleep,
        sleeping: false,
        closing,
        cut,
        listening: false,
        leaving: false,
    };

    let sniffed = driver.drive(Pin::new(&mut Sniff(&mut io))).await;
    let service = Requests { common: Arc::clone(&common), activity: Arc::clone(&activity), peer };
    let end = match sniffed {
        End::Done(Ok(Some(Protocol::Http1))) => {
            let mut connection = hyper::server::conn::http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(common.max_head_bytes)
                .serve_connection(TokioIo::new(io), service);
            let end = driver.drive(Pin::new(&mut connection)).await;
            if let End::TimedOut(TimeoutPhase::Head) = end {
                let io = connection.into_parts().io;
                io.inner().write_now(HEAD_TIMEOUT);
            }
            end.map(|outcome| outcome.map_err(Into::into))
        }
        End::Done(Ok(Some(Protocol::Http2))) => {
            let tasks = Tasks(common.tasks.clone());
            let max_head = u32::try_from(common.max_head_bytes).unwrap_or(u32::MAX);
            let connection = hyper::server::conn::http2::Builder::new(tasks)
                .max_concurrent_streams(HTTP2_MAX_STREAMS)
                .max_header_list_size(max_head)
                .serve_connection(TokioIo::new(io), service);
            let mut connection = pin!(connection);
            let end = driver.drive(connection.as_mut()).await;
            end.map(|outcome| outcome.map_err(Into::into))
        }
        end => end.map(|outcome| outcome.map(|_| ()).map_err(Into::into)),
    };

    match end {
        // Peers vanish and send nonsense all day.
        End::Done(Err(error)) => {
            let error: axum::BoxError = error;
            tracing::debug!(peer = %peer.0, error = &*error, "connection failed");
        }
        End::TimedOut(phase) => {
            tracing::debug!(peer = %peer.0, phase = phase.as_str(), "connection timed out");
        }
        End::Aborted => common.stats.connection_aborted(),
        End::Done(Ok(())) | End::Parted => {}
    }
}

/// How a stage of a connection ended.
enum End<T> {
    Done(T),
    TimedOut(TimeoutPhase),
    /// It was told to leave and took too long.
    Parted,
    /// The drain was cut.
    Aborted,
}

impl<T> End<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> End<U> {
        match self {
            Self::Done(done) => End::Done(f(done)),
            Self::TimedOut(phase) => End::TimedOut(phase),
            Self::Parted => End::Parted,
            Self::Aborted => End::Aborted,
        }
    }
}

/// What the driver drives: recognizing the protocol, then speaking it.
trait Stage {
    type Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// Asks it to end once the requests in flight are answered.
    fn leave(self: Pin<&mut Self>);
}

struct Sniff<'a>(&'a mut ConnectionIo);

impl Stage for Sniff<'_> {
    type Output = io::Result<Option<Protocol>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_sniff(cx)
    }

    // The activity's parting limit ends it: a request may be on its way.
    fn leave(self: Pin<&mut Self>) {}
}

type Http1 = hyper::server::conn::http1::Connection<TokioIo<ConnectionIo>, Requests>;

impl Stage for Http1 {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Future::poll(self, cx)
    }

    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

type Http2 = hyper::server::conn::http2::Connection<TokioIo<ConnectionIo>, Requests, Tasks>;

impl Stage for Http2 {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Future::poll(self, cx)
    }

    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls a connection and ends it when a limit or the drain says so.
struct Driver<'a, 'drain> {
    activity: &'a Activity,
    common: &'a Common,
    /// The connection's one timer.
    sleep: Pin<&'a mut Sleep>,
    /// The timer has been polled since it was set, so it will wake the task.
    sleeping: bool,
    closing: Pin<&'a mut WaitForCancellationFuture<'drain>>,
    cut: Pin<&'a mut WaitForCancellationFuture<'drain>>,
    /// The same for the drain's two events. The waker of a task stays the
    /// same, so one poll is enough and later ones would only take locks.
    listening: bool,
    leaving: bool,
}

impl Driver<'_, '_> {
    async fn drive<S: Stage>(&mut self, mut stage: Pin<&mut S>) -> End<S::Output> {
        let mut told = false;
        std::future::poll_fn(|cx| self.poll(cx, stage.as_mut(), &mut told)).await
    }

    fn poll<S: Stage>(
        &mut self,
        cx: &mut Context<'_>,
        mut stage: Pin<&mut S>,
        told: &mut bool,
    ) -> Poll<End<S::Output>> {
        if !self.listening {
            self.listening = true;
            let _ = self.closing.as_mut().poll(cx);
            let _ = self.cut.as_mut().poll(cx);
        }
        loop {
            if self.common.drain.is_cut() {
                return Poll::Ready(if self.activity.is_busy() { End::Aborted } else { End::Parted });
            }
            // Before it is told to leave it reads once more, so that a request
            // that has arrived already is answered.
            if let Poll::Ready(done) = stage.as_mut().poll(cx) {
                return Poll::Ready(End::Done(done));
            }
            if !*told && (self.leaving || self.common.drain.is_closing()) {
                *told = true;
                self.leaving = true;
                self.activity.part();
                stage.as_mut().leave();
                continue;
            }
            match ready!(self.poll_limits(cx)) {
                Due::Timeout(TimeoutPhase::Idle) => {
                    self.common.stats.ran_out(TimeoutPhase::Idle);
                    self.leaving = true;
                }
                Due::Timeout(phase) => {
                    self.common.stats.ran_out(phase);
                    return Poll::Ready(End::TimedOut(phase));
                }
                Due::Parting => return Poll::Ready(End::Parted),
            }
        }
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        // Limits mostly move away; then the timer fires early, once, and is
        // set anew. Only a nearer limit makes it worth touching.
        if let Some(at) = self.activity.next_limit()
            && at < self.sleep.deadline()
        {
            self.set_timer(at);
        }
        loop {
            if self.sleeping && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            self.sleeping = true;
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            // HTTP/2 streams have tasks of their own, whose progress does not
            // wake this one: look again before a limit they start can end.
            let soon = now + if self.leaving { PARTING } else { self.common.timeouts.shortest() };
            match self.activity.check(now) {
                Verdict::Over(due) => return Poll::Ready(due),
                Verdict::Until(at) if self.activity.is_http2() => self.set_timer(at.min(soon)),
                Verdict::Until(at) => self.set_timer(at),
                Verdict::Free => self.set_timer(soon),
            }
        }
    }

    fn set_timer(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.sleeping = false;
    }
}

/// Runs HTTP/2 streams where the server's shutdown waits for them.
#[derive(Clone, Debug)]
struct Tasks(TaskTracker);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        drop(self.0.spawn(stream));
    }
}

/// Hands the requests of one connection to the router.
#[derive(Debug)]
struct Requests {
    common: Arc<Common>,
    activity: Arc<Activity>,
    peer: PeerAddr,
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<WatchedBody>;
    type Error = Infallible;
    type Future = Responding;

    fn call(&self, mut request: Request<Incoming>) -> Responding {
        let has_body = !request.body().is_end_stream();
        let version = request.version();
        let in_flight = InFlight::begin(Arc::clone(&self.activity), has_body);
        request.extensions_mut().insert(self.peer);
        let request = if has_body {
            body::pace(request, self.common.body, &self.activity)
        } else {
            request.map(|_| Body::empty())
        };
        Responding {
            route: tower::Service::call(&mut self.common.router.clone(), request),
            in_flight: Some(in_flight),
            common: Arc::clone(&self.common),
            version,
        }
    }
}

pin_project! {
    /// A request on its way through the router.
    struct Responding {
        #[pin]
        route: RouteFuture<Infallible>,
        in_flight: Option<InFlight>,
        common: Arc<Common>,
        version: Version,
    }
}

impl Future for Responding {
    type Output = Result<Response<WatchedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.route.poll(cx));
        let in_flight = this.in_flight.take().expect("a future is not polled after it is ready");
        // From the first moment of a drain, so that busy connections have moved
        // to another node before the listener closes and nothing is in transit.
        if *this.version < Version::HTTP_2
            && (this.common.drain.is_draining() || in_flight.activity().has_body_timed_out())
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| WatchedBody::new(body, in_flight))))
    }
}
