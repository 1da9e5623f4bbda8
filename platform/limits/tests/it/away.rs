//! Redis hangs, dies, refuses to write, and comes back.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, SystemClock};
use mainstay_limits::{Answer, Charge, Fail, Key, Limiter, StoreState};
use mainstay_telemetry::Metrics;
use tokio::task::JoinSet;

use crate::limiter::{connect, number, round_trips};
use crate::{TestClock, policy};
use mainstay_redis::testing::RedisServer;

/// As in production: 50 ms.
const TIMEOUT: Duration = Duration::from_millis(50);

async fn node(server: &RedisServer, fail: Fail, nodes: u32, metrics: &Metrics) -> Limiter {
    let options = server.options().with_timeout(TIMEOUT);
    let clock: Arc<dyn Clock> = TestClock::new();
    connect(options, fail, nodes, clock, metrics).await
}

/// Asks until the breaker is open.
async fn until_away(limiter: &Limiter) {
    // Something that is always written.
    let key = Key::new(&policy("1000000/h"), "until away");
    for _ in 0..100 {
        if limiter.store_state() == StoreState::Away {
            return;
        }
        limiter.check(&key, 1).await;
    }
    panic!("the store is not given up on");
}

/// Five seconds are the promise; on a machine with more to do it may take longer.
async fn until_up(limiter: &Limiter) {
    let up = async {
        while limiter.store_state() != StoreState::Up {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), up).await.expect("the store comes back");
}

#[tokio::test]
async fn a_redis_that_hangs_is_asked_three_times_and_joined_again_by_itself() {
    let (server, metrics) = (RedisServer::start(), Metrics::new());
    let limiter = node(&server, Fail::Local, 2, &metrics).await;
    until_up(&limiter).await;
    let key = Key::new(&policy("10/h"), "a");
    let mut before = 0;
    for _ in 0..4 {
        // On a busy machine an answer can take longer than 50 ms.
        before += u32::from(limiter.check(&key, 1).await.answer == Answer::Shared);
    }

    server.freeze();
    until_away(&limiter).await;
    let asked = round_trips(&metrics);
    let mut admitted = 0;
    for _ in 0..1000 {
        let decision = limiter.check(&key, 1).await;
        assert_eq!((decision.answer, decision.limit), (Answer::Local, 5));
        admitted += u32::from(decision.admitted);
    }
    // This node's half, from which the calls came that Redis did not answer.
    assert_eq!(admitted, 5 - (4 - before));
    // And nobody waited.
    assert_eq!(round_trips(&metrics), asked);
    assert_eq!(number(&metrics, "limits_store_up"), 0);
    assert!(number(&metrics, "limits_breaker_opened_total") >= 1);

    server.thaw();
    until_up(&limiter).await;
    assert_eq!(number(&metrics, "limits_store_up"), 1);
    // Redis still counts what it admitted, and nothing of what the node did alone.
    let remaining = patient(&limiter, &key).await;
    assert!((10 - 4..=10 - before).contains(&remaining), "{remaining}");
}

/// What Redis says is left, asked until it answers in time.
async fn patient(limiter: &Limiter, key: &Key) -> u32 {
    loop {
        let decision = limiter.check(key, 0).await;
        if decision.answer == Answer::Shared {
            return decision.remaining;
        }
        until_up(limiter).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_hanging_redis_are_all_served() {
    let (server, metrics) = (RedisServer::start(), Metrics::new());
    let limiter = node(&server, Fail::Local, 1, &metrics).await;
    until_up(&limiter).await;
    server.freeze();
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let (limiter, key) = (limiter.clone(), Key::new(&policy("500/h"), "all"));
        clients.spawn(async move {
            let mut admitted = 0;
            for _ in 0..50 {
                admitted += u32::from(limiter.check(&key, 1).await.admitted);
            }
            admitted
        });
    }
    let admitted: u32 = clients.join_all().await.into_iter().sum();
    // Redis may have had time to answer nobody.
    assert_eq!(admitted, 500);
    // 64 clients at once are a few questions, and three that failed are enough.
    let failures = number(&metrics, "limits_store_failures_total");
    assert!((3..=10).contains(&failures), "{failures}");
}

#[tokio::test]
async fn a_redis_that_dies_and_is_started_anew_is_joined_again() {
    let (mut server, metrics) = (RedisServer::start(), Metrics::new());
    let limiter = node(&server, Fail::Local, 1, &metrics).await;
    until_up(&limiter).await;
    let key = Key::new(&policy("10/h"), "a");
    for _ in 0..2 {
        server.kill();
        until_away(&limiter).await;
        assert_eq!(limiter.check(&key, 1).await.answer, Answer::Local);
        assert!(server.launch());
        until_up(&limiter).await;
        patient(&limiter, &key).await;
    }
    // Two outages of this node alone count as one: it remembers.
    server.kill();
    until_away(&limiter).await;
    assert_eq!(limiter.check(&key, 1).await.remaining, 7);
}

#[tokio::test]
async fn a_node_starts_without_redis_and_finds_it_later() {
    let (mut server, metrics) = (RedisServer::stopped(), Metrics::new());
    let limiter = node(&server, Fail::Local, 3, &metrics).await;
    assert_eq!(limiter.store_state(), StoreState::Away);
    let key = Key::new(&policy("9/h"), "a");
    assert_eq!(limiter.check(&key, 1).await.limit, 3);
    limiter.set_nodes(std::num::NonZeroU32::MIN);
    assert_eq!(limiter.check(&key, 1).await.limit, 9);
    assert!(server.launch());
    until_up(&limiter).await;
    assert_eq!(patient(&limiter, &key).await, 9);
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_away_until_it_does() {
    let (server, metrics) = (RedisServer::start(), Metrics::new());
    let limiter = node(&server, Fail::Local, 1, &metrics).await;
    until_up(&limiter).await;
    let key = Key::new(&policy("10/h"), "a");
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let decision = limiter.check(&key, 1).await;
    assert_eq!((decision.admitted, decision.answer), (true, Answer::Local));
    until_away(&limiter).await;
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    until_up(&limiter).await;
    assert_eq!(patient(&limiter, &key).await, 10);
}

#[tokio::test]
async fn open_and_closed_are_what_they_say_but_strict_is_never_open() {
    let server = RedisServer::stopped();
    let (plain, strict) = (policy("2/h"), policy("4/h exact strict"));
    let (one, two) = (Key::new(&plain, "a"), Key::new(&strict, "a"));

    let open = node(&server, Fail::Open, 2, &Metrics::new()).await;
    for _ in 0..20 {
        let decision = open.check(&one, 1).await;
        assert_eq!((decision.admitted, decision.answer), (true, Answer::Open));
    }
    let admitted = [(); 20].map(|()| open.check(&two, 1));
    let mut count = 0;
    for decision in admitted {
        let decision = decision.await;
        assert_eq!((decision.answer, decision.limit), (Answer::Local, 2));
        count += u32::from(decision.admitted);
    }
    assert_eq!(count, 2);
    let both = open.check_all(&[Charge::one(&one), Charge::one(&two)]).await;
    assert!(!both.is_admitted() && both.decisions[0].answer == Answer::Local);

    let closed = node(&server, Fail::Closed, 2, &Metrics::new()).await;
    let decision = closed.check(&one, 1).await;
    assert_eq!((decision.admitted, decision.answer, decision.remaining), (false, Answer::Closed, 0));
    assert_eq!(decision.retry_after, Some(5));
}

#[tokio::test]
async fn nodes_alone_admit_no_more_than_the_limit_together() {
    let server = RedisServer::stopped();
    for text in ["10/h", "10/h exact", "100/h gcra burst=10", "3/h gcra burst=1"] {
        let policy = policy(text);
        let mut admitted = 0;
        for _ in 0..3 {
            let limiter = node(&server, Fail::Local, 3, &Metrics::new()).await;
            let key = Key::new(&policy, "a");
            while limiter.check(&key, 1).await.admitted {
                admitted += 1;
            }
        }
        assert!((3..=policy.limit()).contains(&admitted), "{text}: {admitted}");
    }
}

#[tokio::test]
async fn a_limiter_that_is_dropped_leaves_no_task_behind() {
    let server = RedisServer::stopped();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::new();
    let limiter = connect(server.options(), Fail::Local, 1, clock, &metrics).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    assert_eq!(tasks.num_alive_tasks(), 2);
    drop(limiter);
    tokio::task::yield_now().await;
    assert_eq!(tasks.num_alive_tasks(), 0);
}
