//! The limiter's own part: verdicts, what it remembers, leases, metrics, and what Redis holds.

use std::num::NonZeroU32;
use std::sync::Arc;

use mainstay_core::{Clock, SystemClock};
use mainstay_limits::store::{Order, Store};
use mainstay_limits::{
    Answer, Charge, Fail, Key, Limiter, RedisOptions, Shared, StoreState, Verdict, headers,
};
use mainstay_telemetry::Metrics;

use crate::{TestClock, charge, policy, redis_store};
use mainstay_redis::testing::RedisServer;

pub async fn shared(server: &RedisServer) -> Limiter {
    shared_with(server, Arc::new(SystemClock)).await
}

pub async fn shared_with(server: &RedisServer, clock: Arc<dyn Clock>) -> Limiter {
    let limiter = connect(server.options(), Fail::Closed, 1, clock, &Metrics::new()).await;
    assert_eq!(limiter.store_state(), StoreState::Up);
    limiter
}

pub async fn connect(
    redis: RedisOptions,
    fail: Fail,
    nodes: u32,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Limiter {
    let nodes = NonZeroU32::new(nodes).unwrap();
    Limiter::shared(Shared { redis, fail, nodes }, clock, metrics).await.unwrap()
}

/// How many round trips were made.
pub fn round_trips(metrics: &Metrics) -> u64 {
    number(metrics, "limits_store_seconds_count")
}

pub fn number(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn a_client_hears_whole_seconds_rounded_up() {
    let clock = TestClock::new();
    let limiter = Limiter::memory(Arc::clone(&clock) as Arc<dyn Clock>, &Metrics::new());
    assert_eq!(limiter.store_state(), StoreState::Memory);
    let key = Key::new(&policy("2/15min exact"), "a");

    let first = limiter.check(&key, 1).await;
    assert_eq!((first.admitted, first.limit, first.remaining), (true, 2, 1));
    assert_eq!((first.reset, first.retry_after, first.answer), (900, None, Answer::Memory));
    clock.advance(1);
    assert_eq!(limiter.check(&key, 1).await.reset, 900);
    clock.advance(899_998);
    let refused = limiter.check(&key, 1).await;
    assert_eq!((refused.admitted, refused.reset, refused.retry_after), (false, 1, Some(1)));
    clock.advance(1);
    assert!(limiter.check(&key, 1).await.admitted);

    let never = limiter.check(&key, 3).await;
    assert_eq!((never.admitted, never.retry_after), (false, Some(u32::MAX)));
}

#[tokio::test]
async fn several_policies_admit_together_and_the_tightest_answers() {
    let (clock, metrics) = (TestClock::new(), Metrics::new());
    let limiter = Limiter::memory(Arc::clone(&clock) as Arc<dyn Clock>, &metrics);
    let user = Key::new(&mainstay_limits::Policy::parse("user", "10/min").unwrap(), "ann");
    let address = Key::new(&mainstay_limits::Policy::parse("address", "3/min").unwrap(), "203.0.113.7");
    let charges = [Charge::one(&user), Charge::one(&address)];

    for left in [2, 1, 0] {
        let verdict = limiter.check_all(&charges).await;
        assert!(verdict.is_admitted());
        let tightest = verdict.tightest().unwrap();
        assert_eq!((tightest.policy.name(), tightest.remaining), ("address", left));
    }
    let refused = limiter.check_all(&charges).await;
    assert_eq!(refused.violated().map(mainstay_limits::Policy::name).collect::<Vec<_>>(), ["address"]);
    let sent = headers::all(&refused);
    assert!(sent.contains(&("ratelimit-policy", r#""user";q=10;w=60, "address";q=3;w=60"#.to_owned())));
    assert!(sent.contains(&("ratelimit", r#""user";r=7;t=60, "address";r=0;t=60"#.to_owned())));
    assert!(sent.contains(&("retry-after", "60".to_owned())));

    // The same counter twice in a call is charged for both.
    let twice = limiter.check_all(&[Charge { key: &user, cost: 4 }, Charge { key: &user, cost: 4 }]).await;
    assert!(!twice.is_admitted() && twice.decisions.len() == 1);
    assert!(
        limiter
            .check_all(&[Charge { key: &user, cost: 4 }, Charge { key: &user, cost: 3 }])
            .await
            .is_admitted()
    );
    assert!(limiter.check_all(&[]).await.is_admitted());

    let text = metrics.render();
    for line in [
        r#"limits_decisions_total{policy="address",outcome="admitted",answer="memory"} 3"#,
        r#"limits_decisions_total{policy="address",outcome="refused",answer="memory"} 1"#,
        "limits_memory_keys 2",
        "limits_memory_overflowed 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn a_counter_under_two_limits_is_charged_for_both_under_the_lower() {
    let server = RedisServer::start();
    let clock: Arc<dyn Clock> = TestClock::new();
    for limiter in [shared(&server).await, Limiter::memory(clock, &Metrics::new())] {
        let keys = ["40/h", "3/h", "9/h"].map(|text| Key::new(&policy(text), "a"));
        let verdict = limiter.check_all(&keys.each_ref().map(Charge::one)).await;
        let [decision] = &verdict.decisions[..] else { panic!("{verdict:?}") };
        assert_eq!((decision.admitted, decision.limit, decision.remaining), (true, 3, 0));
        assert!(!limiter.check_all(&keys.each_ref().map(Charge::one)).await.is_admitted());
    }
}

#[tokio::test]
async fn a_flood_costs_no_round_trips() {
    let (server, metrics) = (RedisServer::start(), Metrics::new());
    let limiter = connect(server.options(), Fail::Closed, 1, Arc::new(SystemClock), &metrics).await;
    let (policy, other) = (policy("3/h exact"), policy("100/h"));
    let (key, free) = (Key::new(&policy, "a"), Key::new(&other, "a"));
    for _ in 0..3 {
        assert!(limiter.check(&key, 1).await.admitted);
    }
    let refused = limiter.check(&key, 1).await;
    assert_eq!((refused.admitted, refused.answer, refused.retry_after), (false, Answer::Shared, Some(3600)));
    let before = round_trips(&metrics);
    for _ in 0..1000 {
        let again = limiter.check(&key, 1).await;
        assert_eq!((again.admitted, again.answer, again.remaining), (false, Answer::Blocked, 0));
        assert!(again.retry_after >= Some(again.reset) && again.retry_after > Some(3500));
        let both = limiter.check_all(&[Charge::one(&free), Charge::one(&key)]).await;
        assert!(!both.is_admitted());
    }
    assert_eq!(round_trips(&metrics), before);
    // Others are asked about, and were not charged.
    assert_eq!(limiter.check(&free, 1).await.remaining, 99);
    assert_eq!(round_trips(&metrics), before + 1);
}

#[tokio::test]
async fn who_waits_as_a_node_says_by_itself_is_not_too_early_however_slow_redis_was() {
    let server = RedisServer::start();
    let limiter = shared(&server).await;
    for text in ["1/h exact", "1/h"] {
        for several in [false, true] {
            let identity = format!("{text} {several}");
            let key = Key::new(&policy(text), &identity);
            let free = Key::new(&policy("100/d gcra"), &identity);
            let check = async || {
                let charges = [Charge::one(&key), Charge::one(&free)];
                let verdict = limiter.check_all(&charges[..1 + usize::from(several)]).await;
                verdict.tightest().unwrap().clone()
            };
            let started = std::time::Instant::now();
            assert!(limiter.check(&key, 1).await.admitted);
            server.freeze();
            // The gate: the answer takes more than a second.
            let gate = async {
                tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
                server.thaw();
            };
            let (refused, ()) = tokio::join!(check(), gate);
            assert_eq!((refused.admitted, refused.answer), (false, Answer::Shared));

            let again = check().await;
            assert_eq!(again.answer, Answer::Blocked);
            let passed = started.elapsed().as_millis();
            let told = u128::from(again.retry_after.unwrap()) * 1000;
            assert!(told + passed >= 3_600_000, "{text}: {told} ms, {passed} ms after the admission");
        }
    }
}

#[tokio::test]
async fn a_blocked_call_hears_of_all_its_policies_and_of_what_is_known_of_them() {
    let server = RedisServer::start();
    let limiter = shared(&server).await;
    let named = |name, text| Key::new(&mainstay_limits::Policy::parse(name, text).unwrap(), "a");
    let (one, two, three) = (named("one", "9/h"), named("two", "1/h exact"), named("three", "1/d exact"));
    let charges = [Charge::one(&one), Charge::one(&two), Charge::one(&three)];
    let header = |verdict: &Verdict, name: &str| {
        let all = headers::all(verdict);
        let value = all.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        value.unwrap_or_else(|| panic!("{name} in {all:?}"))
    };
    assert!(limiter.check(&two, 1).await.admitted);
    let asked = limiter.check_all(&charges).await;
    let again = limiter.check_all(&charges).await;

    assert_eq!(asked.decisions.iter().map(|one| one.answer).collect::<Vec<_>>(), [Answer::Shared; 3]);
    assert_eq!(again.decisions.iter().map(|one| one.answer).collect::<Vec<_>>(), [Answer::Blocked]);
    for verdict in [&asked, &again] {
        let policies = r#""one";q=9;w=3600, "two";q=1;w=3600, "three";q=1;w=86400"#;
        assert_eq!(header(verdict, headers::RATELIMIT_POLICY), policies);
        assert_eq!(header(verdict, headers::X_RATELIMIT_LIMIT), "1");
        assert_eq!(header(verdict, headers::X_RATELIMIT_REMAINING), "0");
        assert_eq!(header(verdict, headers::X_RATELIMIT_RESET), header(verdict, headers::RETRY_AFTER));
        assert_eq!(verdict.violated().map(mainstay_limits::Policy::name).collect::<Vec<_>>(), ["two"]);
    }
    // Of the others it is not known what others left of them since.
    assert!(header(&again, headers::RATELIMIT).starts_with(r#""two";r=0;t="#), "{again:?}");
    assert!(!header(&again, headers::RATELIMIT).contains(','), "{again:?}");

    // Blocked by the first and the last: the one that refuses longest speaks, and the order is the call's.
    assert!(limiter.check(&three, 1).await.admitted);
    assert!(!limiter.check(&three, 1).await.admitted);
    let both = limiter.check_all(&[Charge::one(&three), Charge::one(&one), Charge::one(&two)]).await;
    let policies = r#""three";q=1;w=86400, "one";q=9;w=3600, "two";q=1;w=3600"#;
    assert_eq!(header(&both, headers::RATELIMIT_POLICY), policies);
    assert_eq!(both.decisions.len(), 2);
    assert_eq!(both.tightest().unwrap().policy.name(), "three");
}

#[tokio::test]
async fn a_refusal_that_is_known_is_told_without_asking_and_counts_nothing() {
    let key = Key::new(&policy("2/min exact"), "a");
    let clock = TestClock::new();
    let limiter = Limiter::memory(Arc::clone(&clock) as Arc<dyn Clock>, &Metrics::new());
    for _ in 0..2 {
        assert_eq!(limiter.known_refusal(&key, 1), None);
        limiter.check(&key, 1).await;
    }
    let known = limiter.known_refusal(&key, 1);
    assert_eq!(known, Some(limiter.check(&key, 1).await));
    clock.advance(60_000);
    assert_eq!(limiter.known_refusal(&key, 1), None);

    let (mut server, metrics) = (RedisServer::start(), Metrics::new());
    let node = async |fail| connect(server.options(), fail, 2, TestClock::new(), &metrics).await;
    let (local, open, closed) = (node(Fail::Local).await, node(Fail::Open).await, node(Fail::Closed).await);
    local.check(&key, 1).await;
    local.check(&key, 1).await;
    // Redis would refuse it, but that was not heard yet.
    assert_eq!(local.known_refusal(&key, 1), None);
    assert!(!local.check(&key, 1).await.admitted);
    let asked = round_trips(&metrics);
    let known = local.known_refusal(&key, 1).unwrap();
    assert_eq!((known.answer, known.remaining), (Answer::Blocked, 0));
    // Not what another node heard.
    assert_eq!(open.known_refusal(&key, 1), None);
    assert_eq!(round_trips(&metrics), asked);

    server.kill();
    for limiter in [&local, &open, &closed] {
        while limiter.store_state() == StoreState::Up {
            limiter.check(&Key::new(&policy("1000000/h"), "until away"), 1).await;
        }
    }
    let fresh = Key::new(&policy("2/min exact"), "b");
    for limiter in [&local, &open, &closed] {
        assert_eq!(limiter.known_refusal(&fresh, 1), None);
        limiter.check(&fresh, 1).await;
    }
    // The share of one node of two.
    let known = local.known_refusal(&fresh, 1).unwrap();
    assert_eq!((known.answer, known.limit), (Answer::Local, 1));
    assert_eq!(open.known_refusal(&fresh, 1), None);
    let strict = Key::new(&policy("2/min exact strict"), "c");
    open.check(&strict, 1).await;
    assert_eq!(open.known_refusal(&strict, 1).map(|known| known.answer), Some(Answer::Local));
}

#[tokio::test]
async fn a_lease_saves_round_trips_and_its_rest_lapses() {
    let (server, metrics) = (RedisServer::start(), Metrics::new());
    let limiter = connect(server.options(), Fail::Closed, 1, Arc::new(SystemClock), &metrics).await;
    let leased = policy("2000/h lease=20");
    let key = Key::new(&leased, "a");
    for _ in 0..210 {
        assert!(limiter.check(&key, 1).await.admitted);
    }
    // One in 21, unless a part of the window ended meanwhile.
    assert!((10..=11).contains(&round_trips(&metrics)), "{}", round_trips(&metrics));
    let left = limiter.check(&key, 0).await.remaining;
    assert!((2000 - 231..=2000 - 210).contains(&left), "{left}");
}

#[tokio::test]
async fn leased_permits_count_until_they_can_no_longer_be_used() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    let key = Key::new(&policy("200/min lease=2"), "a");
    // Parts of half a second, and the clock 345 ms into one: dated at its end.
    let first = charge(&store, &key, 1).await;
    assert_eq!((first.remaining, first.reset_ms), (199, 60_155));
    clock.advance(-300);
    assert_eq!(charge(&store, &key, 1).await.remaining, 198);
    clock.advance(300 + 60_154);
    assert_eq!(charge(&store, &key, 0).await.remaining, 198);
    clock.advance(1);
    assert_eq!(charge(&store, &key, 0).await.remaining, 200);
}

#[tokio::test]
async fn a_key_takes_less_than_two_kib_and_expires() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    for text in ["150/d exact", "1000000/d", "100000/d lease=1000", "1000000/d gcra"] {
        let key = Key::new(&policy(text), text);
        for _ in 0..1000 {
            charge(&store, &key, 1).await;
            // A day has 1000 of these and some more.
            clock.advance(86_000);
        }
        let names: Vec<String> = server.command(&["KEYS", "test:*"]);
        for name in names {
            let size: u64 = server.command(&["MEMORY", "USAGE", &name]);
            assert!(size <= 2048, "{text}: {size}");
            let ttl: i64 = server.command(&["PTTL", &name]);
            assert!(ttl > 0, "{text}: {ttl}");
        }
    }
}

#[tokio::test]
async fn who_waits_as_told_is_admitted_even_if_the_servers_clock_went_back() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let store = redis_store(&server, &clock).await;
    for text in ["4/min exact", "4/min", "8/min gcra burst=4"] {
        let key = Key::new(&policy(text), text);
        charge(&store, &key, 4).await;
        clock.advance(-7000);
        let refused = charge(&store, &key, 2).await;
        assert!(refused.reset_ms > 7000, "{text}: {refused:?}");
        let wait = i64::try_from(refused.retry_ms.unwrap()).unwrap();
        clock.advance(wait - 1);
        assert!(!charge(&store, &key, 2).await.admitted, "{text}");
        clock.advance(1);
        assert!(charge(&store, &key, 2).await.admitted, "{text}");
        clock.advance(100_000);
    }
}

#[tokio::test]
async fn redis_sees_neither_identities_nor_policies() {
    let server = RedisServer::start();
    let limiter = shared(&server).await;
    limiter.check(&Key::new(&policy("5/min"), "ann@example.org"), 1).await;
    let names: Vec<String> = server.command(&["KEYS", "*"]);
    assert!(names.iter().all(|name| name.len() == "test:".len() + 32), "{names:?}");
}

#[tokio::test]
async fn a_script_that_redis_forgot_is_sent_again() {
    let server = RedisServer::start();
    let limiter = shared(&server).await;
    let key = Key::new(&policy("5/min"), "a");
    for left in [4, 3, 2] {
        let _: String = server.command(&["SCRIPT", "FLUSH"]);
        let decision = limiter.check(&key, 1).await;
        assert_eq!((decision.answer, decision.remaining), (Answer::Shared, left));
    }
}

#[tokio::test]
async fn deployments_with_their_own_prefix_share_a_redis() {
    let server = RedisServer::start();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = Key::new(&policy("1/h"), "a");
    for prefix in ["one:", "two:"] {
        let options = server.options_under(prefix);
        let limiter = connect(options, Fail::Closed, 1, Arc::clone(&clock), &Metrics::new()).await;
        assert!(limiter.check(&key, 1).await.admitted, "{prefix}");
    }
}

/// The trait is what both stores are used through.
#[tokio::test]
async fn an_order_of_nothing_is_answered_by_nothing() {
    let (server, clock) = (RedisServer::start(), TestClock::new());
    let nothing: [Order; 0] = [];
    assert_eq!(redis_store(&server, &clock).await.charge(&nothing).await, Ok(Vec::new()));
    assert_eq!(crate::memory_store(&clock).charge(&nothing).await, Ok(Vec::new()));
}
