//! Dead letters: looked at, delivered again, thrown away.

use mainstay_core::page::Start;
use mainstay_core::{Paging, Sorting};
use mainstay_db::Db;
use mainstay_db::testing::TestDatabase;
use mainstay_events::{DeadLetter, DeadLetters, Events};
use tokio::task::JoinSet;

use crate::support::{ACTOR, Mood, Node, Record, change, database, effects, note, rows, run, text, until};

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    DiedAt,
}

impl Sorting for By {
    const ALL: &'static [(&'static str, Self)] = &[("died_at", Self::DiedAt)];
    const DEFAULT: (Self, bool) = (Self::DiedAt, true);
}

struct Dead {
    db: Db,
    events: Events,
    letters: DeadLetters,
    _database: TestDatabase,
}

/// Five dead letters of each of two consumers.
async fn dead() -> Dead {
    let database = database().await;
    let db = database.open();
    let record = Record::default();
    let mut node = Node::new(&db, vec![record.consumer("test.one"), record.consumer("test.two")]);
    node.settings.max_attempts = 1;
    let events = node.events();
    for thing in 1..=5 {
        change(&db, thing, Mood::Fails).await;
    }
    events.settle().await.unwrap();
    record.heal();
    let letters = DeadLetters::new(db.clone());
    Dead { db, events, letters, _database: database }
}

async fn all(dead: &Dead, consumer: Option<&str>) -> Vec<DeadLetter> {
    dead.letters.list(&Paging::<By>::first(100), consumer).await.unwrap().items
}

#[tokio::test]
async fn they_are_listed_in_pages() {
    let dead = dead().await;
    let mut paging = Paging::<By>::first(4);
    let first = dead.letters.list(&paging, None).await.unwrap();
    assert_eq!((first.total, first.items.len(), first.has_next), (Some(10), 4, true));
    paging.start = Start::Page(3);
    let last = dead.letters.list(&paging, None).await.unwrap();
    assert_eq!((last.items.len(), last.has_next), (2, false));
    assert_eq!(all(&dead, Some("test.two")).await.len(), 5);
    let letter = &first.items[0];
    assert_eq!(letter.data["mood"], "fails");
    assert!(dead.letters.find(letter.id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_replay_one_at_once_one_does() {
    let dead = dead().await;
    let id = all(&dead, Some("test.one")).await[0].id;
    let mut racing = JoinSet::new();
    for _ in 0..6 {
        let letters = dead.letters.clone();
        racing.spawn(async move { letters.replay(&ACTOR, id).await.unwrap() });
    }
    assert_eq!(racing.join_all().await.into_iter().filter(|did| *did).count(), 1);
    dead.events.settle().await.unwrap();
    assert_eq!(effects(&dead.db, "test.one").await.len(), 1);
    assert_eq!(rows(&dead.db, "dead_letters").await, 9);
    let replays = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_log WHERE action = 'dead_letter.replayed'";
    assert_eq!(text(&dead.db, replays).await.unwrap(), "1");
}

#[tokio::test]
async fn all_of_them_are_replayed_and_one_that_fails_again_is_dead_with_its_whole_past() {
    let dead = dead().await;
    assert_eq!(dead.letters.replay_all(&ACTOR, Some("test.one")).await.unwrap(), 5);
    dead.events.settle().await.unwrap();
    assert_eq!(effects(&dead.db, "test.one").await.len(), 5);
    assert_eq!((effects(&dead.db, "test.two").await.len(), rows(&dead.db, "dead_letters").await), (0, 5));

    // Not healed for these.
    let mut node = Node::new(&dead.db, vec![Record::default().consumer("test.two")]);
    node.settings.max_attempts = 1;
    assert_eq!(dead.letters.replay_all(&ACTOR, None).await.unwrap(), 5);
    let other = node.events();
    until("the other node has the lease and gave up on all", async || {
        other.settle().await.unwrap();
        rows(&dead.db, "dead_letters").await == 5
    })
    .await;
    let letters = all(&dead, None).await;
    assert!(letters.iter().all(|letter| letter.attempts == 1 && letter.history.len() == 2));
}

#[tokio::test]
async fn a_discarded_one_is_gone() {
    let dead = dead().await;
    let id = all(&dead, None).await[0].id;
    assert!(dead.letters.discard(&ACTOR, id).await.unwrap());
    assert!(!dead.letters.discard(&ACTOR, id).await.unwrap());
    assert!(!dead.letters.replay(&ACTOR, id).await.unwrap());
    assert_eq!(rows(&dead.db, "dead_letters").await, 9);
}

#[tokio::test]
async fn replaying_what_took_effect_already_changes_nothing() {
    let dead = dead().await;
    let letter = all(&dead, Some("test.one")).await.remove(0);
    // As if it had been given up just when it succeeded.
    let unit = dead.db.write(&ACTOR).await.unwrap();
    note(&unit, "test.one", letter.data["thing"].as_i64().unwrap(), 1).await.unwrap();
    unit.commit().await.unwrap();
    let seen = "INSERT INTO event_inbox (consumer, event_id, seen_at) SELECT consumer, event_id, 1 \
                FROM dead_letters WHERE consumer = 'test.one' AND subject = ";
    run(&dead.db, &format!("{seen} '{}'", letter.subject)).await;
    assert!(dead.letters.replay(&ACTOR, letter.id).await.unwrap());
    dead.events.settle().await.unwrap();
    assert_eq!(effects(&dead.db, "test.one").await.len(), 1);
    assert_eq!(rows(&dead.db, "event_deliveries").await, 0);
}
