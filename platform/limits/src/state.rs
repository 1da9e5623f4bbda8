//! The counters of one key, and the arithmetic on them. `store/redis/charge.lua` does the same for
//! Redis; a property test holds the two against each other.
//!
//! All times are milliseconds by the clock of the store that keeps the state.

use std::collections::VecDeque;

/// The numbers of a policy that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) limit: u32,
    pub(crate) window_ms: i64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A log of admissions.
    Log {
        /// In how many parts of the window they are added up; 0: not at all.
        parts: u32,
        /// Whether they are dated at the end of their part, so that permits that were taken in a
        /// part may be used until it ends.
        ahead: bool,
    },
    /// A leaking bucket, which is GCRA in other words. A permit weighs `window_ms` units, the
    /// bucket holds `burst` permits, and each millisecond `drain` units leak: whole numbers
    /// throughout.
    Bucket { burst: u32, drain: u32 },
}

impl Shape {
    /// A node's share of a limit that `nodes` nodes have together, at least 1.
    pub(crate) fn share(self, nodes: u32) -> Self {
        let limit = (self.limit / nodes).max(1);
        let kind = match self.kind {
            // Too little for a burst and a rate.
            Kind::Bucket { .. } if limit < 2 => Kind::Log { parts: 0, ahead: false },
            Kind::Bucket { burst, .. } => {
                let burst = (burst / nodes).clamp(1, limit - 1);
                Kind::Bucket { burst, drain: limit - burst }
            }
            log @ Kind::Log { .. } => log,
        };
        Self { limit, kind, ..self }
    }

    /// How much can be admitted at once, at best.
    pub(crate) fn capacity(self) -> u32 {
        match self.kind {
            Kind::Log { .. } => self.limit,
            Kind::Bucket { burst, .. } => burst,
        }
    }

    /// The end of the part of the window that `at` is in: later than `at`.
    pub(crate) fn part_end(self, at: i64, parts: u32) -> i64 {
        let next = self.part(at, parts) + 1;
        let (product, parts) = (next * self.window_ms, i64::from(parts));
        product.div_euclid(parts) + i64::from(product.rem_euclid(parts) > 0)
    }

    fn part(self, at: i64, parts: u32) -> i64 {
        (at * i64::from(parts)).div_euclid(self.window_ms)
    }
}

/// What a key has used.
#[derive(Debug)]
pub(crate) enum State {
    Log(Log),
    Bucket(Bucket),
}

/// Admissions still within the window, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    slots: VecDeque<Slot>,
    total: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The last admission in it: until that one leaves the window all of them count.
    at: i64,
    count: u32,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    at: i64,
    debt: i64,
}

/// What a look at a key's counters shows, in milliseconds from the moment of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) admitted: bool,
    /// Until it would be admitted; 0 if it is, `None`: never, it costs more than there can be.
    pub(crate) retry_ms: Option<u64>,
}

impl State {
    pub(crate) fn new(shape: Shape) -> Self {
        match shape.kind {
            Kind::Log { .. } => Self::Log(Log::default()),
            Kind::Bucket { .. } => Self::Bucket(Bucket { at: i64::MIN, debt: 0 }),
        }
    }

    /// Starts over if the state is one of another kind, after a change of the settings.
    fn fit(&mut self, shape: Shape) {
        let fits = matches!(
            (&*self, shape.kind),
            (Self::Log(_), Kind::Log { .. }) | (Self::Bucket(_), Kind::Bucket { .. })
        );
        if !fits {
            *self = Self::new(shape);
        }
    }

    /// The moment that counts as now, which never lies before an admission, and what has left the
    /// window by then is dropped.
    pub(crate) fn advance(&mut self, shape: Shape, now: i64) -> i64 {
        self.fit(shape);
        match self {
            Self::Log(log) => log.advance(shape, now),
            Self::Bucket(bucket) => bucket.advance(shape, now),
        }
    }

    /// Whether a call would be admitted at `at`, which `advance` returned. Changes nothing.
    pub(crate) fn look(&self, shape: Shape, at: i64, cost: u32) -> Look {
        let retry_ms = if cost > shape.capacity() {
            None
        } else {
            Some(match (self, shape.kind) {
                (Self::Log(log), _) => log.wait(shape, at, cost),
                (Self::Bucket(bucket), kind) => bucket.wait(shape.window_ms, kind, cost),
            })
        };
        Look { admitted: retry_ms == Some(0), retry_ms }
    }

    /// Counts an admission. Without `may_grow` it is added to the newest one there is, which
    /// counts them all for longer, never for less.
    pub(crate) fn charge(&mut self, shape: Shape, at: i64, cost: u32, may_grow: bool) {
        if cost == 0 {
            return;
        }
        match self {
            Self::Log(log) => log.charge(shape, at, cost, may_grow),
            Self::Bucket(bucket) => bucket.debt += i64::from(cost) * shape.window_ms,
        }
    }

    /// What is left, and the milliseconds until there is more of it (0 if all of it is left).
    pub(crate) fn left(&self, shape: Shape, at: i64) -> (u32, u64) {
        match (self, shape.kind) {
            (Self::Log(log), _) => {
                let reset = log.slots.front().map_or(0, |slot| slot.at + shape.window_ms - at);
                (shape.limit.saturating_sub(log.total), reset.unsigned_abs())
            }
            (Self::Bucket(bucket), Kind::Bucket { burst, drain }) => {
                bucket.left(shape.window_ms, burst, drain)
            }
            (Self::Bucket(_), Kind::Log { .. }) => (shape.limit, 0),
        }
    }

    /// From when on it holds nothing.
    pub(crate) fn empty_at(&self, shape: Shape) -> i64 {
        match (self, shape.kind) {
            (Self::Log(log), _) => log.slots.back().map_or(i64::MIN, |slot| slot.at + shape.window_ms),
            (Self::Bucket(bucket), Kind::Bucket { drain, .. }) if bucket.debt > 0 => {
                bucket.at.saturating_add(div_ceil(bucket.debt, drain))
            }
            (Self::Bucket(_), _) => i64::MIN,
        }
    }

    /// How many slots it keeps.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Log(log) => log.slots.len(),
            Self::Bucket(_) => 0,
        }
    }
}

impl Log {
    fn advance(&mut self, shape: Shape, now: i64) -> i64 {
        let at = match (self.slots.back(), shape.kind) {
            // Dated at the end of its part; the part began no later than that.
            (Some(last), Kind::Log { ahead: true, parts }) => {
                now.max(last.at - shape.window_ms / i64::from(parts) - 1)
            }
            (Some(last), _) => now.max(last.at),
            (None, _) => now,
        };
        while let Some(first) = self.slots.front().filter(|slot| slot.at + shape.window_ms <= at) {
            self.total -= first.count;
            self.slots.pop_front();
        }
        if self.slots.capacity() > 16 && self.slots.capacity() / 4 > self.slots.len() {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        at
    }

    fn wait(&self, shape: Shape, at: i64, cost: u32) -> u64 {
        let mut missing = (u64::from(self.total) + u64::from(cost)).saturating_sub(shape.limit.into());
        let mut wait = 0;
        for slot in &self.slots {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(slot.count.into());
            wait = (slot.at + shape.window_ms - at).unsigned_abs();
        }
        wait
    }

    fn charge(&mut self, shape: Shape, at: i64, cost: u32, may_grow: bool) {
        let (parts, ahead) = match shape.kind {
            Kind::Log { parts, ahead } => (parts, ahead),
            Kind::Bucket { .. } => (0, false),
        };
        let dated = if ahead { shape.part_end(at, parts) } else { at };
        self.total += cost;
        if let Some(last) = self.slots.back_mut() {
            let same = if parts == 0 || ahead {
                dated == last.at
            } else {
                shape.part(dated, parts) == shape.part(last.at, parts)
            };
            if same || !may_grow {
                last.at = last.at.max(dated);
                last.count += cost;
                return;
            }
        }
        self.slots.push_back(Slot { at: dated, count: cost });
    }
}

impl Bucket {
    fn advance(&mut self, shape: Shape, now: i64) -> i64 {
        let at = now.max(self.at);
        if let Kind::Bucket { drain, .. } = shape.kind {
            let leaked = at.saturating_sub(self.at).saturating_mul(drain.into());
            self.debt = self.debt.saturating_sub(leaked).max(0);
        }
        self.at = at;
        at
    }

    fn wait(&self, window_ms: i64, kind: Kind, cost: u32) -> u64 {
        let Kind::Bucket { burst, drain } = kind else { return 0 };
        let over = self.debt + (i64::from(cost) - i64::from(burst)) * window_ms;
        if over > 0 { div_ceil(over, drain).unsigned_abs() } else { 0 }
    }

    fn left(&self, window_ms: i64, burst: u32, drain: u32) -> (u32, u64) {
        let room = (i64::from(burst) * window_ms - self.debt).max(0);
        let left = room / window_ms;
        let until_next = (self.debt > 0).then(|| div_ceil((left + 1) * window_ms - room, drain));
        // Not more than the burst, which is 32 bits.
        (u32::try_from(left).unwrap_or(burst), until_next.unwrap_or(0).unsigned_abs())
    }
}

fn div_ceil(amount: i64, by: u32) -> i64 {
    let by = i64::from(by);
    amount / by + i64::from(amount % by > 0)
}
