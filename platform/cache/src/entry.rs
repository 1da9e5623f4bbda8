//! What is kept of a value.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::NamespaceMetrics;
use crate::namespace::Rules;
use crate::slots::Slots;

/// What an entry takes beside its value and tags: its place in the table and in the order, and
/// what the allocator adds.
const OVERHEAD: usize = 400;

/// How long a value that could not be loaded anew is served before the next try, in milliseconds.
const PAUSE_AFTER_ERROR_MS: i64 = 1000;

/// How long a failure tells of the source: as long as the load after it may take. Who comes later waits for a load.
const FAILURE_COUNTS_MS: i64 = PAUSE_AFTER_ERROR_MS + 20_000;

pub(crate) type AnyValue = Arc<dyn Any + Send + Sync>;

/// A namespace as the cache knows it.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) rules: Rules,
    /// Stands for all of the namespace.
    pub(crate) hash: u32,
    pub(crate) metrics: NamespaceMetrics,
}

/// What is known when the source is about to be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// How many invalidations this node had seen.
    pub(crate) seen: u64,
    /// The horizon of the log.
    pub(crate) horizon: i64,
    /// The steady time, from which on others' changes may be missing.
    pub(crate) steady: i64,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) space: Arc<Space>,
    /// `None`: there is nothing.
    pub(crate) value: Option<AnyValue>,
    pub(crate) start: Start,
    pub(crate) times: Times,
    /// The digests' low bits of the key, the namespace and each tag.
    pub(crate) hashes: Box<[u32]>,
    pub(crate) weight: usize,
    /// The state of the slots in which this was last found valid.
    checked: AtomicU64,
    /// No new value is asked for before this.
    refresh_after: AtomicI64,
    /// Until then it is remembered that no new value could be loaded.
    failed_until: AtomicI64,
}

/// When an entry is what, in milliseconds of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) expires: i64,
    pub(crate) stale_until: i64,
    pub(crate) error_until: i64,
    /// How long it took to load.
    pub(crate) delta: i64,
}

impl Times {
    /// `random` is evenly spread over `0.0..1.0`.
    pub(crate) fn new(rules: &Rules, is_absent: bool, now: i64, delta: i64, random: f64) -> Self {
        let millis =
            |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
        if is_absent {
            let expires = now.saturating_add(millis(rules.negative));
            return Self { expires, stale_until: expires, error_until: expires, delta };
        }
        let kept = 1.0 - random * f64::from(rules.jitter_percent) / 100.0;
        let expires = now.saturating_add((millis(rules.ttl) as f64 * kept) as i64);
        let stale_until = expires.saturating_add(millis(rules.stale));
        let error_until = stale_until.max(expires.saturating_add(millis(rules.stale_if_error)));
        Self { expires, stale_until, error_until, delta }
    }

    /// The rule of XFetch: by chance, as early before the end as loading takes long.
    pub(crate) fn is_early(&self, now: i64, random: impl FnOnce() -> f64) -> bool {
        let left = self.expires - now;
        // Beyond that the chance is below one in 10^17.
        if self.delta <= 0 || left >= self.delta.saturating_mul(40) {
            return false;
        }
        let (delta, left) = (self.delta as f64, left as f64);
        // 0 gives an infinitely early one, which is right.
        -delta * random().ln() >= left
    }
}

/// What an entry is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// To be served.
    Fresh,
    /// To be served, and to be loaded anew meanwhile.
    Early,
    /// The same, after its time.
    Stale,
    /// To be served only if the source fails, or has failed a moment ago.
    Spare,
    /// Not to be served now.
    Doubtful,
    /// Never to be served again.
    Nothing,
}

impl Entry {
    pub(crate) fn new(
        space: Arc<Space>,
        value: Option<(AnyValue, usize)>,
        start: Start,
        times: Times,
        hashes: Box<[u32]>,
    ) -> Self {
        let (value, bytes) = value.map_or((None, 0), |(value, bytes)| (Some(value), bytes));
        let weight = OVERHEAD + bytes + hashes.len() * size_of::<u32>();
        Self {
            space,
            value,
            start,
            times,
            hashes,
            weight,
            checked: AtomicU64::new(u64::MAX),
            refresh_after: AtomicI64::new(i64::MIN),
            failed_until: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether nothing of it was invalidated on this node since its load began.
    pub(crate) fn is_valid(&self, slots: &Slots) -> bool {
        // Read before the places: an invalidation that is not done yet will change it.
        let done = slots.done();
        if self.checked.load(Ordering::Acquire) == done {
            return true;
        }
        let valid = slots.is_valid(&self.hashes, self.start.seen);
        if valid {
            self.checked.store(done, Ordering::Release);
        }
        valid
    }

    pub(crate) fn may_refresh(&self, now: i64) -> bool {
        self.refresh_after.load(Ordering::Relaxed) <= now
    }

    pub(crate) fn refresh_not_before(&self, moment: i64) {
        self.refresh_after.store(moment, Ordering::Relaxed);
    }

    /// Notes that no new value could be loaded.
    pub(crate) fn failed(&self, now: i64) {
        self.failed_until.store(now + FAILURE_COUNTS_MS, Ordering::Relaxed);
        self.refresh_not_before(now + PAUSE_AFTER_ERROR_MS);
    }

    /// Whether the last load of a new value failed, or one after it is under way.
    pub(crate) fn has_failed(&self, now: i64) -> bool {
        now < self.failed_until.load(Ordering::Relaxed)
    }

    /// Whether whoever asks is the one to try again: one in each pause.
    pub(crate) fn may_try_again(&self, now: i64) -> bool {
        let after = self.refresh_after.load(Ordering::Relaxed);
        let pause = now + PAUSE_AFTER_ERROR_MS;
        let is_chosen = after <= now
            && self
                .refresh_after
                .compare_exchange(after, pause, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_chosen {
            self.failed_until.store(now + FAILURE_COUNTS_MS, Ordering::Relaxed);
        }
        is_chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Namespace;

    #[test]
    fn jitter_only_shortens_and_spans_follow_each_other() {
        let second = Duration::from_secs(1);
        let namespace: Namespace<u8, u8> =
            Namespace::new("a.b", 1).ttl(second * 10).jitter(50).stale(second).stale_if_error(second * 3);
        let times = |random| Times::new(&namespace.rules, false, 0, 0, random);
        assert_eq!(times(0.0), Times { expires: 10_000, stale_until: 11_000, error_until: 13_000, delta: 0 });
        assert_eq!(times(1.0).expires, 5000);
        let absent = Times::new(&namespace.rules, true, 0, 0, 0.5);
        assert_eq!((absent.expires, absent.error_until), (5000, 5000));
        let forever: Namespace<u8, u8> = Namespace::new("a.b", 1).ttl(Duration::MAX).stale(Duration::MAX);
        assert!(Times::new(&forever.rules, false, i64::MAX / 2, 0, 0.0).stale_until > i64::MAX / 2);
    }

    #[test]
    fn early_is_likelier_the_nearer_the_end_and_the_longer_a_load() {
        let times = Times { expires: 10_000, stale_until: 10_000, error_until: 10_000, delta: 100 };
        assert!(!times.is_early(5999, || unreachable!("far from the end nothing is drawn")));
        // exp(-gap / delta): about 0.37 at a gap of one load.
        assert!(times.is_early(9900, || 0.36));
        assert!(!times.is_early(9900, || 0.37));
        assert!(times.is_early(9999, || 0.98));
        let quick = Times { delta: 0, ..times };
        assert!(!quick.is_early(9999, || 0.0));
    }
}
