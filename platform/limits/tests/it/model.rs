//! Any sequence of calls, against a model that keeps every admission, and memory against Redis.

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_limits::store::redis::RedisStore;
use mainstay_limits::store::{Order, Store, Tally};
use mainstay_limits::{Algorithm, Charge, Key, Policy, SUB_BUCKETS};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{TestClock, assert_never_above, memory_store, policy, redis_store};
use mainstay_redis::testing::RedisServer;

#[derive(Clone, Debug)]
struct Call {
    /// Milliseconds since the call before.
    after_ms: i64,
    cost: u32,
}

fn calls(window_ms: i64) -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![
        5 => 0..window_ms / 20,
        3 => Just(0),
        1 => window_ms - 1..=window_ms + 1,
        1 => 0..window_ms * 2,
    ];
    let cost = prop_oneof![8 => Just(1_u32), 2 => 0_u32..12];
    prop::collection::vec((pause, cost).prop_map(|(after_ms, cost)| Call { after_ms, cost }), 1..120)
}

fn policies() -> impl Strategy<Value = Policy> {
    let limit = 2_u32..40;
    let window = prop_oneof![Just("s"), Just("7s"), Just("min"), Just("h")];
    let words = prop_oneof![Just(""), Just(" exact"), Just(" gcra"), Just(" gcra burst=1")];
    (limit, window, words).prop_map(|(limit, window, words)| policy(&format!("{limit}/{window}{words}")))
}

/// Those too whose admissions are dated ahead.
fn all_policies() -> impl Strategy<Value = Policy> {
    let leased = (100_u32..140, prop_oneof![Just("s"), Just("7s"), Just("min")])
        .prop_map(|(limit, window)| policy(&format!("{limit}/{window} lease=1")));
    prop_oneof![4 => policies(), 1 => leased]
}

fn cases() -> impl Strategy<Value = (Policy, Vec<Call>)> {
    cases_of(policies())
}

fn cases_of(policies: impl Strategy<Value = Policy>) -> impl Strategy<Value = (Policy, Vec<Call>)> {
    policies.prop_flat_map(|policy| {
        let window_ms = i64::try_from(policy.window().as_millis()).unwrap();
        (Just(policy), calls(window_ms))
    })
}

/// Remembers everything.
struct Model {
    policy: Policy,
    window_ms: i64,
    /// One for each permit.
    admissions: Vec<i64>,
}

impl Model {
    fn new(policy: Policy) -> Self {
        let window_ms = i64::try_from(policy.window().as_millis()).unwrap();
        Self { policy, window_ms, admissions: Vec::new() }
    }

    fn within(&self, now: i64, window_ms: i64) -> u32 {
        u32::try_from(self.admissions.iter().filter(|at| **at + window_ms > now).count()).unwrap()
    }

    /// Compares a store's answer, which its own count follows.
    fn judge(&mut self, now: i64, cost: u32, tally: &Tally) -> Result<(), TestCaseError> {
        prop_assert_eq!(tally.at_ms, now);
        let limit = self.policy.limit();
        let room = self.within(now, self.window_ms) + cost <= limit;
        // Never above the limit, whatever the algorithm.
        prop_assert!(room || cost == 0 || !tally.admitted);
        match self.policy.algorithm() {
            Algorithm::Exact => prop_assert_eq!(tally.admitted, room || cost == 0),
            Algorithm::Sliding => {
                let part_ms = self.window_ms / i64::from(SUB_BUCKETS) + 1;
                let surely = self.within(now, self.window_ms + part_ms) + cost <= limit;
                prop_assert!(tally.admitted || !surely, "refused for what left the window long ago");
            }
            Algorithm::Gcra { burst } => {
                // The virtual schedule, from the admissions alone: each moves it on by a permit.
                let (mut due, permit) = (0.0_f64, self.window_ms as f64 / f64::from(limit - burst));
                for at in &self.admissions {
                    due = due.max(*at as f64) + permit;
                }
                let early = due.max(now as f64) - now as f64 - (f64::from(burst) - f64::from(cost)) * permit;
                // Within what a double can tell apart.
                prop_assert!(early.abs() < 0.01 || tally.admitted == (early < 0.0) || cost == 0, "{}", early);
            }
        }
        if tally.admitted {
            self.admissions.extend(std::iter::repeat_n(now, usize::try_from(cost).unwrap()));
            if !matches!(self.policy.algorithm(), Algorithm::Gcra { .. }) {
                prop_assert!(tally.remaining <= limit - self.within(now, self.window_ms));
            }
        }
        if self.policy.algorithm() == Algorithm::Exact {
            prop_assert_eq!(tally.remaining, limit - self.within(now, self.window_ms));
            let first = self.admissions.iter().find(|at| **at + self.window_ms > now);
            let reset = first.map_or(0, |at| at + self.window_ms - now);
            prop_assert_eq!(tally.reset_ms, u64::try_from(reset).unwrap());
        }
        Ok(())
    }

    fn finish(mut self) {
        assert_never_above(self.policy.limit(), self.window_ms, &mut self.admissions);
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn memory_does_what_the_model_does() {
    let check = |(policy, calls): (Policy, Vec<Call>)| {
        let clock = TestClock::new();
        let store = memory_store(&clock);
        let key = Key::new(&policy, "anyone");
        let mut model = Model::new(policy);
        let mut now = TestClock::START;
        for Call { after_ms, cost } in calls {
            clock.advance(after_ms);
            now += after_ms;
            let tally = store.charge_one(&Order::new(Charge { key: &key, cost }));
            model.judge(now, cost, &tally)?;
        }
        model.finish();
        Ok(())
    };
    runner(1000).run(&cases(), check).unwrap();
}

#[test]
fn memory_and_redis_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = RedisServer::start();
    let clock = TestClock::new();
    let shared: RedisStore = runtime.block_on(redis_store(&server, &clock));
    let identity = AtomicU64::new(0);
    let check = |((one, calls), (two, _)): ((Policy, Vec<Call>), (Policy, Vec<Call>))| {
        let memory = memory_store(&clock);
        let identity = identity.fetch_add(1, Ordering::Relaxed);
        // Two counters in each call, of one size but for their names.
        let two = Policy::new("other", two.limit(), two.window(), two.algorithm()).unwrap();
        let keys = [Key::new(&one, identity.to_be_bytes()), Key::new(&two, identity.to_be_bytes())];
        runtime.block_on(async {
            for Call { after_ms, cost } in calls {
                clock.advance(after_ms);
                let orders = keys.each_ref().map(|key| Order::new(Charge { key, cost }));
                prop_assert_eq!(memory.charge_now(&orders), shared.charge(&orders).await.unwrap());
            }
            Ok(())
        })
    };
    runner(100).run(&(cases_of(all_policies()), cases_of(all_policies())), check).unwrap();
}
