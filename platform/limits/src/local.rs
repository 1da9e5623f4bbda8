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

/// Redis decided at some moment between the question and the answer. What is known of later moments
/// is therefore known twice: as the earliest that it may be, and as the latest.
struct BlockedKey {
    cost: u32,
    remaining: u32,
    /// As long as this node refuses by itself: the block ends here no later than there.
    until: Instant,
    /// When there is more left, and when the call is admitted, at the latest: what clients are told,
    /// who must not come too early.
    reset: Instant,
    admitted: Instant,
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

    /// Remembers a refusal that was asked for at `asked` and came at `answered`.
    pub(crate) fn remember(&self, order: &Order, tally: &Tally, asked: Instant, answered: Instant) {
        let Some(retry_ms) = tally.retry_ms.filter(|ms| *ms > 0) else { return };
        let after = |ms| answered.checked_add(Duration::from_millis(ms));
        // What was free comes before what is free enough.
        let (Some(reset), Some(admitted)) = (after(tally.reset_ms.min(retry_ms)), after(retry_ms)) else {
            return;
        };
        let blocked = BlockedKey {
            cost: order.cost,
            remaining: tally.remaining,
            until: asked + Duration::from_millis(retry_ms),
            reset,
            admitted,
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
                reset_ms: millis_up(blocked.reset.saturating_duration_since(now)),
                retry_ms: Some(millis_up(blocked.admitted.saturating_duration_since(now))),
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

    /// Keeps the permits that came at `answered` with an answer to a question of the moment `asked`.
    pub(crate) fn keep(&self, order: &Order, tally: &Tally, asked: Instant, answered: Instant) {
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
            reset: answered + Duration::from_millis(tally.reset_ms),
            until: asked + Duration::from_millis(valid_ms),
            at_ms: tally.at_ms,
        };
        // Several calls may have found none at hand and asked for more at the same time.
        self.0.put(order.digest, lease, answered, |lease, old| {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mainstay_core::{Clock, ManualClock, Timestamp};

    use super::*;
    use crate::key::{Charge, Key};
    use crate::policy::Policy;
    use crate::store::memory::MemoryStore;

    /// How long the question and the answer are under way, in milliseconds; the store is asked after
    /// the first of them.
    const WAYS: [(u64, u64); 3] = [(0, 0), (50, 0), (20, 30)];

    #[test]
    fn who_waits_as_a_remembered_refusal_says_is_admitted_however_slow_the_store_was() {
        for text in ["4/min exact", "4/min", "8/min gcra burst=4"] {
            for (there, back) in WAYS {
                let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_012_345)));
                let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>, 10);
                let key = Key::new(&Policy::parse("test", text).unwrap(), "a");
                let order = Order::new(Charge { key: &key, cost: 2 });
                let started = Instant::now();
                let mut now = started;
                let mut pass = |ms| {
                    clock.advance(Duration::from_millis(ms));
                    now += Duration::from_millis(ms);
                    now
                };
                assert!(store.charge_one(&order).admitted && store.charge_one(&order).admitted);

                let asked = pass(0);
                pass(there);
                let refused = store.charge_one(&order);
                let answered = pass(back);
                let blocked = BlockedKeys::new();
                blocked.remember(&order, &refused, asked, answered);

                let told = blocked.refusal(&order, pass(7)).unwrap();
                assert!(told.reset_ms <= told.retry_ms.unwrap(), "{text}: {told:?}");
                // It ends here no later than there, so that nobody is refused for nothing.
                let over = asked + Duration::from_millis(refused.retry_ms.unwrap());
                assert!(blocked.refusal(&order, over - Duration::from_millis(1)).is_some());
                assert_eq!(blocked.refusal(&order, over), None);

                clock.advance(Duration::from_millis(told.reset_ms));
                let left = store.charge_one(&Order { cost: 0, ..order }).remaining;
                assert!(left > refused.remaining, "{text}, {there} + {back} ms: {left} left");
                clock.advance(Duration::from_millis(told.retry_ms.unwrap() - told.reset_ms));
                assert!(store.charge_one(&order).admitted, "{text}, {there} + {back} ms");
            }
        }
    }
}
