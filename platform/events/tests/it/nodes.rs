//! Several nodes on one database.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_db::Dialect;
use mainstay_db::testing::dialect;
use tokio::task::JoinSet;

use crate::support::{
    self, ACTOR, Counted, Mood, Node, Record, audit_log, count_up, database, effects, rows, run, until,
};

const NAMES: [&str; 4] = ["test.one", "test.two", "test.three", "test.four"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_apply_each_event_once_and_in_order() {
    const THINGS: i64 = 20;
    const EACH: i64 = 100;
    let database = database().await;
    let record = Record::default();
    let dbs = [database.open(), database.open()];
    let mut running = Vec::new();
    for db in &dbs {
        let consumers = NAMES.map(|name| record.consumer(name)).into();
        running.push(Node::new(db, consumers).events().start());
    }
    // Two who insert the same thing would collide.
    run(&dbs[0], &seed(THINGS)).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let db = dbs[writer % 2].clone();
        writers.spawn(async move {
            for _ in 0..EACH / 4 {
                for thing in 0..THINGS {
                    let unit = db.write(&ACTOR).await.unwrap();
                    let number = count_up(&unit, thing, 1).await.unwrap();
                    unit.emit(&Counted { thing, number, mood: Mood::Good });
                    unit.commit().await.unwrap();
                }
            }
        });
    }
    writers.join_all().await;
    // The lease of each moves to and fro.
    let node = running.pop().unwrap();
    node.stop(Duration::from_secs(10)).await;
    let db = &dbs[0];
    until("all is delivered", async || rows(db, "outbox").await + rows(db, "event_deliveries").await == 0)
        .await;
    for node in running {
        node.stop(Duration::from_secs(10)).await;
    }
    for name in NAMES {
        let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
        let done = effects(db, name).await;
        for (thing, number) in &done {
            let newest = newest.entry(*thing).or_default();
            assert_eq!(*number, *newest + 1, "{name}, thing {thing}");
            *newest = *number;
        }
        assert_eq!(done.len(), usize::try_from(THINGS * EACH).unwrap());
    }
    assert_eq!(rows(db, "dead_letters").await, 0);
}

fn seed(things: i64) -> String {
    let rows: Vec<String> = (0..things).map(|thing| format!("({thing}, 0)")).collect();
    format!("INSERT INTO things (id, value) VALUES {}", rows.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_seal_one_chain_while_others_write() {
    let database = database().await;
    let dbs = [database.open(), database.open()];
    let running: Vec<_> = dbs.iter().map(|db| Node::new(db, Vec::new()).events().start()).collect();
    let mut writers = JoinSet::new();
    for writer in 0..6_i64 {
        let db = dbs[usize::try_from(writer % 2).unwrap()].clone();
        writers.spawn(async move {
            for _ in 0..50 {
                support::change(&db, writer, Mood::Good).await;
            }
        });
    }
    let log = audit_log(&dbs[0]);
    // Checking while it is sealed names no fault.
    while !writers.is_empty() {
        let verdict = log.verify(|_| {}).await.unwrap();
        assert!(verdict.faults.is_empty(), "{:?}", verdict.faults);
        let _one = tokio::time::timeout(Duration::from_millis(20), writers.join_next()).await;
    }
    until("all is sealed", async || log.verify(|_| {}).await.unwrap().unsealed == 0).await;
    let verdict = log.verify(|_| {}).await.unwrap();
    assert!(verdict.faults.is_empty(), "{:?}", verdict.faults);
    assert_eq!(verdict.good, 300);
    assert_eq!(verdict.head.unwrap().0, 300);
    for node in running {
        node.stop(Duration::from_secs(10)).await;
    }
}

/// A node whose connections are cut, as when the database is restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_after_the_links_to_the_database_were_cut() {
    if dialect() == Dialect::Sqlite {
        return;
    }
    let database = database().await;
    let db = database.open();
    // With one connection, which is the one that cuts the others.
    let admin = support::open_narrow(&database);
    let record = Record::default();
    let mut node = Node::new(&db, NAMES.map(|name| record.consumer(name)).into());
    node.settings.max_attempts = 20;
    let running = node.events().start();
    for round in 0..5 {
        for thing in 0..20 {
            let unit = admin.write(&ACTOR).await.unwrap();
            let number = count_up(&unit, thing, 1).await.unwrap();
            unit.emit(&Counted { thing, number, mood: Mood::Good });
            unit.commit().await.unwrap();
        }
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        if round < 4 {
            run(&admin, cut).await;
        }
    }
    until("all is delivered", async || {
        rows(&admin, "outbox").await + rows(&admin, "event_deliveries").await == 0
    })
    .await;
    running.stop(Duration::from_secs(10)).await;
    for name in NAMES {
        let mut done = effects(&admin, name).await;
        assert_eq!(done.len(), 100);
        done.sort_unstable();
        done.dedup();
        assert_eq!(done.len(), 100, "each once");
    }
}
