//! Calls at the same time, which go to Redis together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_limits::store::redis::RedisStore;
use mainstay_limits::store::{Order, Store};
use mainstay_limits::{Charge, Key, Policy};
use mainstay_redis::testing::RedisServer;
use mainstay_telemetry::Metrics;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::task::JoinSet;

use crate::{TestClock, charge, memory_store, policy, redis_store};

/// A policy by its place, an identity, a cost.
type Call = (usize, u64, u32);

/// How many scripts Redis ran.
fn scripts(server: &RedisServer) -> u64 {
    let stats: String = server.command(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    line.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn calls_at_the_same_time_share_round_trips_and_are_decided_one_by_one() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    // Known to Redis, so that it is not asked twice.
    charge(&store, &Key::new(&policy("1/h"), "first"), 1).await;
    let before = scripts(&server);
    let (large, small) = (policy("300/h"), policy("1/h exact"));
    let everybody = Key::new(&large, "everybody");
    let calls = (0..400_u32).map(|client| {
        let own = Key::new(&small, client.to_be_bytes());
        let orders = [Order::new(Charge::one(&everybody)), Order::new(Charge::one(&own))];
        let store = &store;
        async move { store.charge(&orders).await.unwrap() }
    });
    let answers = join_all(calls).await;
    for (client, answer) in (0..400).zip(&answers) {
        // Who finds nothing left in common has lost nothing of their own.
        let expected = if client < 300 { [(true, 299 - client), (true, 0)] } else { [(false, 0), (true, 1)] };
        let answer: Vec<_> = answer.iter().map(|tally| (tally.admitted, tally.remaining)).collect();
        assert_eq!(answer, expected, "{client}");
    }
    let asked = scripts(&server) - before;
    assert!(asked <= 20, "{asked} round trips for 400 calls");
    let other = redis_store(&server, &clock).await;
    assert_eq!(charge(&other, &everybody, 0).await.remaining, 0);
}

/// Calls of all algorithms, some of the same key, some that cost nothing and some that cost too much.
#[test]
fn together_they_are_decided_as_one_after_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = RedisServer::start();
    let clock = TestClock::new();
    let shared: RedisStore = runtime.block_on(redis_store(&server, &clock));
    let policies = ["9/min exact", "40/min", "7/min", "20/7s gcra", "12/h gcra burst=4", "500/s lease=3"];
    let policies = policies.map(policy);
    let identities = AtomicU64::new(0);
    let call = (0..policies.len(), 0_u64..4, prop_oneof![8 => Just(1_u32), 2 => 0_u32..12]);
    let moments = prop::collection::vec((prop::collection::vec(call, 1..60), 0_i64..20_000), 1..12);
    let check = |moments: Vec<(Vec<Call>, i64)>| {
        let memory = memory_store(&clock);
        let first = identities.fetch_add(4, Ordering::Relaxed);
        runtime.block_on(async {
            for (calls, pause_ms) in moments {
                let orders: Vec<Order> = calls
                    .iter()
                    .map(|(policy, identity, cost)| {
                        let key = Key::new(&policies[*policy], (first + identity).to_be_bytes());
                        Order::new(Charge { key: &key, cost: *cost })
                    })
                    .collect();
                let asked = orders.iter().map(|order| shared.charge(std::slice::from_ref(order)));
                let tallies: Vec<_> =
                    join_all(asked).await.into_iter().map(|answer| answer.unwrap()[0]).collect();
                let expected: Vec<_> = orders.iter().map(|order| memory.charge_one(order)).collect();
                prop_assert_eq!(tallies, expected);
                clock.advance(pause_ms);
            }
            Ok(())
        })
    };
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&moments, check).unwrap();
}

#[tokio::test]
async fn whoever_gives_up_leaves_the_way_to_those_who_wait() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let options = server.options().with_timeout(Duration::from_secs(20));
    let clock = Arc::clone(&clock) as Arc<dyn mainstay_core::Clock>;
    let store = Arc::new(RedisStore::connect_by(clock, options, &Metrics::new()).await.unwrap());
    let policy: Policy = policy("100/h");
    let ask = |tasks: &mut JoinSet<u32>, identity: &str| {
        for _ in 0..10 {
            let (store, key) = (Arc::clone(&store), Key::new(&policy, identity));
            tasks.spawn(async move { charge(&*store, &key, 1).await.remaining });
        }
    };
    for round in 0..3 {
        let (mut gone, mut here) = (JoinSet::new(), JoinSet::new());
        server.freeze();
        ask(&mut gone, "gone");
        ask(&mut here, "here");
        // All of them are under way or wait.
        tokio::task::yield_now().await;
        gone.shutdown().await;
        server.thaw();
        let mut remaining = here.join_all().await;
        remaining.sort_unstable();
        let most = 100 - round * 10;
        assert_eq!(remaining, (most - 10..most).collect::<Vec<_>>(), "round {round}");
    }
}
