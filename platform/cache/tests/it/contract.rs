//! What holds with and without Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use mainstay_cache::{
    Body, Cache, CacheOptions, CacheSettings, Cached, Fetched, LoadError, Loaded, Namespace,
    Source as ServedBy, Steady,
};
use mainstay_core::{OsRng, SystemClock};
use mainstay_telemetry::Metrics;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Nodes, Source, SourceFailed, THINGS, number};
use mainstay_redis::testing::RedisServer;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod memory_only {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Nodes::new().await).await;
            })*
        }
        mod with_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let server = super::RedisServer::start();
                super::$name(super::Nodes::with_redis(server.options()).await).await;
            })*
        }
    };
}

contract!(
    a_value_is_loaded_once_and_then_served,
    what_is_absent_is_remembered_for_a_short_time,
    a_stale_value_is_served_while_a_new_one_is_loaded,
    an_old_value_is_served_when_the_source_fails,
    nobody_waits_for_a_source_that_fails_slowly_again_and_again,
    nobody_waits_for_a_source_that_fails_slowly_while_the_log_is_away,
    what_the_source_says_is_gone_is_no_spare,
    an_error_goes_to_everybody_who_waited_and_is_not_kept,
    a_panic_of_the_loader_harms_nobody,
    who_hangs_up_does_not_cut_the_load_off,
    five_hundred_who_ask_at_once_cause_one_load,
    a_key_and_a_tag_and_a_namespace_can_be_invalidated,
    a_load_that_an_invalidation_overtook_is_not_kept,
    who_reads_after_an_invalidation_does_not_join_an_older_load,
    a_body_is_served_as_it_was_made,
    an_attempt_is_made_once,
    a_cache_that_is_off_keeps_nothing,
    everything_can_be_cleared,
);

/// With Redis, when it is there.
async fn node(nodes: &Nodes) -> crate::Node {
    let node = nodes.node();
    node.cache.start();
    if nodes.redis.is_some() {
        node.until("up", |cache| cache.is_redis_up() == Some(true)).await;
    }
    assert!(node.cache.catch_up().await);
    node
}

async fn a_value_is_loaded_once_and_then_served(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    let things = node.things();
    assert_eq!(things.peek(&1), None);
    for _ in 0..3 {
        assert_eq!(source.read(&things, 1).await, 0);
    }
    assert_eq!(things.peek(&1).unwrap().unwrap().as_str(), "0");
    assert_eq!(source.loads(), 1);
    source.read(&things, 2).await;
    assert_eq!(source.loads(), 2);

    let status = things.fetch(&1, || async { Err::<Option<String>, _>(SourceFailed) }).await.unwrap().status;
    assert_eq!((status.source, status.ttl_ms, status.collapsed), (ServedBy::Memory, 60_000, false));
    assert_eq!(number(&node.metrics, r#"cache_reads_total{namespace="test.thing",result="memory"}"#), 4);
    assert_eq!(number(&node.metrics, r#"cache_reads_total{namespace="test.thing",result="miss"}"#), 2);
    assert_eq!(
        number(&node.metrics, r#"cache_memory_bytes{namespace="test.thing"}"#),
        i64::try_from(node.cache.memory_bytes()).unwrap()
    );
}

async fn what_is_absent_is_remembered_for_a_short_time(nodes: Nodes) {
    let node = node(&nodes).await;
    let (things, loads) = (node.things(), Arc::new(AtomicUsize::new(0)));
    let read = async |value: Option<String>| {
        let loads = Arc::clone(&loads);
        let load = move || async move {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, SourceFailed>(value)
        };
        things.get_or_load(&1, load).await.unwrap()
    };
    assert_eq!(read(None).await, None);
    assert_eq!(read(Some("now".to_owned())).await, None);
    assert_eq!(things.peek(&1), Some(None));
    nodes.advance(5);
    node.cache.catch_up().await;
    assert_eq!(read(Some("now".to_owned())).await.unwrap().as_str(), "now");
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

async fn a_stale_value_is_served_while_a_new_one_is_loaded(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    let things = node.things();
    source.read(&things, 1).await;
    source.change();
    nodes.advance(60);
    node.cache.catch_up().await;
    // Nobody waits: the new value can't be there yet.
    let (gate, held) = (Arc::new(Notify::new()), source.clone());
    let opened = Arc::clone(&gate);
    let load = move || async move {
        opened.notified().await;
        held.load().await
    };
    let fetched = things.fetch(&1, load).await.unwrap();
    assert_eq!((fetched.value.unwrap().as_str(), fetched.status.ttl_ms), ("0", 0));
    assert_eq!(source.read(&things, 1).await, 0);
    gate.notify_one();
    while source.read(&things, 1).await == 0 {
        // While the lease of the last load is being given back, the next try waits a moment of the clock.
        nodes.clock.advance(Duration::from_millis(10));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(source.loads(), 2);

    // After that span everybody waits.
    source.change();
    nodes.advance(80);
    node.cache.catch_up().await;
    assert_eq!(source.read(&things, 1).await, 2);
}

async fn an_old_value_is_served_when_the_source_fails(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    let things = node.things();
    source.read(&things, 1).await;
    source.fail(true);
    nodes.advance(75);
    node.cache.catch_up().await;
    let failing = source.clone();
    let fetched = things.fetch(&1, move || failing.load()).await.unwrap();
    assert_eq!((fetched.value.unwrap().as_str(), fetched.status.source), ("0", ServedBy::Spare));

    // Not after an invalidation, and not for ever.
    let failing = source.clone();
    things.invalidate(&1).await;
    let error = things.get_or_load(&1, move || failing.load()).await.unwrap_err();
    assert!(matches!(error, LoadError::Loader(error) if *error == SourceFailed));
    source.fail(false);
    source.read(&things, 1).await;
    source.fail(true);
    nodes.advance(80);
    node.cache.catch_up().await;
    let failing = source.clone();
    things.get_or_load(&1, move || failing.load()).await.unwrap_err();
}

/// A source that takes its time: it answers each time that the gate is opened.
#[derive(Clone)]
struct Slow {
    source: Source,
    began: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Semaphore>,
}

impl Slow {
    fn new(source: &Source) -> Self {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        Self { source: source.clone(), began: Arc::default(), gate }
    }

    fn began(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }

    async fn read(&self, things: &Cached<u64, String>) -> Result<Fetched<String>, LoadError<SourceFailed>> {
        let Self { source, began, gate } = self.clone();
        let load = move || async move {
            began.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            source.load().await
        };
        let read = things.fetch(&1, load);
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("nobody waits for the gate")
    }

    /// Reads until `began` loads have begun. The lease of the last one may still be held for a moment.
    async fn read_until_begun(&self, nodes: &Nodes, things: &Cached<u64, String>, began: usize) {
        while self.began() < began {
            assert_eq!(self.read(things).await.unwrap().status.source, ServedBy::Spare);
            nodes.clock.advance(Duration::from_millis(10));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// With a spare, and a source that fails: the first load is waited for, no other one.
async fn nobody_waits_twice(nodes: &Nodes, node: &crate::Node, source: &Source) {
    let (things, slow) = (node.things(), Slow::new(source));
    let failed = r#"cache_load_errors_total{namespace="test.thing"}"#;
    source.fail(true);
    slow.gate.add_permits(1);
    assert_eq!(slow.read(&things).await.unwrap().status.source, ServedBy::Spare);
    // For a pause nobody asks it.
    for _ in 0..10 {
        let fetched = slow.read(&things).await.unwrap();
        assert_eq!((fetched.value.unwrap().as_str(), fetched.status.source), ("0", ServedBy::Spare));
    }
    assert_eq!(slow.began(), 1);
    // Then one does, and nobody waits for that.
    nodes.advance(1);
    slow.read_until_begun(nodes, &things, 2).await;
    for _ in 0..5 {
        nodes.advance(1);
        assert_eq!(slow.read(&things).await.unwrap().status.source, ServedBy::Spare);
    }
    assert_eq!(slow.began(), 2);
    slow.gate.add_permits(1);
    node.until("failed", |_| number(&node.metrics, failed) == 2).await;
    for _ in 0..10 {
        assert_eq!(slow.read(&things).await.unwrap().status.source, ServedBy::Spare);
    }
    assert_eq!(slow.began(), 2);

    // When it answers again, its answer is there.
    source.fail(false);
    source.change();
    nodes.advance(1);
    slow.read_until_begun(nodes, &things, 3).await;
    slow.gate.add_permits(100);
    while slow.read(&things).await.unwrap().value.unwrap().as_str() == "0" {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    // What was invalidated is no spare, whatever is remembered.
    source.fail(true);
    nodes.advance(62);
    let waited = slow.read(&things).await;
    assert!(waited.is_ok());
    things.invalidate(&1).await;
    slow.read(&things).await.unwrap_err();
}

async fn nobody_waits_for_a_source_that_fails_slowly_again_and_again(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    source.read(&node.things(), 1).await;
    nodes.advance(71);
    node.cache.catch_up().await;
    nobody_waits_twice(&nodes, &node, &source).await;
}

async fn nobody_waits_for_a_source_that_fails_slowly_while_the_log_is_away(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    source.read(&node.things(), 1).await;
    node.cache.stop();
    nodes.advance(2);
    nobody_waits_twice(&nodes, &node, &source).await;
}

async fn what_the_source_says_is_gone_is_no_spare(nodes: Nodes) {
    const BRIEF: Namespace<u64, String> = THINGS.negative(Duration::ZERO);
    let (node, source) = (node(&nodes).await, Source::default());
    let things = node.cache.namespace(&BRIEF);
    source.read(&things, 1).await;
    nodes.advance(75);
    node.cache.catch_up().await;
    let gone = things.get_or_load(&1, || async { Ok::<_, SourceFailed>(None::<String>) }).await;
    assert_eq!(gone.unwrap(), None);
    source.fail(true);
    let failing = source.clone();
    things.get_or_load(&1, move || failing.load()).await.unwrap_err();
}

async fn an_error_goes_to_everybody_who_waited_and_is_not_kept(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    source.fail(true);
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let (things, source) = (node.things(), source.clone());
        waiting.spawn(async move {
            let load = move || async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                source.load().await
            };
            things.get_or_load(&1, load).await.unwrap_err()
        });
    }
    let errors = waiting.join_all().await;
    assert!(errors.iter().all(|error| error.to_string() == "the source failed"));
    assert_eq!(source.loads(), 1);
    source.fail(false);
    assert_eq!(source.read(&node.things(), 1).await, 0);
    assert_eq!(number(&node.metrics, r#"cache_load_errors_total{namespace="test.thing"}"#), 1);
}

async fn a_panic_of_the_loader_harms_nobody(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    let things = node.things();
    let panics = || async {
        assert!(std::hint::black_box(false), "as the test wants it");
        Ok::<_, SourceFailed>(None::<String>)
    };
    let error = things.get_or_load(&1, panics).await.unwrap_err();
    assert!(matches!(error, LoadError::Abandoned));
    assert_eq!(source.read(&things, 1).await, 0);
}

async fn who_hangs_up_does_not_cut_the_load_off(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    let things = node.things();
    let (began, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let load = {
        let (began, gate, source) = (Arc::clone(&began), Arc::clone(&gate), source.clone());
        move || async move {
            began.notify_one();
            gate.notified().await;
            source.load().await
        }
    };
    tokio::select! {
        _ = things.get_or_load(&1, load) => panic!("the gate is shut"),
        () = began.notified() => {}
    }
    gate.notify_one();
    assert_eq!(source.read(&things, 1).await, 0);
    assert_eq!(source.loads(), 1);
}

async fn five_hundred_who_ask_at_once_cause_one_load(nodes: Nodes) {
    let (node, source) = (node(&nodes).await, Source::default());
    let mut clients = JoinSet::new();
    for _ in 0..500 {
        let (things, source) = (node.things(), source.clone());
        clients.spawn(async move {
            let load = move || async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                source.load().await
            };
            things.get_or_load(&1, load).await.unwrap().unwrap()
        });
    }
    assert!(clients.join_all().await.iter().all(|value| value.as_str() == "0"));
    assert_eq!(source.loads(), 1);
}

async fn a_key_and_a_tag_and_a_namespace_can_be_invalidated(nodes: Nodes) {
    let node = node(&nodes).await;
    let (things, loads) = (node.things(), Arc::new(AtomicUsize::new(0)));
    let read = async |key: u64, tags: &'static [&'static str]| {
        let loads = Arc::clone(&loads);
        let load = move || async move {
            let number = loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, SourceFailed>(Loaded::new(number.to_string()).tags(tags.iter().copied()))
        };
        things.get_or_load(&key, load).await.unwrap().unwrap().parse::<usize>().unwrap()
    };
    let (red, both) = (&["red"][..], &["red", "round"][..]);
    assert_eq!((read(1, red).await, read(2, both).await, read(3, &[]).await), (0, 1, 2));
    node.cache.invalidate_tags(&["round"]).await;
    assert_eq!((read(1, red).await, read(2, both).await, read(3, &[]).await), (0, 3, 2));
    node.cache.invalidate_tags(&["red", "unknown"]).await;
    assert_eq!((read(1, red).await, read(2, both).await, read(3, &[]).await), (4, 5, 2));
    things.invalidate(&3).await;
    assert_eq!((read(1, red).await, read(2, both).await, read(3, &[]).await), (4, 5, 6));
    things.invalidate_all().await;
    assert_eq!((read(1, red).await, read(2, both).await, read(3, &[]).await), (7, 8, 9));
}

/// Reads, and stops in the loader after it has read the source.
fn held_read(
    node: &crate::Node,
    source: &Source,
    tag: &'static str,
) -> (JoinSet<String>, Arc<Notify>, Arc<Notify>) {
    let (has_read, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut reader = JoinSet::new();
    let (things, source, said, opened) =
        (node.things(), source.clone(), Arc::clone(&has_read), Arc::clone(&gate));
    reader.spawn(async move {
        let load = move || async move {
            let value = source.load().await?.unwrap();
            said.notify_one();
            opened.notified().await;
            Ok::<_, SourceFailed>(Loaded::new(value).tag(tag))
        };
        things.get_or_load(&1, load).await.unwrap().unwrap().to_string()
    });
    (reader, has_read, gate)
}

async fn a_load_that_an_invalidation_overtook_is_not_kept(nodes: Nodes) {
    for by_tag in [false, true] {
        let (node, source) = (node(&nodes).await, Source::default());
        let (reader, has_read, gate) = held_read(&node, &source, "tag");
        has_read.notified().await;
        source.change();
        if by_tag {
            node.cache.invalidate_tags(&["tag"]).await;
        } else {
            node.things().invalidate(&1).await;
        }
        gate.notify_one();
        // It began before the change.
        assert_eq!(reader.join_all().await, ["0"]);
        assert_eq!(source.read(&node.things(), 1).await, 1);
        node.things().invalidate(&1).await;
    }
}

async fn who_reads_after_an_invalidation_does_not_join_an_older_load(nodes: Nodes) {
    for by_tag in [false, true] {
        let (node, source) = (node(&nodes).await, Source::default());
        let (older, has_read, gate) = held_read(&node, &source, "tag");
        has_read.notified().await;
        source.change();
        if by_tag {
            node.cache.invalidate_tags(&["tag"]).await;
        } else {
            node.things().invalidate(&1).await;
        }
        let (things, later) = (node.things(), source.clone());
        let mut reader = JoinSet::new();
        reader.spawn(async move { later.read(&things, 1).await });
        if by_tag {
            // The tags of the load under way are not known: it is waited for, and then refused.
            tokio::task::yield_now().await;
            gate.notify_one();
        }
        assert_eq!(reader.join_all().await, [1]);
        gate.notify_one();
        assert_eq!(older.join_all().await, ["0"]);
        assert_eq!(source.read(&node.things(), 1).await, 1);
        node.things().invalidate(&1).await;
    }
}

async fn a_body_is_served_as_it_was_made(nodes: Nodes) {
    const PAGES: Namespace<str, Body> = Namespace::new("test.page", 1);
    let (one, other) = (node(&nodes).await, node(&nodes).await);
    let body = Body::json(&["a", "b"], Some(HeaderValue::from_static("\"7\""))).unwrap();
    for node in [&one, &other] {
        let (pages, made) = (node.cache.namespace(&PAGES), body.clone());
        let load = move || async move { Ok::<_, SourceFailed>(Some(made)) };
        assert_eq!(*pages.get_or_load("start", load).await.unwrap().unwrap(), body);
    }
}

async fn an_attempt_is_made_once(nodes: Nodes) {
    let node = node(&nodes).await;
    let made = Arc::new(AtomicUsize::new(0));
    let attempt = async || {
        let made = Arc::clone(&made);
        let make = async move { Ok::<_, SourceFailed>(made.fetch_add(1, Ordering::SeqCst)) };
        *node.cache.attempt("rates", Duration::from_secs(60), make).await.unwrap()
    };
    assert_eq!((attempt().await, attempt().await), (0, 0));
    nodes.advance(60);
    node.cache.catch_up().await;
    assert_eq!(attempt().await, 1);
    let failing = async { Err::<u64, _>(SourceFailed) };
    node.cache.attempt("other", Duration::from_secs(60), failing).await.unwrap_err();
    // Somebody else's type under the same key is no value.
    let text = async { Ok::<_, SourceFailed>("text".to_owned()) };
    assert_eq!(*node.cache.attempt("rates", Duration::from_secs(60), text).await.unwrap(), "text");
}

async fn a_cache_that_is_off_keeps_nothing(nodes: Nodes) {
    let node = nodes.node_with(CacheSettings { enabled: false, ..CacheSettings::default() });
    let (things, source) = (node.things(), Source::default());
    source.read(&things, 1).await;
    source.read(&things, 1).await;
    assert_eq!((source.loads(), node.cache.memory_entries()), (2, 0));
    let load = source.clone();
    let status = things.fetch(&1, move || load.load()).await.unwrap().status;
    assert_eq!(status.to_string(), "mainstay; fwd=bypass");
}

async fn everything_can_be_cleared(nodes: Nodes) {
    let (one, other, source) = (node(&nodes).await, node(&nodes).await, Source::default());
    let others: Cached<u64, String> = other.cache.namespace(&THINGS);
    source.read(&one.things(), 1).await;
    source.read(&others, 1).await;
    source.change();
    one.cache.clear().await;
    assert_eq!(one.cache.memory_bytes(), 0);
    assert_eq!(source.read(&one.things(), 1).await, 1);
    other.cache.catch_up().await;
    assert_eq!(source.read(&others, 1).await, 1);
}

/// Time is tokio's own here and jumps to the end of every wait.
#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_is_given_up() {
    let cache = Cache::new(CacheOptions {
        settings: CacheSettings { enabled: true, l1_bytes: 1 << 20 },
        clock: Arc::new(SystemClock),
        steady: Steady::Processor,
        rng: Arc::new(OsRng),
        metrics: Metrics::new(),
        key: [7; 32],
        db: None,
        redis: None,
    });
    let things = cache.unwrap().namespace(&THINGS);
    let hangs = || std::future::pending::<Result<Option<String>, SourceFailed>>();
    let error = things.get_or_load(&1, hangs).await.unwrap_err();
    assert!(matches!(error, LoadError::Abandoned));
    let loaded = things.get_or_load(&1, || async { Ok::<_, SourceFailed>(Some("there".to_owned())) }).await;
    assert_eq!(loaded.unwrap().as_deref().map(String::as_str), Some("there"));
}
