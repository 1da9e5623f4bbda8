//! What the database said a moment ago.
//!
//! A short life bounds how long another node's change stays unseen. A change of
//! this node's own counts at once: whoever forgets an answer also disowns the
//! reads that have begun and not ended, so that none of them puts it back.

use std::fmt;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// How long an answer is believed. The rest of the second that a revocation may take is for the work of it.
const BELIEVED: Duration = Duration::from_millis(800);
const MOST: u64 = 20_000;

/// Answers of the database by key, each believed for 0.8 s.
pub(crate) struct Believed<K, V> {
    answers: Cache<K, (Asked, V)>,
    generations: RwLock<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    /// Counts what was forgotten.
    now: u64,
    /// Answers to older questions are not believed any more.
    oldest: u64,
}

/// A question to the database that was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    generation: u64,
    at: Instant,
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Believed<K, V> {
    pub(crate) fn new() -> Self {
        let answers = Cache::builder().max_capacity(MOST).time_to_live(BELIEVED).build();
        Self { answers, generations: RwLock::default() }
    }

    /// The answer, if there is one to believe.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let (asked, answer) = self.answers.get(key)?;
        let oldest = self.generations.read().unwrap_or_else(PoisonError::into_inner).oldest;
        // From the question on: the answer may have been old when it came.
        (asked.generation >= oldest && asked.at.elapsed() < BELIEVED).then_some(answer)
    }

    /// Call before asking the database.
    pub(crate) fn ask(&self) -> Asked {
        let at = Instant::now();
        Asked { generation: self.generations.read().unwrap_or_else(PoisonError::into_inner).now, at }
    }

    /// Keeps the answer, unless something was forgotten since the question.
    pub(crate) fn keep(&self, asked: Asked, key: K, answer: V) {
        // Held until it is in: nothing can be forgotten between the look and the keeping.
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        if generations.now == asked.generation {
            self.answers.insert(key, (asked, answer));
        }
    }

    /// Forgets one answer. Call after the commit that changed it.
    pub(crate) fn forget(&self, key: &K) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        generations.now += 1;
        self.answers.invalidate(key);
    }

    /// Forgets everything, for changes whose keys are not known.
    pub(crate) fn forget_all(&self) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        generations.now += 1;
        generations.oldest = generations.now;
    }
}

impl<K, V> fmt::Debug for Believed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Believed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_began_before_the_change_is_not_kept_after_it() {
        let believed: Believed<u8, bool> = Believed::new();
        let before = believed.ask();
        believed.forget(&1);
        believed.keep(before, 1, true);
        assert_eq!(believed.get(&1), None);

        believed.keep(believed.ask(), 1, false);
        believed.keep(believed.ask(), 2, true);
        assert_eq!((believed.get(&1), believed.get(&2)), (Some(false), Some(true)));
        believed.forget(&2);
        assert_eq!((believed.get(&1), believed.get(&2)), (Some(false), None));
        believed.forget_all();
        assert_eq!(believed.get(&1), None);
        believed.keep(believed.ask(), 1, true);
        assert_eq!(believed.get(&1), Some(true));
    }
}
