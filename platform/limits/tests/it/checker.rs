//! Replays the log of a run and judges it: was there ever more than the limit in a window, and was
//! anybody refused without cause?
//!
//! It goes by what clients see. When the store decided, they can't know; only that it was between
//! the question and the answer. So what is found is proven, however slow the machine was.
//!
//! The black-box tests include this very file, because they link nothing of what they test.

/// What a client heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was admitted.
    Admitted,
    /// It was refused.
    Refused,
    /// Neither is known: no answer, or one that says nothing of the limit. It may have been counted.
    Unknown,
}

/// One call, in microseconds by one clock.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it was asked.
    pub asked_us: i64,
    /// When the answer was there.
    pub answered_us: i64,
    /// What the answer was.
    pub outcome: Outcome,
}

/// What is to be held.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// The limit.
    pub limit: usize,
    /// Its window.
    pub window_us: i64,
    /// How much longer than its window an admission may count: a part of a sliding window.
    pub grain_us: i64,
}

/// What the replay found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Findings {
    /// How many were admitted.
    pub admitted: usize,
    /// How many were refused.
    pub refused: usize,
    /// The most that surely were admitted within one window.
    pub most_in_a_window: usize,
    /// How many were refused when there surely was room.
    pub refused_without_cause: usize,
}

/// Stores count in whole milliseconds: two moments may be so much closer than they say.
const ROUNDING_US: i64 = 1000;

/// Replays a log, in any order.
#[must_use]
pub fn replay(promise: Promise, log: &[Call]) -> Findings {
    let of = |outcome: Outcome| log.iter().copied().filter(move |call| call.outcome == outcome);
    let mut admitted: Vec<Call> = of(Outcome::Admitted).collect();
    admitted.sort_unstable_by_key(|call| call.asked_us);
    let mut most_in_a_window = 0;
    for (index, first) in admitted.iter().enumerate() {
        let end = first.asked_us + promise.window_us - ROUNDING_US;
        let begun = admitted[index..].iter().take_while(|call| call.asked_us < end);
        most_in_a_window = most_in_a_window.max(begun.filter(|call| call.answered_us < end).count());
    }

    // By the end of each call: what ended before this moment had left the window.
    let mut counted: Vec<Call> =
        log.iter().copied().filter(|call| call.outcome != Outcome::Refused).collect();
    counted.sort_unstable_by_key(|call| call.answered_us);
    let has_room = |refused: &Call| {
        let since = refused.asked_us - promise.window_us - promise.grain_us - ROUNDING_US;
        let first = counted.partition_point(|call| call.answered_us < since);
        let possible = counted[first..].iter().filter(|call| call.asked_us <= refused.answered_us);
        possible.take(promise.limit).count() < promise.limit
    };
    Findings {
        admitted: admitted.len(),
        refused: of(Outcome::Refused).count(),
        most_in_a_window,
        refused_without_cause: of(Outcome::Refused).filter(has_room).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: Promise = Promise { limit: 2, window_us: 1_000_000, grain_us: 10_000 };

    fn call(asked_ms: i64, took_ms: i64, outcome: Outcome) -> Call {
        Call { asked_us: asked_ms * 1000, answered_us: (asked_ms + took_ms) * 1000, outcome }
    }

    #[test]
    fn a_checker_finds_what_is_proven_and_no_more() {
        use Outcome::{Admitted, Refused, Unknown};
        let found = |log: &[Call]| {
            let Findings { most_in_a_window, refused_without_cause, .. } = replay(PROMISE, log);
            (most_in_a_window, refused_without_cause)
        };
        // Three within a second.
        let three = [call(0, 5, Admitted), call(400, 5, Admitted), call(900, 5, Admitted)];
        assert_eq!(found(&three).0, 3);
        // The last one may have been decided after it.
        let slow = [call(0, 5, Admitted), call(400, 5, Admitted), call(900, 200, Admitted)];
        assert_eq!(found(&slow).0, 2);
        // Refused with one in the window; with two; with one and another that may have been counted.
        assert_eq!(found(&[call(0, 5, Admitted), call(500, 5, Refused)]).1, 1);
        assert_eq!(found(&[call(0, 5, Admitted), call(100, 5, Admitted), call(500, 5, Refused)]).1, 0);
        assert_eq!(found(&[call(0, 5, Admitted), call(100, 5, Unknown), call(500, 5, Refused)]).1, 0);
        // Long after both: the grain is over too.
        assert_eq!(found(&[call(0, 5, Admitted), call(1, 5, Admitted), call(1030, 5, Refused)]).1, 1);
        assert_eq!(found(&[call(0, 5, Admitted), call(1, 5, Admitted), call(1012, 5, Refused)]).1, 0);
    }
}
