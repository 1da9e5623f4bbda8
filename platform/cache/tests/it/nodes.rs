//! Several nodes on one Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::{Node, Nodes, Source, SourceFailed};
use mainstay_redis::testing::RedisServer;

async fn three(server: &RedisServer) -> (Nodes, Vec<Node>) {
    let nodes = Nodes::with_redis(server.options()).await;
    let three: Vec<Node> = (0..3).map(|_| nodes.node()).collect();
    for node in &three {
        node.cache.start();
        node.until("up", |cache| cache.is_redis_up() == Some(true)).await;
        node.cache.catch_up().await;
    }
    (nodes, three)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_clients_on_each_of_three_nodes_load_a_cold_key_at_most_twice() {
    let server = RedisServer::start();
    let (_nodes, three) = three(&server).await;
    let source = Source::default();
    let by_node: Vec<Arc<AtomicUsize>> = three.iter().map(|_| Arc::default()).collect();
    let start = Arc::new(Barrier::new(1500));
    let mut clients = JoinSet::new();
    for (node, count) in three.iter().zip(&by_node) {
        for _ in 0..500 {
            let (things, source, start) = (node.things(), source.clone(), Arc::clone(&start));
            let count = Arc::clone(count);
            clients.spawn(async move {
                start.wait().await;
                let load = move || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    source.load().await
                };
                things.get_or_load(&1, load).await.unwrap().unwrap()
            });
        }
    }
    assert!(clients.join_all().await.iter().all(|value| value.as_str() == "0"));
    let by_node: Vec<usize> = by_node.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    assert!(by_node.iter().all(|loads| *loads <= 1), "{by_node:?}");
    assert!(source.loads() <= 2, "{by_node:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_takes_longer_than_a_lease_is_still_the_only_one() {
    let server = RedisServer::start();
    let (_nodes, three) = three(&server).await;
    let source = Source::default();
    let mut clients = JoinSet::new();
    for node in &three {
        let (things, source) = (node.things(), source.clone());
        clients.spawn(async move {
            let load = move || async move {
                tokio::time::sleep(Duration::from_millis(4500)).await;
                source.load().await
            };
            things.get_or_load(&1, load).await.unwrap().unwrap()
        });
    }
    clients.join_all().await;
    assert_eq!(source.loads(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_fails_to_load_leaves_it_to_the_others() {
    let server = RedisServer::start();
    let (_nodes, three) = three(&server).await;
    let source = Source::default();
    let failing = || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err::<Option<String>, _>(SourceFailed)
    };
    let things = three[0].things();
    let other = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        source.read(&three[1].things(), 1).await
    };
    let (failed, read) = tokio::join!(things.get_or_load(&1, failing), other);
    failed.unwrap_err();
    assert_eq!(read, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_was_overtaken_is_no_use_to_other_nodes() {
    let server = RedisServer::start();
    let (_nodes, three) = three(&server).await;
    let source = Source::default();
    let (things, slow) = (three[0].things(), source.clone());
    let load = move || async move {
        let value = slow.load().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        value
    };
    let change = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        source.change();
        three[1].things().invalidate(&1).await;
        // It waits for the other's load, and does not believe it.
        source.read(&three[1].things(), 1).await
    };
    let (old, new) = tokio::join!(things.get_or_load(&1, load), change);
    assert_eq!((old.unwrap().unwrap().as_str(), new), ("0", 1));
    for node in &three {
        node.cache.catch_up().await;
        assert_eq!(source.read(&node.things(), 1).await, 1);
    }
}
