//! What was invalidated, in a fixed piece of memory: one place for each 16 bits of a digest.
//!
//! An invalidation puts its number into the places of what it invalidates; whatever was read
//! before it is recognized by an older number. Two things in one place are invalidated
//! together, which costs a load and is never wrong. So there is nothing to forget and no list that
//! grows, and a loader that was under way meanwhile is caught like everything else.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

const SLOTS: usize = 1 << 16;

#[derive(Debug)]
pub(crate) struct Slots {
    /// Counts invalidations as they begin.
    begun: AtomicU64,
    /// Counts them as they are done, for a check that costs one look.
    done: AtomicU64,
    everything: AtomicU64,
    /// The number of the last invalidation on this node, by place.
    local: Box<[AtomicU64]>,
    /// The position in the log of the last one, by place.
    logged: Box<[AtomicI64]>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            local: std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect(),
            logged: std::iter::repeat_with(|| AtomicI64::new(i64::MIN)).take(SLOTS).collect(),
        }
    }

    /// What is read from the source from now on has seen so many invalidations.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Changes with each invalidation.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Call it when the change is committed: whoever reads the source after the number was drawn
    /// sees the change.
    pub(crate) fn invalidate(&self, hashes: &[u32]) {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        for hash in hashes {
            self.local[place(*hash)].fetch_max(number, Ordering::SeqCst);
        }
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn invalidate_everything(&self) {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.everything.fetch_max(number, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether nothing of this was invalidated on this node after `start`.
    pub(crate) fn is_valid(&self, hashes: &[u32], start: u64) -> bool {
        self.everything.load(Ordering::SeqCst) <= start
            && hashes.iter().all(|hash| self.local[place(*hash)].load(Ordering::SeqCst) <= start)
    }

    /// Notes a row of the log.
    pub(crate) fn log(&self, hashes: &[u32], position: i64) {
        for hash in hashes {
            self.logged[place(*hash)].fetch_max(position, Ordering::SeqCst);
        }
    }

    /// The position of the last row about any of these. `None`: none is known.
    pub(crate) fn last(&self, hashes: &[u32]) -> Option<i64> {
        let last = hashes.iter().map(|hash| self.logged[place(*hash)].load(Ordering::SeqCst)).max();
        last.filter(|position| *position != i64::MIN)
    }

    /// The positions known so far say nothing any more.
    pub(crate) fn forget_log(&self) {
        self.logged.iter().for_each(|place| place.store(i64::MIN, Ordering::SeqCst));
    }

    /// Whether what was read from the source behind this horizon has seen every row of the log
    /// about it that is known here.
    pub(crate) fn has_seen(&self, hashes: &[u32], horizon: i64) -> bool {
        hashes.iter().all(|hash| self.logged[place(*hash)].load(Ordering::SeqCst) < horizon)
    }
}

fn place(hash: u32) -> usize {
    hash as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_an_invalidation_is_not_valid_after_it() {
        let slots = Slots::new();
        let before = slots.begun();
        assert!(slots.is_valid(&[1, 2], before));
        slots.invalidate(&[2]);
        assert!(!slots.is_valid(&[1, 2], before));
        assert!(slots.is_valid(&[1], before));
        assert!(slots.is_valid(&[1, 2], slots.begun()));
        slots.invalidate_everything();
        assert!(!slots.is_valid(&[1], before));
    }

    #[test]
    fn a_horizon_must_be_above_the_row() {
        let slots = Slots::new();
        assert!(slots.has_seen(&[7], 0));
        slots.log(&[7], 10);
        assert!(!slots.has_seen(&[7], 10));
        assert!(slots.has_seen(&[7], 11));
    }
}
