//! Readers and writers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_cache::Loaded;
use mainstay_core::Actor;
use tokio::task::JoinSet;

use crate::{Node, Nodes, Source, SourceFailed};
use mainstay_redis::testing::RedisServer;

/// No reader sees a value that is older than an invalidation that was complete before its read began.
async fn nobody_reads_the_past(node: Node) {
    const CHANGES: u64 = 150;
    let source = Source::default();
    let complete = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..6 {
        let (things, source) = (node.things(), source.clone());
        let (complete, done) = (Arc::clone(&complete), Arc::clone(&done));
        readers.spawn(async move {
            let mut reads = 0_u64;
            while !done.load(Ordering::SeqCst) || reads < 100 {
                let floor = complete.load(Ordering::SeqCst);
                let source = source.clone();
                let load = move || async move {
                    let value = source.load().await?.unwrap();
                    // Between reading and keeping anything can happen.
                    for _ in 0..reader {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, SourceFailed>(Loaded::new(value).tag("all"))
                };
                let value = things.get_or_load(&1, load).await.unwrap().unwrap();
                let value: u64 = value.parse().unwrap();
                assert!(value >= floor, "read {value} after {floor} was complete");
                reads += 1;
                if reads.is_multiple_of(8) {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for change in 0..CHANGES {
        match change % 3 {
            0 => {
                source.change();
                node.things().invalidate(&1).await;
            }
            1 => {
                source.change();
                node.cache.invalidate_tags(&["all"]).await;
            }
            _ => {
                let unit = node.db.write(&Actor::system("test")).await.unwrap();
                node.cache.stale().tag("all").with(&unit);
                source.change();
                unit.commit().await.unwrap();
            }
        }
        complete.store(source.version(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    readers.join_all().await;
    assert!(source.loads() > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_out_of_memory() {
    let nodes = Nodes::new().await;
    nobody_reads_the_past(nodes.node()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_past_out_of_redis() {
    let server = RedisServer::start();
    let nodes = Nodes::with_redis(server.options()).await;
    let node = nodes.node();
    node.cache.start();
    node.until("up", |cache| cache.is_redis_up() == Some(true)).await;
    nobody_reads_the_past(node).await;
}
