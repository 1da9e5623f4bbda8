//! From a change to its effects: once each, in order, whatever fails in between.

use std::collections::HashSet;
use std::time::Duration;

use mainstay_core::{AuditEntry, OsRng};
use mainstay_db::Dialect;
use mainstay_db::testing::dialect;
use mainstay_events::{DeadLetters, Leases};
use mainstay_telemetry::Metrics;

use crate::support::{
    ACTOR, Counted, Mood, Node, Record, change, clock, count_up, database, effects, event_id, open_counting,
    rows, run, text, until,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn an_event_exists_exactly_if_its_change_does() {
    let database = database().await;
    let db = database.open();
    let rolled_back = db.write(&ACTOR).await.unwrap();
    count_up(&rolled_back, 1, 1).await.unwrap();
    rolled_back.emit(&Counted { thing: 1, number: 1, mood: Mood::Good });
    rolled_back.audit(AuditEntry::new("thing.counted", "thing/1"));
    rolled_back.rollback().await.unwrap();
    let dropped = db.write(&ACTOR).await.unwrap();
    dropped.emit(&Counted { thing: 1, number: 1, mood: Mood::Good });
    drop(dropped);
    assert_eq!((rows(&db, "outbox").await, rows(&db, "audit_log").await), (0, 0));

    change(&db, 1, Mood::Good).await;
    assert_eq!((rows(&db, "outbox").await, rows(&db, "audit_log").await), (1, 1));
}

#[tokio::test]
async fn three_events_and_three_entries_are_two_statements() {
    let database = database().await;
    let metrics = Metrics::new();
    let db = open_counting(&database, &metrics);
    let statements = || {
        let text = metrics.render();
        let line = text.lines().find(|line| line.starts_with("db_query_duration_seconds_count")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let mut counts = Vec::new();
    for (events, entries) in [(0, 0), (3, 0), (0, 3), (3, 3)] {
        let before = statements();
        let unit = db.write(&ACTOR).await.unwrap();
        count_up(&unit, 1, 1).await.unwrap();
        (0..events).for_each(|number| unit.emit(&Counted { thing: 1, number, mood: Mood::Good }));
        (0..entries).for_each(|_| unit.audit(AuditEntry::new("thing.counted", "thing/1").note("n", 1)));
        unit.commit().await.unwrap();
        counts.push(statements() - before);
    }
    // The first had to insert the thing besides: as many statements as counting it up and reading it.
    let bare = counts[0];
    assert_eq!(counts[1..], [bare + 1, bare + 1, bare + 2]);
}

#[tokio::test]
async fn a_delivery_that_comes_twice_takes_effect_once() {
    let database = database().await;
    let db = database.open();
    let record = Record::default();
    let events = Node::new(&db, vec![record.consumer("test.one"), record.consumer("test.two")]).events();
    change(&db, 1, Mood::Good).await;
    let id = event_id(&db, 1, 1).await;
    events.settle().await.unwrap();

    let id = dialect().pick(format!("X'{}'", id.simple()), format!("'{id}'"));
    let event = format!(
        r#"{{"id":"{}","kind":"thing.counted","subject":"thing/1","time":"2026-01-31T09:30:00.000Z","actor":"system/test","request_id":null,"data":{{"thing":1,"number":1}}}}"#,
        uuid::Uuid::parse_str(id.trim_matches(|c| c == 'X' || c == '\'')).unwrap()
    );
    let again = format!(
        "INSERT INTO event_deliveries (consumer, event_id, subject, event, attempts, due_at) \
         VALUES ('test.one', {id}, 'thing/1', '{event}', 0, 0)"
    );
    run(&db, &again).await;
    events.settle().await.unwrap();

    assert_eq!(effects(&db, "test.one").await, [(1, 1)]);
    assert_eq!(effects(&db, "test.two").await, [(1, 1)]);
    assert_eq!(rows(&db, "event_deliveries").await, 0);
}

#[tokio::test]
async fn what_fails_behind_its_rows_leaves_none_and_its_neighbours_alone() {
    for mood in [Mood::Fails, Mood::Panics, Mood::BadSql, Mood::Hangs] {
        let database = database().await;
        let clock = clock();
        let db = database.open_with(clock.clone());
        let record = Record::default();
        let mut node = Node::new(&db, vec![record.consumer("test.one")]);
        node.settings.max_attempts = 3;
        let events = node.events();
        for thing in 1..=50 {
            change(&db, thing, if thing == 20 { mood } else { Mood::Good }).await;
        }
        // Followers of the one that fails.
        change(&db, 20, Mood::Good).await;
        change(&db, 20, Mood::Good).await;
        events.settle().await.unwrap();
        let good: HashSet<(i64, i64)> =
            (1..=50).filter(|thing| *thing != 20).map(|thing| (thing, 1)).collect();
        let done = effects(&db, "test.one").await;
        assert_eq!(done.len(), 49, "{mood:?}");
        assert_eq!(done.into_iter().collect::<HashSet<_>>(), good, "{mood:?}");

        // A new event about another thing does not wait, one about this thing does.
        change(&db, 60, Mood::Good).await;
        change(&db, 20, Mood::Good).await;
        events.settle().await.unwrap();
        assert_eq!(effects(&db, "test.one").await[49..], [(60, 1)], "{mood:?}");
        assert_eq!(rows(&db, "event_deliveries").await, 4);

        let mut failed_tries = 1;
        while rows(&db, "dead_letters").await == 0 {
            clock.advance(HOUR);
            events.settle().await.unwrap();
            failed_tries += 1;
            assert!(failed_tries <= 3);
        }
        assert_eq!(failed_tries, 3, "{mood:?}");
        assert_eq!(effects(&db, "test.one").await[50..], [(20, 2), (20, 3), (20, 4)], "{mood:?}");
        assert_eq!(rows(&db, "event_deliveries").await, 0);

        let id = text(
            &db,
            dialect().pick("SELECT hex(id) FROM dead_letters", "SELECT id::text FROM dead_letters"),
        );
        let id: uuid::Uuid = id.await.unwrap().parse().unwrap();
        let letter = DeadLetters::new(db.clone()).find(id.into()).await.unwrap().unwrap();
        assert_eq!((letter.attempts, letter.history.len()), (3, 3));
        assert!(letter.history.is_sorted_by_key(|attempt| attempt.at));
        assert!(letter.history.iter().all(|attempt| attempt.error == letter.error));
        assert_eq!((&*letter.kind, &*letter.subject), ("thing.counted", "thing/20"));
        let expected = match mood {
            Mood::Fails => "it can't be done\u{fffd}",
            Mood::Panics => "panic: it is too much",
            Mood::Hangs => "took longer than 1 s",
            _ => "nowhere",
        };
        assert!(letter.error.contains(expected), "{mood:?}: {}", letter.error);
    }
}

#[tokio::test]
async fn a_refused_statement_that_the_handler_hides_is_a_failure_where_it_ends_the_transaction() {
    let database = database().await;
    let db = database.open_with(clock());
    let record = Record::default();
    let events = Node::new(&db, vec![record.consumer("test.one")]).events();
    change(&db, 1, Mood::SwallowsBadSql).await;
    change(&db, 2, Mood::Good).await;
    events.settle().await.unwrap();
    let done = effects(&db, "test.one").await;
    match dialect() {
        // SQLite's transaction goes on.
        Dialect::Sqlite => assert_eq!(done, [(1, 1), (2, 1)]),
        Dialect::Postgres => {
            assert_eq!(done, [(2, 1)]);
            assert_eq!(rows(&db, "event_deliveries").await, 1);
        }
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_fails_alone() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let record = Record::default();
    let mut node = Node::new(&db, vec![record.consumer("test.one")]);
    node.settings.max_attempts = 1;
    let events = node.events();
    change(&db, 1, Mood::Good).await;
    change(&db, 2, Mood::Good).await;
    change(&db, 3, Mood::Good).await;
    run(&db, "UPDATE outbox SET data = 'no JSON at all' WHERE subject = 'thing/2'").await;
    events.settle().await.unwrap();
    assert_eq!(effects(&db, "test.one").await, [(1, 1), (3, 1)]);
    assert_eq!(rows(&db, "dead_letters").await, 1);
}

#[tokio::test]
async fn a_clock_that_was_set_back_delays_nothing() {
    let database = database().await;
    let (late, early) = (clock(), clock());
    late.advance(HOUR * 240);
    let db = database.open_with(late.clone());
    let record = Record::default();
    let node = Node::new(&db, vec![record.consumer("test.one")]);
    let events = node.events();
    change(&db, 1, Mood::Fails).await;
    events.settle().await.unwrap();
    assert_eq!(rows(&db, "event_deliveries").await, 1, "it waits for its second try");
    record.heal();

    // Another node, or the same one after its clock was set right: its leases and pauses lie far ahead.
    let db = database.open_with(early);
    let events = Node::new(&db, vec![record.consumer("test.one")]).events();
    change(&db, 1, Mood::Good).await;
    events.settle().await.unwrap();
    assert_eq!(effects(&db, "test.one").await, [(1, 1), (1, 2)]);
}

#[tokio::test]
async fn what_was_seen_is_forgotten_after_its_time() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let record = Record::default();
    let events = Node::new(&db, vec![record.consumer("test.one")]).events();
    change(&db, 1, Mood::Good).await;
    events.settle().await.unwrap();
    clock.advance(HOUR * 24 * 13);
    change(&db, 2, Mood::Good).await;
    events.settle().await.unwrap();
    assert_eq!(rows(&db, "event_inbox").await, 2);
    clock.advance(HOUR * 30);
    events.settle().await.unwrap();
    assert_eq!(rows(&db, "event_inbox").await, 1);
}

#[tokio::test]
async fn a_failure_counts_although_the_lease_was_lost_over_it() {
    let database = database().await;
    let db = database.open();
    let record = Record::default();
    let mut node = Node::new(&db, vec![record.consumer("test.one")]);
    (node.settings.max_attempts, node.settings.handler_timeout_s) = (1, 1);
    let events = node.events();
    change(&db, 1, Mood::Hangs).await;
    change(&db, 2, Mood::Good).await;
    // The lease is gone before the handler's time is up; on SQLite nobody else can write meanwhile.
    let other = Leases::new(db.clone(), &OsRng, Duration::from_secs(2));
    let (settled, taken) = tokio::join!(events.settle(), async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Ok(Some(lease)) = other.take("test.one").await {
                other.give_back().await.unwrap();
                return lease;
            }
            if rows(&db, "dead_letters").await > 0 {
                return other.take("another").await.unwrap().unwrap();
            }
        }
    });
    drop(taken);
    settled.unwrap();
    events.settle().await.unwrap();
    until("both are dealt with", async || {
        events.settle().await.unwrap();
        rows(&db, "event_deliveries").await == 0
    })
    .await;
    assert_eq!(effects(&db, "test.one").await, [(2, 1)]);
    assert_eq!(rows(&db, "dead_letters").await, 1);
}
