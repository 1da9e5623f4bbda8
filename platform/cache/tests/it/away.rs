//! Redis hangs, dies, is full, and comes back: nobody gets an error for it.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::{Node, Nodes, Source, number};
use mainstay_redis::testing::RedisServer;

/// As in production: 50 ms.
const TIMEOUT: Duration = Duration::from_millis(50);

async fn nodes(server: &RedisServer) -> Nodes {
    Nodes::with_redis(server.options().with_timeout(TIMEOUT)).await
}

async fn started(nodes: &Nodes) -> Node {
    let node = nodes.node();
    node.cache.start();
    node.cache.catch_up().await;
    node
}

async fn until_up(node: &Node) {
    node.until("up", |cache| cache.is_redis_up() == Some(true)).await;
}

/// Reads keys that nobody has until Redis is given up on. None of them fails.
async fn until_away(node: &Node, source: &Source) {
    for key in 1_000_000..1_000_100 {
        if node.cache.is_redis_up() == Some(false) {
            return;
        }
        source.read(&node.things(), key).await;
    }
    panic!("Redis is not given up on");
}

/// Values are written when nobody waits any more.
async fn until_stored(server: &RedisServer) {
    while server.command::<Vec<String>>(&["KEYS", "*"]).iter().all(|key| key.contains(":lease:")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_costs_the_first_reads_a_moment_and_the_rest_nothing() {
    let server = RedisServer::start();
    let nodes = nodes(&server).await;
    let (node, source) = (started(&nodes).await, Source::default());
    until_up(&node).await;
    server.freeze();
    let mut clients = JoinSet::new();
    for client in 0..32 {
        let (things, source) = (node.things(), source.clone());
        clients.spawn(async move {
            for key in 0..20 {
                source.read(&things, client * 100 + key).await;
            }
        });
    }
    clients.join_all().await;
    until_away(&node, &source).await;
    // Nobody asks it any more.
    let asked = number(&node.metrics, "cache_redis_seconds_count");
    for key in 2_000_000..2_000_100 {
        source.read(&node.things(), key).await;
    }
    assert_eq!(number(&node.metrics, "cache_redis_seconds_count"), asked);
    assert_eq!(number(&node.metrics, "cache_redis_up"), 0);
    assert!(number(&node.metrics, "cache_breaker_opened_total") >= 1);
    // Each client was caught by it once, the first ones again before the third failure.
    assert!(number(&node.metrics, "cache_redis_failures_total") <= 32 * 2 + 10);
    server.thaw();
    until_up(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_and_comes_back_empty_is_used_again() {
    let mut server = RedisServer::start();
    let nodes = nodes(&server).await;
    let (one, other, source) = (started(&nodes).await, started(&nodes).await, Source::default());
    until_up(&one).await;
    until_up(&other).await;
    source.read(&one.things(), 1).await;
    server.kill();
    until_away(&one, &source).await;
    // What is in memory is served, and what changes is not.
    assert_eq!(source.read(&one.things(), 1).await, 0);
    source.change();
    one.things().invalidate(&1).await;
    assert_eq!(source.read(&one.things(), 1).await, 1);
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);
    assert!(server.launch());
    until_up(&one).await;
    assert_eq!(source.read(&one.things(), 2).await, 1);
    assert_eq!(source.read(&one.things(), 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_while_redis_is_away_is_no_past_when_it_is_back() {
    let server = RedisServer::start();
    let mut nodes = Nodes::with_redis(server.options()).await;
    let (patient, source) = (started(&nodes).await, Source::default());
    until_up(&patient).await;
    source.read(&patient.things(), 1).await;
    until_stored(&server).await;
    nodes.redis = Some(server.options().with_timeout(TIMEOUT));
    let one = started(&nodes).await;
    until_up(&one).await;
    // Frozen, it keeps the old value.
    server.freeze();
    until_away(&one, &source).await;
    source.change();
    one.things().invalidate(&1).await;
    server.thaw();
    until_up(&one).await;
    assert_eq!(source.read(&one.things(), 1).await, 1);
    let other = started(&nodes).await;
    until_up(&other).await;
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_still_serves_what_it_has() {
    let server = RedisServer::start();
    // A busy machine is not what this is about.
    let nodes = Nodes::with_redis(server.options()).await;
    let (one, other, source) = (started(&nodes).await, started(&nodes).await, Source::default());
    until_up(&one).await;
    until_up(&other).await;
    source.read(&one.things(), 1).await;
    until_stored(&server).await;
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    source.read(&other.things(), 1).await;
    assert_eq!(source.loads(), 1);
    for key in 2..50 {
        source.read(&other.things(), key).await;
    }
    assert_eq!(source.loads(), 49);
    source.change();
    one.things().invalidate(&1).await;
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    source.read(&other.things(), 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_redis_and_finds_it_later() {
    let mut server = RedisServer::stopped();
    let nodes = nodes(&server).await;
    let (node, source) = (started(&nodes).await, Source::default());
    assert_eq!(source.read(&node.things(), 1).await, 0);
    assert_eq!(node.cache.is_redis_up(), Some(false));
    assert!(server.launch());
    until_up(&node).await;
    assert_eq!(source.read(&node.things(), 2).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_is_dropped_leaves_no_task_behind() {
    let server = RedisServer::stopped();
    let nodes = nodes(&server).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let node = nodes.node();
    node.cache.start();
    assert!(tasks.num_alive_tasks() >= before + 2);
    let Node { cache, db, metrics: _ } = node;
    drop(cache);
    db.close().await;
    for _ in 0..200 {
        if tasks.num_alive_tasks() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks are left of {before}", tasks.num_alive_tasks());
}
