//! What the accept loop counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The part of a connection's life whose time limit ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutPhase {
    /// Connected and sent nothing.
    FirstByte,
    /// Began a request head and did not finish it in time.
    Head,
    /// Kept an idle connection longer than allowed. The one phase that honest
    /// clients reach every day; the connection is closed gracefully.
    Idle,
    /// Did not take the response it asked for.
    Write,
    /// Sent a request body too slowly. Counted per request.
    Body,
}

impl TimeoutPhase {
    /// Every phase, in the order of a connection's life.
    pub const ALL: [Self; 5] = [Self::FirstByte, Self::Head, Self::Idle, Self::Write, Self::Body];

    /// Stable snake_case name, fit for a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Write => "write",
            Self::Body => "body",
        }
    }
}

/// Counters of one or several servers since the start of the process.
///
/// Plain atomics: a getter costs one load, and a scrape sees each number at
/// its own instant. All but the two gauges ([`open`](Self::open) and
/// [`requests_in_flight`](Self::requests_in_flight)) only grow.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    open: AtomicU64,
    in_flight: AtomicU64,
    accepted: AtomicU64,
    refused_per_address: AtomicU64,
    accept_errors: AtomicU64,
    aborted: AtomicU64,
    timed_out: [AtomicU64; TimeoutPhase::ALL.len()],
}

impl ConnectionStats {
    /// Connections being served now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Requests whose response is not complete yet.
    #[must_use]
    pub fn requests_in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Connections accepted and served, those of refused addresses excluded.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections dropped because their address had its share already.
    #[must_use]
    pub fn refused_per_address(&self) -> u64 {
        self.refused_per_address.load(Relaxed)
    }

    /// Failed `accept` calls that made the loop pause (no descriptors left).
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Relaxed)
    }

    /// Connections cut at the end of a drain with work still in progress.
    #[must_use]
    pub fn aborted(&self) -> u64 {
        self.aborted.load(Relaxed)
    }

    /// Time limits that ran out in `phase`.
    #[must_use]
    pub fn timed_out(&self, phase: TimeoutPhase) -> u64 {
        self.timed_out[phase as usize].load(Relaxed)
    }

    pub(super) fn connection_opened(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(super) fn connection_closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(super) fn request_began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused_per_address.fetch_add(1, Relaxed);
    }

    pub(super) fn accept_failed(&self) {
        self.accept_errors.fetch_add(1, Relaxed);
    }

    pub(super) fn connection_aborted(&self) {
        self.aborted.fetch_add(1, Relaxed);
    }

    pub(super) fn ran_out(&self, phase: TimeoutPhase) {
        self.timed_out[phase as usize].fetch_add(1, Relaxed);
    }
}
