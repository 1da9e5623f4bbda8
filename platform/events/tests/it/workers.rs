//! Loops in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay_events::{Next, Worker};

use crate::support::{Mood, Node, Record, change, database, effects, until};

#[tokio::test]
async fn a_worker_that_panics_or_fails_goes_on() {
    let database = database().await;
    let db = database.open();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let mut node = Node::new(&db, Vec::new());
    node.workers = vec![Worker::new("test.worker", move || {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(run != 0, "at first it panics");
            if run == 1 { Err("then it fails".into()) } else { Ok(Next::Wait) }
        }
    })];
    let running = node.events().start();
    until("it runs a third time", async || runs.load(Ordering::SeqCst) >= 3).await;
    running.stop(Duration::from_secs(5)).await;
    let ended_at = runs.load(Ordering::SeqCst);
    tokio::task::yield_now().await;
    assert_eq!(runs.load(Ordering::SeqCst), ended_at);
}

#[tokio::test]
async fn what_runs_is_dropped_without_harm_and_goes_on_elsewhere() {
    let database = database().await;
    let db = database.open();
    let record = Record::default();
    let running = Node::new(&db, vec![record.consumer("test.one")]).events().start();
    for thing in 0..200 {
        change(&db, thing, Mood::Good).await;
    }
    drop(running);
    let running = Node::new(&db, vec![record.consumer("test.one")]).events().start();
    until("all took effect", async || effects(&db, "test.one").await.len() >= 200).await;
    running.stop(Duration::from_secs(5)).await;
    let mut done = effects(&db, "test.one").await;
    done.sort_unstable();
    assert_eq!(done, (0..200).map(|thing| (thing, 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_that_stopped_gave_its_leases_back() {
    let database = database().await;
    let db = database.open();
    let record = Record::default();
    let mut node = Node::new(&db, vec![record.consumer("test.one")]);
    // Longer than anybody would wait.
    node.settings.lease_s = 300;
    let running = node.events().start();
    change(&db, 1, Mood::Good).await;
    until("it took effect", async || effects(&db, "test.one").await.len() == 1).await;
    running.stop(Duration::from_secs(5)).await;

    change(&db, 1, Mood::Good).await;
    let other = Node::new(&db, vec![record.consumer("test.one")]).events();
    other.settle().await.unwrap();
    assert_eq!(effects(&db, "test.one").await, [(1, 1), (1, 2)]);
}
