//! What one connection is doing, and until when it may.
//!
//! The socket, the requests and the response bodies report what happens; the
//! connection's driver asks for the next deadline. No timer is touched by a
//! report: the driver's single timer is armed at or before the next deadline
//! and looks again when it fires.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    frames::{FrameWatch, Unfinished},
    stats::{ConnectionStats, TimeoutPhase},
};

/// How long a connection that has nothing left to do may take to go away:
/// to finish a head that was on its way when the drain closed, to answer
/// GOAWAY, to read an early answer before the socket is reset.
pub(super) const PARTING: Duration = Duration::from_secs(1);

/// The limits that the driver enforces, copied into each connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) first_byte: Duration,
    pub(super) head: Duration,
    pub(super) idle: Duration,
    pub(super) write: Duration,
    pub(super) write_min_bytes: u64,
}

impl Timeouts {
    /// No limit that begins later can end sooner than this from now.
    pub(super) fn shortest(&self) -> Duration {
        self.first_byte.min(self.head).min(self.idle).min(self.write)
    }
}

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Timeout(TimeoutPhase),
    /// It was told to go and did not.
    Parting,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// The limit has run out.
    Over(Due),
    /// The nearest limit, not reached yet.
    Until(Instant),
    /// Nothing is being waited for from the peer.
    Free,
}

/// Bytes taken by the peer since the window began.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    bytes: u64,
}

impl Window {
    fn begin(now: Instant) -> Self {
        Self { since: now, bytes: 0 }
    }
}

#[derive(Debug)]
struct State {
    frames: Option<FrameWatch>,
    received: bool,
    /// When the head (or HTTP/2 frame) that is still unfinished began.
    unfinished_since: Option<Instant>,
    /// The last four bytes received.
    tail: u32,
    in_flight: u32,
    idle_since: Instant,
    parting_since: Option<Instant>,
    lingering_since: Option<Instant>,
    /// The last request body was dropped before its end.
    body_abandoned: bool,
    body_timed_out: bool,
    /// Bytes wait for room in the socket's buffer.
    write: Option<Window>,
    /// HTTP/2 responses with a chunk that waits for the peer's flow control.
    stalled_streams: u32,
    flow: Window,
}

#[derive(Debug)]
pub(super) struct Activity {
    timeouts: Timeouts,
    stats: Arc<ConnectionStats>,
    born: Instant,
    state: Mutex<State>,
}

impl Activity {
    pub(super) fn new(timeouts: Timeouts, stats: Arc<ConnectionStats>) -> Self {
        let born = Instant::now();
        Self {
            timeouts,
            stats,
            born,
            state: Mutex::new(State {
                frames: None,
                received: false,
                unfinished_since: None,
                tail: 0,
                in_flight: 0,
                idle_since: born,
                parting_since: None,
                lingering_since: None,
                body_abandoned: false,
                body_timed_out: false,
                write: None,
                stalled_streams: 0,
                flow: Window::begin(born),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- reported by the socket ----

    pub(super) fn received(&self, bytes: &[u8]) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.received = true;
        for byte in &bytes[bytes.len().saturating_sub(4)..] {
            state.tail = state.tail << 8 | u32::from(*byte);
        }
        if let Some(frames) = &mut state.frames {
            let completed = frames.feed(bytes);
            if frames.unfinished().is_none() {
                state.unfinished_since = None;
            } else if completed || state.unfinished_since.is_none() {
                state.unfinished_since = Some(Instant::now());
            }
        } else if state.in_flight == 0 && state.unfinished_since.is_none() {
            state.unfinished_since = Some(Instant::now());
        }
    }

    /// The connection speaks HTTP/2; `bytes` are what it has sent so far.
    pub(super) fn speaks_http2(&self, bytes: &[u8]) {
        let mut frames = FrameWatch::default();
        frames.feed(bytes);
        let mut state = self.state();
        if frames.unfinished().is_none() {
            state.unfinished_since = None;
        }
        state.frames = Some(frames);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.state().frames.is_some()
    }

    /// A write found the socket's buffer full.
    pub(super) fn write_blocked(&self) {
        let mut state = self.state();
        if state.write.is_none() {
            state.write = Some(Window::begin(Instant::now()));
        }
    }

    /// The socket took bytes while a window was open.
    pub(super) fn wrote(&self, bytes: usize) {
        if let Some(window) = &mut self.state().write {
            window.bytes += bytes as u64;
        }
    }

    /// Everything there was to write is in the kernel's hands.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        state.write = None;
        state.idle_since = Instant::now();
    }

    /// Called as the socket is being closed: whether input may be on its way
    /// that would turn the close into a reset and lose the answer (an early
    /// refusal of a body, a head that was too large).
    pub(super) fn should_linger(&self) -> bool {
        let mut state = self.state();
        if state.frames.is_some() {
            return false;
        }
        let linger = state.body_abandoned || state.unfinished_since.is_some();
        if linger && state.lingering_since.is_none() {
            state.lingering_since = Some(Instant::now());
        }
        linger
    }

    // ---- reported by requests ----

    pub(super) fn request_began(&self) {
        self.stats.request_began();
        let mut state = self.state();
        state.in_flight += 1;
        state.body_abandoned = false;
        if state.frames.is_none() {
            state.unfinished_since = None;
        }
    }

    pub(super) fn request_ended(&self, had_body: bool) {
        self.stats.request_ended();
        let mut state = self.state();
        state.in_flight -= 1;
        if state.in_flight > 0 {
            return;
        }
        let now = Instant::now();
        state.idle_since = now;
        // A request without a body ends in an empty line. If the last bytes
        // received are something else, they begin the next head, which waits
        // in the parser's buffer where no later read would show it.
        let at_empty_line = state.tail == 0x0D0A_0D0A
            || state.tail & 0xFFFF == 0x0A0A
            || state.tail & 0x00FF_FFFF == 0x000A_0D0A;
        if state.frames.is_none() && !had_body && !at_empty_line {
            state.unfinished_since = Some(now);
        }
    }

    pub(super) fn body_abandoned(&self) {
        self.state().body_abandoned = true;
    }

    pub(super) fn body_timed_out(&self) {
        self.stats.ran_out(TimeoutPhase::Body);
        self.state().body_timed_out = true;
    }

    /// Whether a request body has timed out on this connection.
    pub(super) fn has_body_timed_out(&self) -> bool {
        self.state().body_timed_out
    }

    // ---- reported by HTTP/2 response bodies ----

    /// A chunk was handed over and waits for the peer to make room for it.
    pub(super) fn stream_stalled(&self) {
        let mut state = self.state();
        if state.stalled_streams == 0 {
            state.flow = Window::begin(Instant::now());
        }
        state.stalled_streams += 1;
    }

    /// That chunk of `bytes` went out, or its stream ended.
    pub(super) fn stream_moved(&self, bytes: u64) {
        let mut state = self.state();
        state.stalled_streams -= 1;
        state.flow.bytes += bytes;
    }

    // ---- asked by the driver ----

    /// From now on the connection should go: what it has not finished gets
    /// [`PARTING`] only, requests in flight excepted.
    pub(super) fn part(&self) {
        let mut state = self.state();
        if state.parting_since.is_none() {
            state.parting_since = Some(Instant::now());
        }
    }

    /// True while a request is in flight or its response is being written.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state();
        state.in_flight > 0 || state.write.is_some()
    }

    /// The nearest limit, which may have passed already.
    pub(super) fn next_limit(&self) -> Option<Instant> {
        self.limit(&self.state()).map(|(at, _)| at)
    }

    /// Whether a limit has run out at `now`. Windows in which the peer took
    /// enough begin anew.
    pub(super) fn check(&self, now: Instant) -> Verdict {
        let mut state = self.state();
        loop {
            let Some((at, due)) = self.limit(&state) else {
                return Verdict::Free;
            };
            if at > now {
                return Verdict::Until(at);
            }
            if due != Due::Timeout(TimeoutPhase::Write) || !self.renew_windows(&mut state, now) {
                return Verdict::Over(due);
            }
        }
    }

    /// True if every window that has run out saw enough bytes taken.
    fn renew_windows(&self, state: &mut State, now: Instant) -> bool {
        let renew = |window: &mut Window| {
            if window.since + self.timeouts.write > now {
                return true;
            }
            let enough = window.bytes >= self.timeouts.write_min_bytes;
            *window = Window::begin(now);
            enough
        };
        let write = state.write.as_mut().is_none_or(renew);
        let flow = state.stalled_streams == 0 || renew(&mut state.flow);
        write && flow
    }

    fn limit(&self, state: &State) -> Option<(Instant, Due)> {
        [self.write_limit(state), self.read_limit(state)].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn write_limit(&self, state: &State) -> Option<(Instant, Due)> {
        let flow = (state.stalled_streams > 0).then_some(state.flow);
        let since = [state.write, flow].into_iter().flatten().map(|window| window.since).min()?;
        Some((since + self.timeouts.write, Due::Timeout(TimeoutPhase::Write)))
    }

    fn read_limit(&self, state: &State) -> Option<(Instant, Due)> {
        if let Some(since) = state.lingering_since {
            return Some((since + PARTING, Due::Parting));
        }
        let parting = state.parting_since.map(|since| (since + PARTING, Due::Parting));
        let begun = if let Some(since) = state.unfinished_since.filter(|_| self.blames_head(state)) {
            Some((since + self.timeouts.head, TimeoutPhase::Head))
        } else if !state.received {
            Some((self.born + self.timeouts.first_byte, TimeoutPhase::FirstByte))
        } else {
            None
        };
        if let Some((at, phase)) = begun {
            let limit = (at, Due::Timeout(phase));
            // A head on its way when the drain closed may still arrive.
            return Some(match parting {
                Some(parting) if state.in_flight == 0 && parting.0 < at => parting,
                _ => limit,
            });
        }
        if state.in_flight > 0 || state.write.is_some() {
            return None;
        }
        Some(match state.parting_since {
            Some(since) => (since.max(state.idle_since) + PARTING, Due::Parting),
            None => (state.idle_since + self.timeouts.idle, Due::Timeout(TimeoutPhase::Idle)),
        })
    }

    /// A DATA frame in progress is its request's affair, if it has one.
    fn blames_head(&self, state: &State) -> bool {
        state.in_flight == 0
            || state.frames.as_ref().is_some_and(|frames| frames.unfinished() == Some(Unfinished::Head))
    }
}
