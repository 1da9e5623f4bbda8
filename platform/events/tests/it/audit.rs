//! The audit log's chain: whole under load, and whatever is done to it behind its back has a name.

use mainstay_core::AuditEntry;
use mainstay_db::testing::{TestDatabase, dialect};
use mainstay_db::{Db, Dialect};
use mainstay_events::audit::{Fault, Verdict};
use mainstay_events::{AuditLog, Events};
use sea_orm::ConnectionTrait as _;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::ManualClock;

use crate::support::{ACTOR, Mood, Node, audit_log, change, clock, database, rows, run, text};

struct Log {
    db: Db,
    clock: Arc<ManualClock>,
    events: Events,
    _database: TestDatabase,
}

/// Ten sealed entries about things 1 to 10, and somebody who got at the database.
async fn sealed() -> Log {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let events = Node::new(&db, Vec::new()).events();
    for thing in 1..=10 {
        change(&db, thing, Mood::Good).await;
    }
    events.settle().await.unwrap();
    let verdict = verify(&db).await;
    assert_eq!((verdict.good, verdict.unsealed, &*verdict.faults), (10, 0, &[][..]));
    for name in ["no_delete", "no_update", "no_rewrite"] {
        let on = dialect().pick("", " ON audit_log");
        run(&db, &format!("DROP TRIGGER audit_log_{name}{on}")).await;
    }
    Log { db, clock, events, _database: database }
}

async fn verify(db: &Db) -> Verdict {
    audit_log(db).verify(|_| {}).await.unwrap()
}

async fn faults(log: &Log, sql: &[&str]) -> Vec<Fault> {
    for sql in sql {
        run(&log.db, sql).await;
    }
    verify(&log.db).await.faults
}

#[tokio::test]
async fn a_changed_field_is_named() {
    for (column, value) in [
        ("at", "at + 1"),
        ("actor", "'user/eve'"),
        ("request_id", "'r-1'"),
        ("address", "''"),
        ("action", "'thing.deleted'"),
        ("target", "'thing/5'"),
        ("changes", "'{\"value\":{\"before\":0,\"after\":9}}'"),
        ("details", "NULL"),
    ] {
        let log = sealed().await;
        let sql = format!("UPDATE audit_log SET {column} = {value} WHERE seq = 4");
        assert_eq!(faults(&log, &[&sql]).await, [Fault::Changed { position: 4, seq: 4 }], "{column}");
    }
}

#[tokio::test]
async fn entries_that_changed_places_are_named() {
    let log = sealed().await;
    let swap = [
        "UPDATE audit_log SET seq = -1 WHERE seq = 3",
        "UPDATE audit_log SET seq = 3 WHERE seq = 7",
        "UPDATE audit_log SET seq = 7 WHERE seq = -1",
    ];
    let named = [Fault::Changed { position: 3, seq: 3 }, Fault::Changed { position: 7, seq: 7 }];
    assert_eq!(faults(&log, &swap).await, named);
}

#[tokio::test]
async fn a_deleted_entry_and_a_deleted_seal_are_named() {
    let log = sealed().await;
    let named = faults(&log, &["DELETE FROM audit_log WHERE seq = 5"]).await;
    assert_eq!(named, [Fault::Missing { position: 5, seq: 5 }]);

    let log = sealed().await;
    let named = faults(&log, &["DELETE FROM audit_seals WHERE position IN (5, 6)"]).await;
    assert_eq!(named, [Fault::Gap { from: 5, to: 6 }]);
    assert_eq!(verify(&log.db).await.unsealed, 2);

    // Both together, and the gap closed: the chain does not hold there.
    let log = sealed().await;
    let close = [
        "DELETE FROM audit_log WHERE seq = 10",
        "DELETE FROM audit_log WHERE seq = 5",
        "DELETE FROM audit_seals WHERE position = 5",
        "UPDATE audit_seals SET position = 5 WHERE position = 10",
    ];
    assert!(!faults(&log, &close).await.is_empty());
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_named_and_stays_so() {
    const CUT: [&str; 2] =
        ["DELETE FROM audit_log WHERE seq > 7", "DELETE FROM audit_seals WHERE position > 7"];
    let anchors: [(&str, Option<i64>); 4] = [
        ("UPDATE audit_anchor SET id = 1", Some(10)),
        ("UPDATE audit_anchor SET position = 7", Some(7)),
        ("UPDATE audit_anchor SET position = 9223372036854775807", Some(i64::MAX)),
        ("DELETE FROM audit_anchor", None),
    ];
    for (anchor, ended_at) in anchors {
        let log = sealed().await;
        let named = faults(&log, &[CUT[0], CUT[1], anchor]).await;
        assert_eq!(named, [Fault::Cut { ends_at: 7, ended_at }], "{anchor}");

        // What is written afterwards is sealed, and hides nothing.
        change(&log.db, 1, Mood::Good).await;
        log.events.settle().await.unwrap();
        log.clock.advance(Duration::from_secs(3600));
        change(&log.db, 1, Mood::Good).await;
        log.events.settle().await.unwrap();
        let verdict = verify(&log.db).await;
        assert!(matches!(&*verdict.faults, [Fault::Gap { from: 8, .. }]), "{anchor}: {:?}", verdict.faults);
        assert_eq!(verdict.unsealed, 0);
    }

    // Everything gone, but the anchor.
    let log = sealed().await;
    let named = faults(&log, &["DELETE FROM audit_log", "DELETE FROM audit_seals"]).await;
    assert_eq!(named, [Fault::Cut { ends_at: 0, ended_at: Some(10) }]);
}

#[tokio::test]
async fn forged_seals_do_not_hold() {
    let log = sealed().await;
    let forged =
        "UPDATE audit_seals SET hash = (SELECT hash FROM audit_seals WHERE position = 2) WHERE position = 6";
    let named = faults(&log, &[forged]).await;
    assert_eq!(named, [Fault::Changed { position: 6, seq: 6 }, Fault::Changed { position: 7, seq: 7 }]);

    let log = sealed().await;
    let named = faults(&log, &["UPDATE audit_seals SET changes_digest = NULL WHERE position = 6"]).await;
    assert_eq!(named, [Fault::Changed { position: 6, seq: 6 }]);
}

#[tokio::test]
async fn another_key_finds_nothing_good() {
    let log = sealed().await;
    let other = AuditLog::new(log.db.clone(), mainstay_core::seal::RootKey::new("another key"));
    let verdict = other.verify(|_| {}).await.unwrap();
    assert_eq!(verdict.good, 0);
    assert_eq!(verdict.faults.len(), 11);
}

#[tokio::test]
async fn what_is_not_sealed_yet_is_named() {
    let log = sealed().await;
    change(&log.db, 1, Mood::Good).await;
    change(&log.db, 1, Mood::Good).await;
    let verdict = verify(&log.db).await;
    assert_eq!((verdict.good, verdict.unsealed), (10, 2));
    let (seq, at) = verdict.first_unsealed.unwrap();
    assert_eq!((seq, at.to_string()), (11, "2026-01-31T09:30:00.000Z".to_owned()));
    assert!(verdict.faults.is_empty());
}

#[tokio::test]
async fn erased_changes_leave_the_chain_good() {
    let database = database().await;
    let db = database.open();
    let events = Node::new(&db, Vec::new()).events();
    for thing in [1, 2, 1] {
        change(&db, thing, Mood::Good).await;
    }
    events.settle().await.unwrap();
    let erase = async || {
        let unit = db.write(&ACTOR).await.unwrap();
        let erased = AuditLog::erase_changes(&unit, "thing/1").await.unwrap();
        unit.commit().await.unwrap();
        erased
    };
    assert_eq!(erase().await, 2);
    assert_eq!(erase().await, 0);
    // Nothing says why: somebody may have wiped out what was done.
    assert_eq!(verify(&db).await.faults.len(), 2);
    let unit = db.write(&ACTOR).await.unwrap();
    unit.audit(AuditEntry::new("thing.deleted", "thing/1"));
    unit.commit().await.unwrap();
    let verdict = verify(&db).await;
    assert_eq!((verdict.good, verdict.erased, &*verdict.faults), (3, 2, &[][..]));
    // Before it was sealed as well.
    change(&db, 1, Mood::Good).await;
    assert_eq!(erase().await, 1);
    events.settle().await.unwrap();
    let verdict = verify(&db).await;
    assert_eq!((verdict.good, verdict.unsealed, &*verdict.faults), (5, 0, &[][..]));
}

#[tokio::test]
async fn the_log_refuses_to_be_changed() {
    let database = database().await;
    let db = database.open();
    change(&db, 1, Mood::Good).await;
    for sql in [
        "DELETE FROM audit_log",
        "UPDATE audit_log SET actor = 'user/eve'",
        "UPDATE audit_log SET at = 0",
        "UPDATE audit_log SET details = NULL",
        "UPDATE audit_log SET changes = '{}'",
        "UPDATE audit_log SET changes = NULL, target = ''",
    ] {
        let unit = db.write(&ACTOR).await.unwrap();
        let error = unit.execute_unprepared(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    assert_eq!(rows(&db, "audit_log").await, 1);
    assert!(text(&db, "SELECT changes FROM audit_log").await.is_some());
}

#[tokio::test]
async fn an_entry_that_is_committed_behind_higher_ones_is_sealed() {
    // SQLite has one writer: numbers are given in the order of commits.
    if dialect() == Dialect::Sqlite {
        return;
    }
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let events = Node::new(&db, Vec::new()).events();
    let late = db.write(&ACTOR).await.unwrap();
    late.execute_unprepared(
        "INSERT INTO audit_log (id, at, actor, action, target) \
         VALUES ('00000000-0000-7000-8000-000000000001', 0, 'system/test', 'thing.counted', 'thing/9')",
    )
    .await
    .unwrap();
    for _ in 0..3 {
        change(&db, 1, Mood::Good).await;
        events.settle().await.unwrap();
        clock.advance(Duration::from_secs(30));
    }
    assert_eq!(rows(&db, "audit_seals").await, 3);
    late.commit().await.unwrap();
    events.settle().await.unwrap();
    let verdict = verify(&db).await;
    assert_eq!((verdict.good, verdict.unsealed, &*verdict.faults), (4, 0, &[][..]));
}

#[tokio::test]
async fn looking_for_new_entries_begins_behind_the_old() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let events = Node::new(&db, Vec::new()).events();
    for _ in 0..12 {
        let unit = db.write(&ACTOR).await.unwrap();
        (0..1000).for_each(|_| unit.audit(AuditEntry::new("thing.counted", "thing/1")));
        unit.commit().await.unwrap();
    }
    events.settle().await.unwrap();
    assert_eq!(verify(&db).await.good, 12_000);
    // Long after: a seal of an entry that far back is not missed, and so not looked for.
    run(&db, "DELETE FROM audit_seals WHERE position = 100").await;
    clock.advance(Duration::from_secs(600));
    events.settle().await.unwrap();
    change(&db, 1, Mood::Good).await;
    events.settle().await.unwrap();
    let verdict = verify(&db).await;
    assert_eq!((verdict.unsealed, &*verdict.faults), (1, &[Fault::Gap { from: 100, to: 100 }][..]));
}
