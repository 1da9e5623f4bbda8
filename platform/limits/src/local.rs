//! What a node knows without asking Redis: keys that are blocked, and permits taken ahead.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::key::Order;
use crate::state::Kind;
use crate::store::Tally;

const SHARDS: usize = 16;

/// How many keys each of the two maps remembers, in all shards together.
const MAX_KEYS: usize = 32_768;

/// What Redis said, valid until a moment. Bounded: where there is no room it is not remembered, and
/// Redis is asked again.
struct Remembered<V> {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<u128, V>>]>,
}

trait Lapses {
    fn until(&self) -> Instant;
}

impl<V: Lapses> Remembered<V> {
    fn new() -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { hasher: RandomState::new(), shards }
    }

    fn with<T>(&self, digest: u128, act: impl FnOnce(&mut HashMap<u128, V>) -> T) -> T {
        let index = usize::try_from(self.hash(&digest) % SHARDS as u64).expect("a small number");
        act(&mut self.shards[index].lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hash(&self, digest: &impl Hash) -> u64 {
        self.hasher.hash_one(digest)
    }

    /// Puts `value` in the place of what is there, which `take_over` may save something of if it
    /// is still valid.
    fn put(&self, digest: u128, mut value: V, now: Instant, take_over: impl FnOnce(&mut V, V)) {
        self.with(digest, |map| {
            if let Some(old) = map.remove(&digest).filter(|old| old.until() > now) {
                take_over(&mut value, old);
            } else if map.len() >= MAX_KEYS / SHARDS {
                map.retain(|_, value| value.until() > now);
                if map.len() >= MAX_KEYS / SHARDS {
                    return;
                }
            }
            map.insert(digest, value);
        });
    }
}

/// Keys that Redis refused, until the moment it named.
///
/// Only time frees a place, so until then the answer would be the same.
pub(crate) struct BlockedKeys(Remembered<BlockedKey>);

struct BlockedKey {
    cost: u32,
    remaining: u32,
    /// The moment from which `until` and `reset` are counted. Before Redis decided, so that the
    /// block ends here no later than there.
    reset: Instant,
    until: Instant,
    at_ms: i64,
}

impl Lapses for BlockedKey {
    fn until(&self) -> Instant {
        self.until
    }
}

impl BlockedKeys {
    pub(crate) fn new() -> Self {
        Self(Remembered::new())
    }

    /// Remembers a refusal that was asked for at `asked`.
    pub(crate) fn remember(&self, order: &Order, tally: &Tally, asked: Instant) {
        let Some(retry_ms) = tally.retry_ms.filter(|ms| *ms > 0) else { return };
        let Some(until) = asked.checked_add(Duration::from_millis(retry_ms)) else { return };
        let blocked = BlockedKey {
            cost: order.cost,
            remaining: tally.remaining,
            reset: asked + Duration::from_millis(tally.reset_ms.min(retry_ms)),
            until,
            at_ms: tally.at_ms,
        };
        self.0.put(order.digest, blocked, asked, |_, _| {});
    }

    /// The refusal of an order that is known to be refused.
    pub(crate) fn refusal(&self, order: &Order, now: Instant) -> Option<Tally> {
        if order.cost == 0 {
            return None;
        }
        self.0.with(order.digest, |map| {
            let blocked = map.get(&order.digest)?;
            if blocked.until <= now {
                map.remove(&order.digest);
                return None;
            }
            // A cheaper call may find room where this one did not, and a dearer one waits longer.
            if order.cost != blocked.cost {
                return None;
            }
            Some(Tally {
                admitted: false,
                remaining: blocked.remaining,
                // What was free comes before what is free enough.
                reset_ms: millis_up(blocked.reset.saturating_duration_since(now)),
                retry_ms: Some(millis_up(blocked.until.saturating_duration_since(now))),
                at_ms: blocked.at_ms,
                granted: 0,
            })
        })
    }
}

/// Permits that were taken ahead, until the part of the window ends that they were counted in.
pub(crate) struct Leases(Remembered<Lease>);

struct Lease {
    permits: u32,
    remaining: u32,
    reset: Instant,
    until: Instant,
    at_ms: i64,
}

impl Lapses for Lease {
    fn until(&self) -> Instant {
        self.until
    }
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self(Remembered::new())
    }

    /// Keeps the permits that came with an answer to a question of the moment `asked`.
    pub(crate) fn keep(&self, order: &Order, tally: &Tally, asked: Instant) {
        let Kind::Log { parts, ahead: true } = order.shape.kind else { return };
        if tally.granted == 0 {
            return;
        }
        // Redis decided after `asked`, but up to a millisecond after the time it named: one less, so
        // that the part ends here before it ends there.
        let valid_ms = (order.shape.part_end(tally.at_ms, parts) - tally.at_ms - 1).unsigned_abs();
        let lease = Lease {
            permits: tally.granted,
            remaining: tally.remaining,
            reset: asked + Duration::from_millis(tally.reset_ms),
            until: asked + Duration::from_millis(valid_ms),
            at_ms: tally.at_ms,
        };
        // Several calls may have found none at hand and asked for more at the same time.
        self.0.put(order.digest, lease, asked, |lease, old| {
            lease.permits = lease.permits.saturating_add(old.permits);
            lease.until = lease.until.min(old.until);
        });
    }

    /// Admits an order with permits at hand.
    pub(crate) fn spend(&self, order: &Order, now: Instant) -> Option<Tally> {
        self.0.with(order.digest, |map| {
            let lease = map.get_mut(&order.digest)?;
            if lease.until <= now || lease.permits < order.cost || order.cost == 0 {
                if lease.until <= now || lease.permits == 0 {
                    map.remove(&order.digest);
                }
                return None;
            }
            lease.permits -= order.cost;
            Some(Tally {
                admitted: true,
                remaining: lease.remaining.saturating_add(lease.permits),
                reset_ms: millis_up(lease.reset.saturating_duration_since(now)),
                retry_ms: Some(0),
                at_ms: lease.at_ms,
                granted: 0,
            })
        })
    }
}

fn millis_up(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
