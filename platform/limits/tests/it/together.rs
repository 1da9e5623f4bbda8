//! Calls at the same time, which go to Redis together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use mainstay_core::{Clock, SystemClock};
use mainstay_limits::store::redis::RedisStore;
use mainstay_limits::store::{Order, Store, StoreError};
use mainstay_limits::{Answer, Charge, Fail, Key, RedisOptions};
use mainstay_redis::testing::RedisServer;
use mainstay_telemetry::Metrics;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::limiter::connect;
use crate::{TestClock, charge, policy, redis_store};

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
    // 800 keys: at most 128 in a question, so that Redis has time for others.
    let asked = scripts(&server) - before;
    assert!((7..=20).contains(&asked), "{asked} questions for 400 calls");
    let other = redis_store(&server, &clock).await;
    assert_eq!(charge(&other, &everybody, 0).await.remaining, 0);
}

/// One call of up to three keys, each a policy by its place and an identity; and what it costs.
#[derive(Clone, Debug)]
struct Call {
    keys: Vec<(usize, u8)>,
    cost: u32,
}

/// Calls of all algorithms, many of the same keys, some that cost nothing and some that cost too much; a clock that
/// may go back.
#[test]
fn together_they_are_decided_as_one_after_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = RedisServer::start();
    let clock = TestClock::new();
    let store = |prefix| {
        let (options, clock) = (server.options_under(prefix), Arc::clone(&clock) as Arc<dyn Clock>);
        runtime.block_on(RedisStore::connect_by(clock, options, &Metrics::new())).unwrap()
    };
    let (apart, together) = (store("apart:"), store("together:"));
    let policies = ["9/min exact", "40/min", "7/min", "20/7s gcra", "12/h gcra burst=4", "500/s lease=3"];
    let policies = policies.map(policy);
    let identities = AtomicU64::new(0);

    let key = (0..policies.len(), 0_u8..3);
    let cost = prop_oneof![8 => Just(1_u32), 2 => 0_u32..12];
    let call = (prop::collection::hash_set(key, 1..4), cost).prop_map(|(keys, cost)| {
        let is_new = |(policy, identity): &(usize, u8)| {
            // The two a minute have one counter for each identity: a call names only one of them.
            *policy != 2 || !keys.contains(&(1, *identity))
        };
        Call { keys: keys.iter().copied().filter(is_new).collect(), cost }
    });
    let pause_ms = prop_oneof![3 => 0_i64..20_000, 1 => -3000_i64..0];
    let moments = prop::collection::vec((prop::collection::vec(call, 1..40), pause_ms), 1..12);

    let check = |moments: Vec<(Vec<Call>, i64)>| {
        let case = identities.fetch_add(1, Ordering::Relaxed);
        let orders_of = |call: &Call| -> Vec<Order> {
            let order = |(policy, identity): &(usize, u8)| {
                let key = Key::new(&policies[*policy], format!("{case} {identity}"));
                Order::new(Charge { key: &key, cost: call.cost })
            };
            call.keys.iter().map(order).collect()
        };
        runtime.block_on(async {
            for (calls, pause_ms) in moments {
                let calls: Vec<Vec<Order>> = calls.iter().map(orders_of).collect();
                let before = scripts(&server);
                let told = join_all(calls.iter().map(|orders| together.charge(orders))).await;
                prop_assert_eq!(scripts(&server) - before, 1);
                for (orders, told) in calls.iter().zip(told) {
                    prop_assert_eq!(told.unwrap(), apart.charge(orders).await.unwrap());
                }
                clock.advance(pause_ms);
            }
            Ok(())
        })
    };
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&moments, check).unwrap();
}

#[tokio::test]
async fn whoever_gives_up_before_redis_is_asked_is_not_charged() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    let (gone, here) = (Key::new(&policy("100/h"), "gone"), Key::new(&policy("100/h"), "here"));
    for _ in 0..10 {
        let orders = [Order::new(Charge::one(&gone))];
        assert_eq!(store.charge(&orders).now_or_never(), None);
    }
    let orders = [Order::new(Charge::one(&here)), Order::new(Charge { key: &gone, cost: 0 })];
    let tallies = store.charge(&orders).await.unwrap();
    assert_eq!(tallies.iter().map(|tally| tally.remaining).collect::<Vec<_>>(), [99, 100]);
}

#[tokio::test]
async fn whoever_gives_up_later_takes_nobody_along() {
    let server = RedisServer::start();
    let store = Arc::new(RedisStore::connect(server.options(), &Metrics::new()).await.unwrap());
    let policy = policy("100/h");
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
        // Until Redis is asked for all of them, most likely.
        tokio::time::sleep(Duration::from_millis(5)).await;
        gone.shutdown().await;
        server.thaw();
        let mut remaining = here.join_all().await;
        remaining.sort_unstable();
        let most = 100 - round * 10;
        assert_eq!(remaining, (most - 10..most).collect::<Vec<_>>(), "round {round}");
    }
}

#[tokio::test]
async fn what_is_no_counter_counts_as_nothing_and_spoils_no_other_call() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    for text in ["5/min", "5/h exact", "50/min gcra burst=5"] {
        let (bad, good) = (Key::new(&policy(text), "bad"), Key::new(&policy(text), "good"));
        let _: String = server.command(&["FLUSHALL"]);
        charge(&store, &bad, 1).await;
        let name: String = server.command(&["RANDOMKEY"]);
        // The last one, which is as long as a counter, still lets others through.
        for rubbish in [&["SET", "x"][..], &["SET", ""], &["LPUSH", "a list"], &["SET", "aaaaaaaaaaaaaa"]] {
            let _: i64 = server.command(&["DEL", &name]);
            let _: redis::Value = server.command(&[rubbish[0], &name, rubbish[1]]);
            let (good, bad) = tokio::join!(charge(&store, &good, 1), charge(&store, &bad, 1));
            assert!(good.admitted, "{text}: {rubbish:?}");
            if rubbish[1].len() < 14 {
                assert_eq!((bad.admitted, bad.remaining), (true, 4), "{text}: {rubbish:?}");
            }
        }
    }
}

#[tokio::test]
async fn many_calls_at_once_take_few_permits_ahead() {
    let server = RedisServer::start();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let limiter = connect(server.options(), Fail::Closed, 1, clock, &Metrics::new()).await;
    let key = Key::new(&policy("100000/h lease=100"), "a");
    let calls = join_all((0..100).map(|_| limiter.check(&key, 1))).await;
    assert!(calls.iter().all(|decision| decision.admitted && decision.answer == Answer::Shared));
    // Permits for all, and ahead for one of them, or two if a part of the window ended meanwhile.
    let left = limiter.check(&key, 0).await.remaining;
    assert!(left >= 100_000 - 100 - 200, "{left}");
}

/// Passes everything on, what Redis answers with a delay in milliseconds, as if it were far away.
async fn far_away(port: u16, delay_ms: Arc<AtomicU64>, tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own_port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut pumps = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            pumps.spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) });
            let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
            let delay_ms = Arc::clone(&delay_ms);
            pumps.spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::SeqCst));
                    sender.send((due, buffer[..count].to_vec())).map_err(std::io::Error::other)?;
                }
                Ok(())
            });
            pumps.spawn(async move {
                while let Some((due, bytes)) = receiver.recv().await {
                    tokio::time::sleep_until(due).await;
                    to_client.write_all(&bytes).await?;
                }
                Ok(())
            });
        }
    });
    own_port
}

#[tokio::test]
async fn calls_do_not_wait_for_the_answers_of_others() {
    let (server, delay_ms, mut tasks) = (RedisServer::start(), Arc::new(AtomicU64::new(0)), JoinSet::new());
    let port = far_away(server.port(), Arc::clone(&delay_ms), &mut tasks).await;
    let options = RedisOptions::new(&format!("redis://127.0.0.1:{port}"), "test:").unwrap();
    let store =
        RedisStore::connect(options.with_timeout(Duration::from_secs(20)), &Metrics::new()).await.unwrap();
    assert!(store.is_up());
    delay_ms.store(1500, Ordering::SeqCst);
    let near = RedisStore::connect(server.options(), &Metrics::new()).await.unwrap();
    let key = Key::new(&policy("1000/h"), "a");
    let calls = (0..30_u64).map(|number| {
        let (store, key, near) = (&store, &key, &near);
        async move {
            tokio::time::sleep(Duration::from_millis(number * 5)).await;
            assert!(charge(store, key, 1).await.admitted);
            charge(near, key, 0).await.remaining
        }
    });
    // When the first one was answered, all had long been counted.
    assert_eq!(join_all(calls).await[0], 970);
}

#[tokio::test]
async fn calls_of_more_keys_than_a_question_has_are_asked_alone() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    let (policy, before) = (policy("9/h"), scripts(&server));
    let orders = |call: u32, keys: u32| -> Vec<Order> {
        let key = |number: u32| Key::new(&policy, [call.to_be_bytes(), number.to_be_bytes()].concat());
        (0..keys).map(|number| Order::new(Charge::one(&key(number)))).collect()
    };
    let calls = [orders(0, 1), orders(1, 300), orders(2, 2), orders(3, 0), orders(4, 3)];
    let answers = join_all(calls.iter().map(|orders| store.charge(orders))).await;
    for (orders, answer) in calls.iter().zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(answer.len(), orders.len());
        assert!(answer.iter().all(|tally| tally.admitted && tally.remaining == 8));
    }
    assert_eq!(scripts(&server) - before, 3);
}

#[tokio::test]
async fn a_store_that_was_not_started_is_away() {
    let server = RedisServer::start();
    let store = RedisStore::new(server.options(), &Metrics::new()).unwrap();
    let order = Order::new(Charge::one(&Key::new(&policy("9/h"), "a")));
    assert_eq!((store.is_up(), store.charge(&[order]).await), (false, Err(StoreError::Away)));
    store.start().await;
    assert!(store.is_up() && store.charge(&[order]).await.unwrap()[0].admitted);
}
