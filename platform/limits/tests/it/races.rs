//! Three nodes, 64 clients, one Redis, its own clock: never above the limit in any window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::{Clock, SystemClock};
use mainstay_limits::store::{Order, Store};
use mainstay_limits::{Answer, Charge, Decision, Key, Limiter, Policy};
use tokio::task::JoinSet;

use crate::limiter::shared;
use crate::server::RedisServer;
use crate::{TestClock, assert_never_above, policy, redis_store};

/// An admission, as the store dates it and as the client sees it, in milliseconds.
struct Admission {
    at: i64,
    asked: i64,
    answered: i64,
}

/// 64 greedy clients on three nodes, for about three windows.
async fn storm(server: &RedisServer, policy: &Policy) -> Vec<Admission> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(shared(server).await);
    }
    let until = Instant::now() + policy.window() * 3 + Duration::from_millis(200);
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let (limiter, key) = (nodes[client % 3].clone(), Key::new(policy, "everybody"));
        clients.spawn(async move {
            let (mut admissions, clock) = (Vec::new(), SystemClock);
            while Instant::now() < until {
                let asked = clock.now().millis();
                let decision = limiter.check(&key, 1).await;
                let answered = clock.now().millis();
                assert!(
                    matches!(decision.answer, Answer::Shared | Answer::Blocked | Answer::Lease),
                    "{decision:?}"
                );
                if decision.admitted {
                    admissions.push(Admission { at: decision.at.millis(), asked, answered });
                }
                tokio::task::yield_now().await;
            }
            admissions
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

async fn assert_holds(text: &str) {
    let (server, policy) = (RedisServer::start(), policy(text));
    let admissions = storm(&server, &policy).await;
    let window_ms = i64::try_from(policy.window().as_millis()).unwrap();
    assert_stormed(&policy, &admissions);
    let mut moments: Vec<i64> = admissions.iter().map(|admission| admission.at).collect();
    assert_never_above(policy.limit(), window_ms, &mut moments);
    assert_seen_never_above(&policy, window_ms, &admissions);
}

/// That there was something to hold: of three windows at least one was used up.
#[track_caller]
fn assert_stormed(policy: &Policy, admissions: &[Admission]) {
    let (limit, count) = (usize::try_from(policy.limit()).unwrap(), admissions.len());
    assert!(count >= limit, "only {count} were admitted");
}

/// What clients can prove: so many calls began and ended within a window.
#[track_caller]
fn assert_seen_never_above(policy: &Policy, window_ms: i64, admissions: &[Admission]) {
    for first in admissions {
        let begins = first.asked;
        let within = |other: &&Admission| other.asked >= begins && other.answered < begins + window_ms;
        let count = admissions.iter().filter(within).count();
        assert!(count <= usize::try_from(policy.limit()).unwrap(), "{count} were admitted in one window");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exact_log_holds() {
    assert_holds("100/s exact").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sliding_window_holds() {
    assert_holds("300/s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gcra_holds() {
    assert_holds("200/s gcra burst=50").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_hold() {
    let (server, policy) = (RedisServer::start(), policy("100/s lease=1"));
    let admissions = storm(&server, &policy).await;
    // How many of the permits lapse unused depends on how busy the machine is.
    assert!(!admissions.is_empty());
    // Redis dates the batch, not the call: what clients see is the proof here.
    assert_seen_never_above(&policy, 1000, &admissions);
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
