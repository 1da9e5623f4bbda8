//! Stopping without losing a request.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const CLOSING: u8 = 2;
const CUT: u8 = 3;

/// The switch that stops a server, shared by everyone who must know.
///
/// It only moves forward: running → draining ([`begin`](Self::begin): readiness
/// says no, requests are still accepted) → closing (the server's own step after
/// `drain_delay`: the listener is gone, connections finish what they have) →
/// cut ([`cut`](Self::cut): whatever is left is dropped). Clones are one
/// reference count; the questions are one atomic load.
///
/// Servers that share a handle stop together, and the first of them to reach
/// the end of its `drain_delay` or `grace` moves them all.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    began: CancellationToken,
    closing: CancellationToken,
    cut: CancellationToken,
}

impl Drain {
    /// A handle in the running state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the drain. [`is_draining`](Self::is_draining) is true when this
    /// returns. Harmless when repeated.
    pub fn begin(&self) {
        self.advance(DRAINING);
    }

    /// Ends the wait: every open connection is dropped, whatever it is doing.
    pub fn cut(&self) {
        self.advance(CUT);
    }

    /// True from [`begin`](Self::begin) on, for good. Readiness looks at it.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.state() >= DRAINING
    }

    /// True once the wait has been cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state() >= CUT
    }

    /// Resolves once the drain has begun.
    pub fn began(&self) -> impl Future<Output = ()> + Send + '_ {
        self.shared.began.cancelled()
    }

    /// Resolves once the wait has been cut.
    pub fn was_cut(&self) -> impl Future<Output = ()> + Send + '_ {
        self.cut_future()
    }

    /// Tells connections to finish what they have and take nothing new.
    pub(super) fn close(&self) {
        self.advance(CLOSING);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state() >= CLOSING
    }

    pub(super) fn closing_future(&self) -> WaitForCancellationFuture<'_> {
        self.shared.closing.cancelled()
    }

    pub(super) fn cut_future(&self) -> WaitForCancellationFuture<'_> {
        self.shared.cut.cancelled()
    }

    fn state(&self) -> u8 {
        self.shared.state.load(Ordering::Acquire)
    }

    fn advance(&self, to: u8) {
        // The state goes first: whoever a token wakes must already see it.
        self.shared.state.fetch_max(to, Ordering::AcqRel);
        for (reached, token) in
            [(DRAINING, &self.shared.began), (CLOSING, &self.shared.closing), (CUT, &self.shared.cut)]
        {
            if to >= reached && !token.is_cancelled() {
                token.cancel();
            }
        }
        debug_assert!(self.state() > RUNNING);
    }
}

/// Turns signals into a drain: the first SIGTERM or SIGINT begins it, the
/// second cuts it and ends this future.
///
/// # Errors
/// When a signal handler cannot be installed; nothing has been waited for then.
#[cfg(unix)]
pub async fn watch_signals(drain: Drain) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for first in [true, false] {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if first {
            tracing::info!(signal = name, "draining; another signal cuts the wait");
            drain.begin();
        } else {
            tracing::warn!(signal = name, "cutting what is left");
            drain.cut();
        }
    }
    Ok(())
}

/// Turns Ctrl-C into a drain: the first begins it, the second cuts it.
///
/// # Errors
/// When the handler cannot be installed.
#[cfg(not(unix))]
pub async fn watch_signals(drain: Drain) -> io::Result<()> {
    tokio::signal::ctrl_c().await?;
    drain.begin();
    tokio::signal::ctrl_c().await?;
    drain.cut();
    Ok(())
}
