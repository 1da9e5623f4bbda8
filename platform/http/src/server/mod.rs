//! The accept loop: TCP connections in, requests to the router.
//!
//! One decision shapes it: every moment of a connection belongs to a phase
//! with a limit. A peer that sends nothing, drips a head or a body, sits idle
//! or does not read its answer is cut when that phase's time is up, whatever
//! the protocol library knows of it. The limits:
//!
//! | phase | begins | limit | end |
//! | --- | --- | --- | --- |
//! | first byte | accept | `first_byte_timeout` | closed |
//! | head | its first byte | `head_timeout` in all | 408 and closed (HTTP/2: closed) |
//! | body | a read that waits | [`BodyLimits`] | [`BodyTimeout`] to the reader, then closed (HTTP/2: the stream is reset) |
//! | response | a write that waits | `write_timeout` per `write_min_bytes` | closed |
//! | idle | end of the last response | `idle_timeout` | closed, HTTP/2 with GOAWAY |
//!
//! Each connection has one timer for all phases but the body, which makes its
//! own when it first waits. How long a handler may take is not decided here.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge are told apart by their first
//! bytes. TLS ends before this server; protocol upgrades are not offered.

mod accept;
mod activity;
mod body;
mod connection;
mod drain;
mod frames;
mod io;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;

use self::{
    accept::{Acceptor, AddressTable},
    activity::Timeouts,
    connection::Common,
};
pub use self::{
    body::{BodyDeadline, BodyDeadlineService, BodyLimits, BodyPace, BodyTimeout},
    drain::{Drain, watch_signals},
    stats::{ConnectionStats, TimeoutPhase},
};

/// Connections the kernel queues while the loop is busy or full. The kernel
/// caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Unsent bytes the kernel keeps for a connection before a write waits. Small
/// enough that a client at a few kilobytes a second makes visible progress
/// within a write window, and that one that reads nothing costs little memory.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 64 * 1024;

/// How long aborted work may take to notice.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// A predicate over addresses.
pub type TrustAddress = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The other end of the connection a request came over, as a request extension.
///
/// IPv4 addresses that arrive on an IPv6 socket are shown as IPv4. Behind a
/// proxy this is the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// The limits of a server.
#[derive(Clone)]
pub struct ServerOptions {
    /// From accept to the first byte received. Default 10 s.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request head to its last, in all. Default 10 s.
    pub head_timeout: Duration,
    /// From the end of a response to the first byte of the next request.
    /// Default 60 s.
    pub idle_timeout: Duration,
    /// Length of a write window: while response bytes wait for the peer, it
    /// must take [`write_min_bytes`](Self::write_min_bytes) of them in each.
    /// Default 10 s.
    pub write_timeout: Duration,
    /// Bytes to be taken in a write window. Default 1024, which says "takes
    /// something": the kernel reports room in steps of tens of kilobytes, so
    /// in effect a waiting peer must read about 3 kB/s.
    pub write_min_bytes: u64,
    /// How fast request bodies must come. A route can have its own with
    /// [`BodyDeadline`].
    pub body: BodyLimits,
    /// Largest request head, in bytes; a larger one is 431. Default 32 KiB.
    pub max_head_bytes: usize,
    /// Open connections in all. At this number nothing is accepted until one
    /// ends. Default 4096, at least 1.
    pub max_connections: usize,
    /// Open connections of one address (IPv6: one /64). A further one is
    /// dropped at once. Default 256.
    pub max_connections_per_address: usize,
    /// Addresses that `max_connections_per_address` does not count: trusted
    /// proxies. Default none.
    pub exempt: TrustAddress,
    /// How long connections are still accepted after a drain began, so that
    /// balancers notice. Default 0 s.
    pub drain_delay: Duration,
    /// How long requests in flight may take after that, before they are cut.
    /// Default 25 s.
    pub grace: Duration,
    /// Where connections are counted. Default: counters of its own.
    pub stats: Arc<ConnectionStats>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            first_byte_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            write_min_bytes: 1024,
            body: BodyLimits::default(),
            max_head_bytes: 32 * 1024,
            max_connections: 4096,
            max_connections_per_address: 256,
            exempt: Arc::new(|_| false),
            drain_delay: Duration::ZERO,
            grace: Duration::from_secs(25),
            stats: Arc::default(),
        }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("first_byte_timeout", &self.first_byte_timeout)
            .field("head_timeout", &self.head_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("write_min_bytes", &self.write_min_bytes)
            .field("body", &self.body)
            .field("max_head_bytes", &self.max_head_bytes)
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_address", &self.max_connections_per_address)
            .field("drain_delay", &self.drain_delay)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Listens on `address`; port 0 takes any free port.
///
/// The address can be taken again at once after a restart (`SO_REUSEADDR`),
/// but not while another process listens on it.
///
/// # Errors
/// When the address is in use, not local, or not allowed.
///
/// # Panics
/// Outside a Tokio runtime.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option would let a second process steal the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `router` on `listener` until `drain` has run its course.
///
/// Returns when the drain is over and every connection closed: at the latest
/// `drain_delay + grace` (and a second for aborted work to notice) after
/// [`Drain::begin`], or right after [`Drain::cut`]. Idle connections, and those
/// that have not completed a request head, are gone within a second of the
/// listener's closing. Connections already in the kernel's queue then are still
/// served. Dropping the future stops accepting only.
///
/// [`ConnectionStats::aborted`] tells whether work was cut.
pub async fn serve(listener: TcpListener, router: Router, options: ServerOptions, drain: Drain) {
    prepare(&listener, &options);
    let tasks = TaskTracker::new();
    let acceptor = Acceptor {
        listener,
        places: Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS))),
        addresses: Arc::new(AddressTable::new(options.max_connections_per_address, options.exempt)),
        common: Arc::new(Common {
            // Resolves the routes once instead of at every request.
            router: router.with_state(()),
            timeouts: Timeouts {
                first_byte: options.first_byte_timeout,
                head: options.head_timeout,
                idle: options.idle_timeout,
                write: options.write_timeout,
                write_min_bytes: options.write_min_bytes,
            },
            body: options.body,
            max_head_bytes: options.max_head_bytes,
            drain: drain.clone(),
            stats: options.stats,
            tasks: tasks.clone(),
        }),
    };

    tokio::select! {
        biased;
        () = listen_on(&drain, options.drain_delay) => {}
        () = acceptor.run() => {}
    }
    acceptor.run_down().await;
    drop(acceptor);
    drain.close();
    tasks.close();

    tokio::select! {
        () = tasks.wait() => return,
        () = drain.was_cut() => {}
        () = tokio::time::sleep(options.grace) => {
            tracing::warn!(connections = tasks.len(), "the grace period is over; cutting what is left");
            drain.cut();
        }
    }
    if timeout(ABORT_WAIT, tasks.wait()).await.is_err() {
        tracing::error!(tasks = tasks.len(), "work that blocks its thread is left behind");
    }
}

/// Resolves when the listener should close.
async fn listen_on(drain: &Drain, delay: Duration) {
    drain.began().await;
    let cut = std::pin::pin!(drain.was_cut());
    // Cut or not, the wait is over.
    let _ = timeout(delay, cut).await;
}

/// Sets what accepted sockets inherit. All of it is an improvement only, so a
/// system that lacks an option serves without it.
#[cfg(target_os = "linux")]
fn prepare(listener: &TcpListener, options: &ServerOptions) {
    let socket = SockRef::from(listener);
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
    // After the socket is closed the kernel still tries to deliver what is
    // unsent, for minutes if the peer's window stays shut.
    let patience = options.write_timeout.saturating_mul(2);
    let _ = socket.set_tcp_user_timeout(Some(patience.max(Duration::from_secs(1))));
}

#[cfg(not(target_os = "linux"))]
fn prepare(_: &TcpListener, _: &ServerOptions) {}
