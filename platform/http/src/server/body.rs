//! Request bodies that must keep coming, response bodies that are watched.
//!
//! Only time spent waiting for the peer counts. A handler that takes its time
//! between two reads (a slow disk behind an upload) is not the peer's fault,
//! and the request timeout bounds it.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::{Buf, Bytes};
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tower::{Layer, Service};

use super::activity::Activity;

/// How fast a request body must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Longest wait for the next chunk. Default 5 s.
    pub idle: Duration,
    /// Longest wait in all, before [`min_rate`](Self::min_rate) adds to it.
    /// Default 10 s.
    pub total: Duration,
    /// Bytes that earn one more second in all. At this rate or faster a body
    /// of any size gets through; one that drips a few bytes at a time ends
    /// little later than `total`. Bytes per second, at least 1. Default 1024.
    pub min_rate: u32,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(5), total: Duration::from_secs(10), min_rate: 1024 }
    }
}

impl BodyLimits {
    fn allowance(&self, received: u64) -> Duration {
        let earned_ms = received.saturating_mul(1000) / u64::from(self.min_rate.max(1));
        self.total.saturating_add(Duration::from_millis(earned_ms))
    }
}

/// A request body came too slowly. The answer is 408.
///
/// It reaches whoever reads the body inside other errors (axum's, a JSON
/// reader's): [`BodyTimeout::find`] looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyTimeout {
    /// Bytes of the body received until then.
    pub received: u64,
}

impl BodyTimeout {
    /// The timeout behind `error`: itself or one of its sources.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(timeout) = error.downcast_ref() {
                return Some(timeout);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for BodyTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request body came too slowly: {} bytes until the time was up", self.received)
    }
}

impl StdError for BodyTimeout {}

/// The limits of one request's body, as a request extension.
///
/// Whoever knows better than the server's default (an upload route) changes
/// them before the body is read; [`BodyDeadline`] does so for a route.
/// Requests without a body have no such extension.
#[derive(Clone, Debug)]
pub struct BodyPace {
    limits: Arc<Mutex<BodyLimits>>,
}

impl BodyPace {
    fn new(limits: BodyLimits) -> Self {
        Self { limits: Arc::new(Mutex::new(limits)) }
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> BodyLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets other limits, from the next wait on.
    pub fn set(&self, limits: BodyLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

/// Layer that gives the request bodies of a route limits of its own.
///
/// Under [`serve`](super::serve) it replaces the server's limits, looser or
/// stricter; elsewhere (a router called in process) it puts limits on the body.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyDeadline {
    limits: BodyLimits,
}

impl BodyDeadline {
    /// A layer with these limits.
    #[must_use]
    pub const fn new(limits: BodyLimits) -> Self {
        Self { limits }
    }
}

impl<S> Layer<S> for BodyDeadline {
    type Service = BodyDeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyDeadlineService { inner, limits: self.limits }
    }
}

/// The service that [`BodyDeadline`] makes.
#[derive(Clone, Debug)]
pub struct BodyDeadlineService<S> {
    inner: S,
    limits: BodyLimits,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for BodyDeadlineService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        if let Some(pace) = request.extensions().get::<BodyPace>() {
            pace.set(self.limits);
        } else if !request.body().is_end_stream() {
            let pace = BodyPace::new(self.limits);
            request.extensions_mut().insert(pace.clone());
            request = request.map(|body| Body::new(PacedBody::new(body, pace, None)));
        }
        self.inner.call(request)
    }
}

pin_project! {
    /// A request body that fails with [`BodyTimeout`] when it comes too slowly.
    pub(super) struct PacedBody<B> {
        #[pin]
        inner: B,
        // Made at the first wait: most bodies are there when they are read.
        #[pin]
        timer: Option<Sleep>,
        pace: BodyPace,
        received: u64,
        waited: Duration,
        waiting_since: Option<Instant>,
        report: Report,
    }
}

/// Tells the connection when the body is dropped before its end.
struct Report {
    activity: Option<Arc<Activity>>,
    ended: bool,
    timed_out: bool,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(activity) = self.activity.as_ref().filter(|_| !self.ended) {
            activity.body_abandoned();
        }
    }
}

impl<B: HttpBody> PacedBody<B> {
    fn new(inner: B, pace: BodyPace, activity: Option<Arc<Activity>>) -> Self {
        Self {
            inner,
            timer: None,
            pace,
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            report: Report { activity, ended: false, timed_out: false },
        }
    }
}

/// Puts a request that came over `activity`'s connection under `limits`.
pub(super) fn pace<B>(request: Request<B>, limits: BodyLimits, activity: &Arc<Activity>) -> Request<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    let pace = BodyPace::new(limits);
    parts.extensions.insert(pace.clone());
    let body = PacedBody::new(body, pace, Some(Arc::clone(activity)));
    Request::from_parts(parts, Body::new(body))
}

impl<B> HttpBody for PacedBody<B>
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if this.report.timed_out {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = this.inner.as_mut().poll_frame(cx) {
            if let Some(since) = this.waiting_since.take() {
                *this.waited += since.elapsed();
            }
            match &next {
                Some(Ok(frame)) => {
                    let len = frame.data_ref().map_or(0, Buf::remaining);
                    *this.received += len as u64;
                    this.report.ended = this.inner.is_end_stream();
                }
                Some(Err(_)) => {}
                None => this.report.ended = true,
            }
            return Poll::Ready(next.map(|frame| frame.map_err(Into::into)));
        }

        let since = *this.waiting_since.get_or_insert_with(Instant::now);
        let limits = this.pace.limits();
        let left = limits.allowance(*this.received).saturating_sub(*this.waited).min(limits.idle);
        let deadline = since + left;
        match this.timer.as_mut().as_pin_mut() {
            None => this.timer.set(Some(tokio::time::sleep_until(deadline))),
            Some(timer) if deadline < timer.deadline() => timer.reset(deadline),
            Some(_) => {}
        }
        while let Some(mut timer) = this.timer.as_mut().as_pin_mut() {
            ready!(timer.as_mut().poll(cx));
            if deadline > Instant::now() {
                // Armed for an earlier wait.
                timer.reset(deadline);
                continue;
            }
            break;
        }
        this.report.timed_out = true;
        if let Some(activity) = &this.report.activity {
            activity.body_timed_out();
        }
        let received = *this.received;
        Poll::Ready(Some(Err(Box::new(BodyTimeout { received }))))
    }

    fn is_end_stream(&self) -> bool {
        self.report.timed_out || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Counts a request as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    had_body: bool,
}

impl InFlight {
    pub(super) fn begin(activity: Arc<Activity>, had_body: bool) -> Self {
        activity.request_began();
        Self { activity, had_body }
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.request_ended(self.had_body);
    }
}

/// Largest chunk handed to HTTP/2 at once. The library takes a chunk whole as
/// soon as the peer has room for one byte of it, so this is what a peer that
/// opens streams and takes nothing can make each of them hold.
const HTTP2_CHUNK: usize = 16 * 1024;

pin_project! {
    /// A response body on its way to the peer.
    ///
    /// It keeps its request in flight, and on HTTP/2 tells when the peer's flow
    /// control holds a chunk back: nothing waits in the socket then, so the
    /// socket cannot tell.
    pub(super) struct WatchedBody {
        #[pin]
        inner: Body,
        rest: Bytes,
        // Declared before the guard: a stream stops being stalled before its
        // request ends.
        stall: Option<Stall>,
        http2: bool,
        in_flight: InFlight,
    }
}

/// A chunk that the peer has not made room for yet.
struct Stall {
    activity: Arc<Activity>,
    bytes: u64,
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.activity.stream_moved(self.bytes);
    }
}

impl WatchedBody {
    pub(super) fn new(inner: Body, in_flight: InFlight) -> Self {
        Self { inner, rest: Bytes::new(), stall: None, http2: in_flight.activity.is_http2(), in_flight }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut this = self.project();
        if !*this.http2 {
            return this.inner.poll_frame(cx);
        }
        // Being asked for more means that the last chunk went out.
        *this.stall = None;
        let chunk = if this.rest.is_empty() {
            match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => {
                        *this.rest = data.split_off(data.len().min(HTTP2_CHUNK));
                        data
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        } else {
            this.rest.split_to(this.rest.len().min(HTTP2_CHUNK))
        };
        let activity = &this.in_flight.activity;
        activity.stream_stalled();
        *this.stall = Some(Stall { activity: Arc::clone(activity), bytes: chunk.len() as u64 });
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(inner.lower() + rest);
        hint
    }
}
