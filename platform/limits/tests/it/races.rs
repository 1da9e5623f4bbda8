//! Three nodes, 64 clients, one Redis, its own clock: never above the limit in any window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::Clock;
use mainstay_limits::store::{Order, Store};
use mainstay_limits::{Answer, Charge, Decision, Key, Limiter, Policy, SUB_BUCKETS};
use tokio::task::JoinSet;

use crate::checker::{Call, Findings, Outcome, Promise, replay};
use crate::limiter::shared;
use crate::{TestClock, assert_never_above, policy, redis_store};
use mainstay_redis::testing::RedisServer;

/// What was seen: calls as clients see them, and admissions as the store dates them.
struct Seen {
    calls: Vec<Call>,
    dated_ms: Vec<i64>,
}

/// 64 greedy clients on three nodes, for about three windows.
async fn storm(server: &RedisServer, policy: &Policy) -> Seen {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(shared(server).await);
    }
    let began = Instant::now();
    let until = began + policy.window() * 3 + Duration::from_millis(200);
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let (limiter, key) = (nodes[client % 3].clone(), Key::new(policy, "everybody"));
        clients.spawn(async move {
            let mut seen = Seen { calls: Vec::new(), dated_ms: Vec::new() };
            let now_us = || i64::try_from(began.elapsed().as_micros()).unwrap();
            while Instant::now() < until {
                let asked_us = now_us();
                let decision = limiter.check(&key, 1).await;
                let answered_us = now_us();
                assert!(
                    matches!(decision.answer, Answer::Shared | Answer::Blocked | Answer::Lease),
                    "{decision:?}"
                );
                let outcome = if decision.admitted { Outcome::Admitted } else { Outcome::Refused };
                seen.dated_ms.extend(decision.admitted.then(|| decision.at.millis()));
                // Each refusal of a flood says the same: some are enough, a million are slow to judge.
                let repeats = seen.calls.last().is_some_and(|last| {
                    last.outcome == Outcome::Refused
                        && outcome == Outcome::Refused
                        && answered_us - last.answered_us < 500
                });
                if !repeats {
                    seen.calls.push(Call { asked_us, answered_us, outcome });
                }
                tokio::task::yield_now().await;
            }
            seen
        });
    }
    let mut all = Seen { calls: Vec::new(), dated_ms: Vec::new() };
    for seen in clients.join_all().await {
        all.calls.extend(seen.calls);
        all.dated_ms.extend(seen.dated_ms);
    }
    all
}

/// What the clients saw, judged. `grain_us`: for how much longer an admission may count.
fn judged(policy: &Policy, grain_us: i64, seen: &Seen) -> Findings {
    let limit = usize::try_from(policy.limit()).unwrap();
    let window_us = i64::try_from(policy.window().as_micros()).unwrap();
    let found = replay(Promise { limit, window_us, grain_us }, &seen.calls);
    assert!(found.most_in_a_window <= limit, "{found:?}");
    found
}

async fn assert_holds(text: &str, grain_us: Option<i64>) {
    let (server, policy) = (RedisServer::start(), policy(text));
    let mut seen = storm(&server, &policy).await;
    let found = judged(&policy, grain_us.unwrap_or(0), &seen);
    // That there was something to hold: of three windows at least one was used up.
    assert!(found.admitted >= usize::try_from(policy.limit()).unwrap(), "{found:?}");
    if grain_us.is_some() {
        assert_eq!(found.refused_without_cause, 0, "{found:?}");
    }
    let window_ms = i64::try_from(policy.window().as_millis()).unwrap();
    assert_never_above(policy.limit(), window_ms, &mut seen.dated_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exact_log_holds() {
    assert_holds("100/s exact", Some(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sliding_window_holds() {
    // A part is less than a hundredth of the window: so much, and no more, a client may miss.
    assert_holds("300/s", Some(1_000_000 / i64::from(SUB_BUCKETS))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gcra_holds() {
    // Paced, it refuses where the window has room.
    assert_holds("200/s gcra burst=50", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_hold() {
    let (server, policy) = (RedisServer::start(), policy("100/s lease=1"));
    // How many of the permits lapse unused depends on how busy the machine is. Redis dates the batch, not
    // the call: what clients see is the proof here.
    let found = judged(&policy, 0, &storm(&server, &policy).await);
    assert!(found.admitted > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_two_policies_leave_no_trace_of_refusals() {
    let server = RedisServer::start();
    let (by_user, by_address) = (policy("20/h exact"), policy("1000/h"));
    let (mut nodes, mut clients) = (Vec::new(), JoinSet::new());
    for _ in 0..3 {
        nodes.push(shared(&server).await);
    }
    for client in 0..64 {
        let limiter: Limiter = nodes[client % 3].clone();
        // Eight users behind one address.
        let keys = [Key::new(&by_user, format!("user {}", client % 8)), Key::new(&by_address, "address")];
        clients.spawn(async move {
            let mut admitted = 0;
            for turn in 0..10 {
                let mut charges = keys.each_ref().map(Charge::one);
                if turn % 2 == 0 {
                    charges.reverse();
                }
                admitted += u32::from(limiter.check_all(&charges).await.is_admitted());
            }
            admitted
        });
    }
    // 640 calls of 8 users who have 20 each.
    assert_eq!(clients.join_all().await.into_iter().sum::<u32>(), 160);
    let left: Decision = nodes[0].check(&Key::new(&by_address, "address"), 0).await;
    assert_eq!(left.remaining, 1000 - 160);
}

/// The clock is ours here, so that what a client gets is counted exactly.
#[tokio::test]
async fn a_window_across_three_nodes_wastes_less_than_a_hundredth() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(redis_store(&server, &clock).await);
    }
    // Just under the limit, at it, and just above it; each for ten windows.
    for (identity, calls_per_second, most_refused) in
        [("under", 98_i64, 0.0), ("at", 100, 0.01), ("above", 104, 0.05)]
    {
        let key = Key::new(&policy("1000/10s"), identity);
        let (mut admissions, calls) = (Vec::new(), calls_per_second * 100);
        let start = clock.now().millis();
        for call in 0..calls {
            clock.advance(start + call * 1000 / calls_per_second - clock.now().millis());
            let node = &nodes[usize::try_from(call).unwrap() % 3];
            let tally = node.charge(&[Order::new(Charge::one(&key))]).await.unwrap()[0];
            if tally.admitted {
                admissions.push(tally.at_ms);
            }
        }
        let possible = usize::try_from(calls.min(10_000)).unwrap();
        let wasted = 1.0 - admissions.len() as f64 / possible as f64;
        assert!(wasted <= 0.01_f64.min(most_refused), "{identity}: {wasted}");
        assert_never_above(1000, 10_000, &mut admissions);
    }
}

/// Keeps the server's clock honest: two calls in a row are not dated backwards.
#[tokio::test]
async fn redis_decides_by_its_own_clock() {
    let server = RedisServer::start();
    // This node's clock is an hour and more off.
    let clock: Arc<dyn Clock> = TestClock::new();
    let limiter = crate::limiter::shared_with(&server, clock).await;
    let key = Key::new(&policy("2/h"), "a");
    let time: Vec<String> = server.command(&["TIME"]);
    let before = time[0].parse::<i64>().unwrap() * 1000;
    let (one, two) = (limiter.check(&key, 1).await, limiter.check(&key, 1).await);
    assert!(before <= one.at.millis() && one.at <= two.at);
    assert!(!limiter.check(&key, 1).await.admitted);
}
