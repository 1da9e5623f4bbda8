use std::collections::VecDeque;
use std::fmt;

use crate::decision::seconds;
use crate::policy::{Algorithm, Policy};
use crate::state::{Shape, State};

/// Calls in one window of a simulation; of larger limits several calls are tried as one.
const STEPS: u32 = 1000;

/// How many windows are simulated.
const WINDOWS: i64 = 5;

/// What clients get from a policy, found by trying it on a clock of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// The policy.
    pub policy: Policy,
    /// How many calls an idle client may make at once.
    pub burst: u32,
    /// Whole seconds until the next one after that, rounded up.
    pub next_after_s: u32,
    /// Whole seconds until as many at once again, rounded up.
    pub full_after_s: u32,
    /// How many calls, evenly spread over every window, are never refused. Of limits beyond a
    /// thousand to about a thousandth.
    pub steady_per_window: u32,
    /// How much of the limit a client is admitted that asks for twice the limit all the time, on
    /// average after its first window, from 0 to 1.
    pub flood_share: f64,
    /// The most that client got in any trailing window. Never more than the limit.
    pub flood_most: u32,
}

/// Tries a policy: a burst, an even stream, and a flood.
#[must_use]
pub fn simulate(policy: &Policy) -> Simulation {
    let shape = policy.shape();
    let burst = shape.capacity();
    let mut state = State::new(shape);
    try_call(&mut state, shape, 0, burst);
    let after = state.look(shape, 0, 1).retry_ms;
    let full_after = state.look(shape, 0, burst).retry_ms;
    let (flood_share, flood_most) = flood(shape);
    Simulation {
        policy: policy.clone(),
        burst,
        next_after_s: after.map_or(u32::MAX, seconds),
        full_after_s: full_after.map_or(u32::MAX, seconds),
        steady_per_window: steady(shape),
        flood_share,
        flood_most,
    }
}

fn try_call(state: &mut State, shape: Shape, now: i64, cost: u32) -> bool {
    let at = state.advance(shape, now);
    let admitted = state.look(shape, at, cost).admitted;
    if admitted {
        state.charge(shape, at, cost, true);
    }
    admitted
}

fn steady(shape: Shape) -> u32 {
    let cost = shape.limit.div_ceil(STEPS);
    let never_refused = |calls: u32| {
        let mut state = State::new(shape);
        (0..i64::from(calls) * WINDOWS)
            .all(|call| try_call(&mut state, shape, call * shape.window_ms / i64::from(calls), cost))
    };
    let (mut good, mut bad) = (0, shape.limit / cost + 1);
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        if never_refused(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good * cost
}

fn flood(shape: Shape) -> (f64, u32) {
    let cost = shape.limit.div_ceil(STEPS);
    let calls = i64::from(shape.limit / cost) * 2;
    let mut state = State::new(shape);
    let mut admissions: VecDeque<i64> = VecDeque::new();
    let (mut most, mut later) = (0, 0_u32);
    for call in 0..calls * WINDOWS {
        let now = call * shape.window_ms / calls;
        if !try_call(&mut state, shape, now, cost) {
            continue;
        }
        admissions.push_back(now);
        while admissions.front().is_some_and(|first| first + shape.window_ms <= now) {
            admissions.pop_front();
        }
        most = most.max(admissions.len());
        later += u32::from(now >= shape.window_ms);
    }
    let windows = f64::from(i32::try_from(WINDOWS - 1).unwrap_or(1));
    let share = f64::from(later) * f64::from(cost) / windows / f64::from(shape.limit);
    (share, u32::try_from(most).unwrap_or(u32::MAX).saturating_mul(cost))
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, burst, next_after_s, full_after_s, steady_per_window, flood_share, flood_most } =
            self;
        let window_s = policy.window().as_secs();
        let how = match policy.algorithm() {
            Algorithm::Exact => "exact log",
            Algorithm::Sliding => "sliding window",
            Algorithm::Gcra { .. } => "GCRA",
        };
        writeln!(f, "{policy}: {how}, never more than {} in any {window_s} s", policy.limit())?;
        writeln!(
            f,
            "burst:  {burst} at once, the next after {next_after_s} s, {burst} again after {full_after_s} s"
        )?;
        writeln!(f, "steady: {steady_per_window} evenly spread over {window_s} s are never refused")?;
        write!(
            f,
            "flood:  of twice the limit, {:.1} % of the limit is admitted, at most {flood_most} in any {window_s} s",
            flood_share * 100.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulation(text: &str) -> Simulation {
        simulate(&Policy::parse("p", text).unwrap())
    }

    #[test]
    fn no_policy_exceeds_its_limit_and_windows_waste_less_than_a_hundredth() {
        for limit in [1, 2, 5, 59, 60, 61, 100, 150, 1000, 12_345, 1_000_000_000] {
            for window in ["s", "min", "15min", "h", "31d"] {
                for words in ["", " exact", " gcra", " gcra burst=1"] {
                    let Ok(policy) = Policy::parse("p", &format!("{limit}/{window}{words}")) else {
                        continue;
                    };
                    let found = simulate(&policy);
                    assert!(found.flood_most <= limit, "{found}");
                    if words == " exact" || (words.is_empty() && limit >= 100) {
                        assert!(found.flood_share >= 0.99, "{found}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_client_steadily_just_under_its_limit_is_never_refused() {
        for text in ["10/min exact", "150/h exact", "100/min", "1000/min", "1000000/h"] {
            let found = simulation(text);
            let limit = f64::from(found.policy.limit());
            assert!(f64::from(found.steady_per_window) >= limit * 0.98, "{found}");
        }
        // GCRA gives up the burst for pacing.
        let found = simulation("100/min gcra burst=10");
        assert!(found.steady_per_window >= 90, "{found}");
    }

    #[test]
    fn a_simulation_can_be_read() {
        assert_eq!(
            simulation("10/min exact").to_string(),
            "10/min exact: exact log, never more than 10 in any 60 s\n\
             burst:  10 at once, the next after 60 s, 10 again after 60 s\n\
             steady: 10 evenly spread over 60 s are never refused\n\
             flood:  of twice the limit, 100.0 % of the limit is admitted, at most 10 in any 60 s"
        );
        let gcra = simulation("100/min gcra burst=10");
        assert_eq!((gcra.burst, gcra.next_after_s, gcra.full_after_s), (10, 1, 7));
    }
}
