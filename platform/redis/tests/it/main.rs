//! A link to a real Redis. What its users make of it is tested in `limits` and `cache`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking; helpers are no #[test]")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_redis::testing::RedisServer;
use mainstay_redis::{AskError, Link, LinkMetrics, Probe, RedisOptions, Refusals};
use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use redis::RedisResult;
use redis::aio::ConnectionManager;

/// Finds Redis of use when it is told to.
#[derive(Default)]
struct Switch(AtomicBool);

impl Probe for Switch {
    async fn probe(&self, connection: &mut ConnectionManager) -> RedisResult<()> {
        let command = if self.0.load(Ordering::SeqCst) { "PING" } else { "NO SUCH COMMAND" };
        redis::cmd(command).exec_async(connection).await
    }
}

fn link(options: RedisOptions, refusals: Refusals) -> (Link<Switch>, LinkMetrics) {
    let metrics = LinkMetrics {
        up: Default::default(),
        opened: Default::default(),
        failures: Default::default(),
        seconds: Histogram::new([1.0]),
    };
    let probe = Switch(AtomicBool::new(true));
    (Link::new("the test's Redis", options, probe, refusals, metrics.clone()).unwrap(), metrics)
}

async fn ping(link: &Link<Switch>) -> Result<String, AskError> {
    link.ask(async |connection| redis::cmd("PING").query_async(connection).await).await
}

async fn refused(link: &Link<Switch>) -> Result<(), AskError> {
    link.ask(async |connection| redis::cmd("NO SUCH COMMAND").exec_async(connection).await).await
}

#[tokio::test]
async fn what_a_refusal_means_is_its_users_to_say() {
    let server = RedisServer::start();
    for (refusals, is_up) in [(Refusals::Bear, true), (Refusals::Count, false)] {
        let (link, metrics) = link(server.options(), refusals);
        assert_eq!(ping(&link).await, Err(AskError::Away), "it was not joined yet");
        link.join().await;
        for _ in 0..3 {
            assert_eq!(refused(&link).await, Err(AskError::Failed));
            // Three that are not in a row are nothing.
            assert_eq!(ping(&link).await.as_deref(), Ok("PONG"));
        }
        for _ in 0..3 {
            assert_eq!(refused(&link).await, Err(AskError::Failed));
        }
        assert_eq!(link.is_up(), is_up, "{refusals:?}");
        assert_eq!(metrics.failures.get(), 6);
        assert_eq!((metrics.up.get(), metrics.opened.get()), (i64::from(is_up), u64::from(!is_up)));
        let expected = if is_up { Ok("PONG".to_owned()) } else { Err(AskError::Away) };
        assert_eq!(ping(&link).await, expected);
    }
}

#[tokio::test]
async fn a_redis_that_is_of_no_use_is_away_until_it_is() {
    let server = RedisServer::start();
    let (link, metrics) = link(server.options(), Refusals::Bear);
    link.probe().0.store(false, Ordering::SeqCst);
    link.join().await;
    assert_eq!((link.is_up(), ping(&link).await), (false, Err(AskError::Away)));

    let found = async {
        link.probe().0.store(true, Ordering::SeqCst);
        while !link.is_up() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = link.watch() => unreachable!("it never ends"),
        found = tokio::time::timeout(Duration::from_secs(30), found) => found.expect("it is found"),
    }
    assert_eq!((metrics.up.get(), metrics.opened.get()), (1, 0));
    assert_eq!(ping(&link).await.as_deref(), Ok("PONG"));
}

#[tokio::test]
async fn one_that_hangs_is_asked_three_times() {
    let server = RedisServer::start();
    let (link, metrics) = link(server.options().with_timeout(Duration::from_millis(50)), Refusals::Bear);
    while !link.is_up() {
        link.join().await;
    }
    server.freeze();
    while link.is_up() {
        assert_eq!(ping(&link).await, Err(AskError::Failed));
    }
    assert_eq!((metrics.failures.get(), metrics.opened.get(), metrics.up.get()), (3, 1, 0));
    assert_eq!(ping(&link).await, Err(AskError::Away));
    assert_eq!(metrics.failures.get(), 3);
}

#[test]
fn only_urls_of_redis_are_taken_and_what_they_hold_is_not_shown() {
    for url in ["postgres://localhost/db", "redis://", "nonsense", "rediss://localhost"] {
        assert!(RedisOptions::new(url, "").is_err(), "{url}");
    }
    let named = RedisOptions::new("redis://ann:secret@localhost:6380/2", "").unwrap();
    assert!(!format!("{named:?}").contains("secret"));
    assert!(!format!("{:?}", link(named, Refusals::Count).0).contains("secret"));
}
