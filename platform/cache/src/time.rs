//! Two times: the clock's, by which values are fresh, and a steady one, by which a link counts as cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::Clock;

#[derive(Clone, Debug)]
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    /// `None`: the clock is steady, because a test moves it.
    started: Option<Instant>,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>, steady: Steady) -> Self {
        let started = match steady {
            Steady::Processor => Some(Instant::now()),
            Steady::Clock => None,
        };
        Self { clock, started }
    }

    /// Milliseconds of the clock.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().millis()
    }

    /// How long to wait for what takes `usually` in production. While time stands still, nothing is late.
    pub(crate) fn patience(&self, usually: Duration) -> Duration {
        if self.started.is_some() { usually } else { usually.max(Duration::from_secs(30)) }
    }

    /// Milliseconds of the steady time. Always positive.
    pub(crate) fn steady(&self) -> i64 {
        match self.started {
            Some(started) => {
                i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX).saturating_add(1)
            }
            None => self.now(),
        }
    }
}

/// What tells how long ago something was, whatever happens to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steady {
    /// The processor. For production.
    Processor,
    /// The clock that the cache is given: time stands still until a test moves it.
    Clock,
}
