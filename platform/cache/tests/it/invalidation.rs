//! Changes of one node, as others see them: without Redis and with it.

use std::time::Duration;

use mainstay_cache::Cached;
use mainstay_core::Actor;
use mainstay_db::testing::TestDatabase;
use tokio::task::JoinSet;

use crate::{Node, Nodes, Source, number};
use mainstay_redis::testing::RedisServer;

fn actor() -> Actor {
    Actor::system("test")
}

/// As an app does it.
async fn change(node: &Node, things: &Cached<u64, String>, source: &Source, key: u64) {
    let unit = node.db.write(&actor()).await.unwrap();
    things.invalidate_with(&unit, &key);
    source.change();
    unit.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_before_the_first_look_is_not_believed_after_it() {
    let nodes = Nodes::new().await;
    let (one, other, source) = (nodes.node(), nodes.node(), Source::default());
    assert_eq!(source.read(&other.things(), 1).await, 0);
    change(&one, &one.things(), &source, 1).await;
    assert!(other.cache.catch_up().await);
    assert_eq!(source.read(&other.things(), 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_writes_are_read_at_once_and_others_at_the_next_look() {
    let nodes = Nodes::new().await;
    let (one, other, source) = (nodes.node(), nodes.node(), Source::default());
    for node in [&one, &other] {
        node.cache.catch_up().await;
        assert_eq!(source.read(&node.things(), 1).await, 0);
        assert_eq!(source.read(&node.things(), 2).await, 0);
    }
    change(&one, &one.things(), &source, 1).await;
    assert_eq!(source.read(&one.things(), 1).await, 1);
    assert_eq!(source.read(&other.things(), 1).await, 0);
    assert!(other.cache.catch_up().await);
    assert_eq!(source.read(&other.things(), 1).await, 1);
    // What did not change was not loaded again.
    let loads = source.loads();
    assert_eq!((source.read(&one.things(), 2).await, source.read(&other.things(), 2).await), (0, 0));
    assert_eq!(source.loads(), loads);
    // Nor did the writer hear of its own change a second time.
    one.cache.catch_up().await;
    source.read(&one.things(), 1).await;
    assert_eq!(source.loads(), loads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_is_given_up_invalidates_nothing() {
    let nodes = Nodes::new().await;
    let (node, source) = (nodes.node(), Source::default());
    node.cache.catch_up().await;
    source.read(&node.things(), 1).await;
    let unit = node.db.write(&actor()).await.unwrap();
    node.things().invalidate_with(&unit, &1);
    drop(unit);
    source.change();
    node.cache.catch_up().await;
    assert_eq!(source.read(&node.things(), 1).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nothing_believes_what_it_has_for_one_second() {
    let nodes = Nodes::new().await;
    let (one, deaf, source) = (nodes.node(), nodes.node(), Source::default());
    deaf.cache.catch_up().await;
    source.read(&deaf.things(), 1).await;
    change(&one, &one.things(), &source, 1).await;
    nodes.advance(1);
    assert_eq!(source.read(&deaf.things(), 1).await, 0);
    nodes.clock.advance(Duration::from_millis(1));
    assert_eq!(source.read(&deaf.things(), 1).await, 1);
    // What it loads meanwhile, it believes for a second again: no load for each read.
    for _ in 0..10 {
        source.read(&deaf.things(), 1).await;
    }
    assert_eq!(source.loads(), 2);
    // When it hears again, what did not change is good again.
    nodes.advance(5);
    deaf.cache.catch_up().await;
    let loads = source.loads();
    source.read(&deaf.things(), 1).await;
    assert!(source.loads() <= loads + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_seen_by_running_nodes_without_a_call() {
    let nodes = Nodes::new().await.really();
    let (one, other, source) = (nodes.node(), nodes.node(), Source::default());
    other.cache.start();
    for round in 1..=5 {
        source.read(&other.things(), 1).await;
        change(&one, &one.things(), &source, 1).await;
        // No wake-ups are exchanged in this test: the node looks by itself.
        let seen = async {
            while source.read(&other.things(), 1).await < round {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.unwrap();
    }
    // Not because nothing is believed.
    let before = source.loads();
    assert!(other.cache.catch_up().await);
    for _ in 0..100 {
        source.read(&other.things(), 1).await;
    }
    assert!(source.loads() <= before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connections_are_all_taken_still_hears() {
    let nodes = Nodes::new().await;
    let (one, busy, source) = (nodes.node(), nodes.impatient_node(), Source::default());
    busy.cache.catch_up().await;
    source.read(&busy.things(), 1).await;
    let held = hold_all(&busy.db).await;
    change(&one, &one.things(), &source, 1).await;
    assert!(busy.cache.catch_up().await);
    assert_eq!(source.read(&busy.things(), 1).await, 1);
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_can_t_say_what_it_changes_still_hears() {
    let nodes = Nodes::new().await;
    let (one, mute, source) = (nodes.node(), nodes.impatient_node(), Source::default());
    mute.cache.catch_up().await;
    source.read(&mute.things(), 1).await;
    change(&one, &one.things(), &source, 1).await;
    let unit = one.db.write(&actor()).await.unwrap();
    if one.db.dialect() == mainstay_db::Dialect::Postgres {
        // On SQLite nobody else can write anyway.
        let sql = "LOCK TABLE invalidations IN SHARE MODE";
        sea_orm::ConnectionTrait::execute_unprepared(&unit, sql).await.unwrap();
    }
    mute.things().invalidate(&2).await;
    assert!(mute.cache.catch_up().await);
    assert_eq!(source.read(&mute.things(), 1).await, 1);
    // It is said when that is possible.
    one.cache.catch_up().await;
    let loads = source.loads();
    source.read(&one.things(), 2).await;
    unit.rollback().await.unwrap();
    mute.cache.catch_up().await;
    one.cache.catch_up().await;
    source.read(&one.things(), 2).await;
    assert_eq!(source.loads(), loads + 2);
}

/// Every connection for reads, and on PostgreSQL for changes too.
async fn hold_all(db: &mainstay_db::Db) -> Box<dyn std::any::Any> {
    match db.dialect() {
        mainstay_db::Dialect::Sqlite => {
            let pool = db.primary().get_sqlite_connection_pool();
            let mut held = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                held.push(pool.acquire().await.unwrap());
            }
            Box::new(held)
        }
        mainstay_db::Dialect::Postgres => {
            let pool = db.primary().get_postgres_connection_pool();
            let mut held = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                held.push(pool.acquire().await.unwrap());
            }
            Box::new(held)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_row_could_not_be_written_is_not_lost() {
    let nodes = Nodes::new().await;
    let (one, other, source) = (nodes.node(), nodes.node(), Source::default());
    for node in [&one, &other] {
        node.cache.catch_up().await;
        source.read(&node.things(), 1).await;
    }
    source.change();
    // Nothing can be written until this is gone.
    let locked = block(&nodes.database).await;
    let things = one.things();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { things.invalidate(&1).await });
    waiting.join_all().await;
    assert_eq!(source.read(&one.things(), 1).await, 1);
    unblock(locked).await;
    assert!(one.cache.catch_up().await);
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);
}

/// Takes the table of invalidations away.
async fn block(database: &TestDatabase) -> mainstay_db::Db {
    use sea_orm::ConnectionTrait as _;
    let db = database.open();
    let unit = db.write(&actor()).await.unwrap();
    unit.execute_unprepared("ALTER TABLE invalidations RENAME TO away").await.unwrap();
    unit.commit().await.unwrap();
    db
}

async fn unblock(db: mainstay_db::Db) {
    use sea_orm::ConnectionTrait as _;
    let unit = db.write(&actor()).await.unwrap();
    unit.execute_unprepared("ALTER TABLE away RENAME TO invalidations").await.unwrap();
    unit.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_commits_late_is_not_missed() {
    let nodes = Nodes::new().await;
    let (one, other, source) = (nodes.node(), nodes.node(), Source::default());
    if one.db.dialect() == mainstay_db::Dialect::Sqlite {
        // There no two changes are open at once.
        return;
    }
    other.cache.catch_up().await;
    source.read(&other.things(), 1).await;
    source.read(&other.things(), 2).await;
    // The first to begin, and to be numbered, is the last to commit.
    let early = one.db.write(&actor()).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&early, "SELECT pg_current_xact_id()").await.unwrap();
    one.things().invalidate_with(&early, &1);
    change(&one, &one.things(), &source, 2).await;
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 2).await, 1);
    source.change();
    early.commit().await.unwrap();
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 2);
    // And what is applied is applied once.
    let heard = number(&other.metrics, "cache_invalidations_total");
    other.cache.catch_up().await;
    assert_eq!(number(&other.metrics, "cache_invalidations_total"), heard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_commits_does_not_make_a_node_look_all_the_time() {
    let nodes = Nodes::new().await;
    let node = nodes.node();
    let began = std::time::Instant::now();
    node.cache.start();
    for _ in 0..300 {
        node.db.signals().wake(mainstay_db::INVALIDATIONS);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let looks = number(&node.metrics, "cache_log_looks_total");
    // However long all this took: one at the beginning, and then one in 25 ms.
    let most = 2 + began.elapsed().as_millis() / 25;
    assert!(looks >= 1 && u128::try_from(looks).unwrap() <= most, "{looks} of {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_that_wait_no_longer_for_a_look_do_not_cut_it_off() {
    let server = RedisServer::start();
    let nodes = Nodes::with_redis(server.options()).await.really();
    let (node, other, source) = (nodes.node(), nodes.node(), Source::default());
    // What changed behind the horizon makes a load look.
    let Some(open) = hold_horizon(&other).await else { return };
    node.cache.start();
    node.until("up", |cache| cache.is_redis_up() == Some(true)).await;
    let unit = node.db.write(&actor()).await.unwrap();
    (0..10).for_each(|key| node.things().invalidate_with(&unit, &key));
    unit.commit().await.unwrap();
    let locked = other.db.write(&actor()).await.unwrap();
    let lock = "LOCK TABLE invalidations IN ACCESS EXCLUSIVE MODE";
    sea_orm::ConnectionTrait::execute_unprepared(&locked, lock).await.unwrap();

    let looks = || number(&node.metrics, "cache_log_looks_total");
    let (before, began) = (looks(), std::time::Instant::now());
    for key in 0..10 {
        source.read(&node.things(), key).await;
    }
    // Each look that began since waits for the lock until its own patience is over.
    let most = 2 + began.elapsed().as_millis() / 700;
    assert!(u128::try_from(looks() - before).unwrap() <= most, "{} of {most}", looks() - before);
    locked.rollback().await.unwrap();
    open.rollback().await.unwrap();
}

/// Holds the horizon back as long as it is open. `None` on SQLite, where no two changes are open at once.
async fn hold_horizon(node: &Node) -> Option<mainstay_db::WriteUnit> {
    if node.db.dialect() == mainstay_db::Dialect::Sqlite {
        return None;
    }
    let open = node.db.write(&actor()).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&open, "SELECT pg_current_xact_id()").await.unwrap();
    Some(open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stays_open_makes_no_node_apply_anything_twice() {
    let nodes = Nodes::new().await;
    let (one, other, source) = (nodes.node(), nodes.node(), Source::default());
    let Some(open) = hold_horizon(&one).await else { return };
    other.cache.catch_up().await;
    source.read(&other.things(), 1000).await;
    for key in 0..200 {
        change(&one, &one.things(), &source, key).await;
        if key % 20 == 0 {
            assert!(other.cache.catch_up().await);
        }
    }
    for _ in 0..3 {
        assert!(other.cache.catch_up().await);
    }
    assert_eq!(number(&other.metrics, "cache_invalidations_total"), 200);
    // And what did not change is still there.
    assert_eq!(source.read(&other.things(), 1000).await, 0);
    one.things().invalidate_with(&open, &1000);
    open.commit().await.unwrap();
    assert!(other.cache.catch_up().await);
    assert_eq!(source.read(&other.things(), 1000).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_while_a_transaction_stayed_open_is_judged_right() {
    let server = RedisServer::start();
    let (_nodes, one, other, source) = with_redis(&server).await;
    let Some(open) = hold_horizon(&one).await else { return };
    one.things().invalidate_with(&open, &2);
    for key in [1, 2] {
        source.read(&one.things(), key).await;
    }
    until_stored(&server, 2).await;
    // One that begins later and ends earlier.
    change(&one, &one.things(), &source, 1).await;
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);
    // And the one that began first.
    source.change();
    open.commit().await.unwrap();
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 2).await, 2);
    // What nobody changed was good all the time.
    let loads = source.loads();
    source.read(&one.things(), 3).await;
    until_stored(&server, 3).await;
    source.read(&other.things(), 3).await;
    assert_eq!(source.loads(), loads + 1);
}

async fn with_redis(server: &RedisServer) -> (Nodes, Node, Node, Source) {
    let nodes = Nodes::with_redis(server.options()).await;
    let (one, other) = (nodes.node(), nodes.node());
    for node in [&one, &other] {
        node.cache.start();
        node.until("up", |cache| cache.is_redis_up() == Some(true)).await;
        node.cache.catch_up().await;
    }
    (nodes, one, other, Source::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_loaded_others_take_from_redis_until_it_changes() {
    let server = RedisServer::start();
    let (_nodes, one, other, source) = with_redis(&server).await;
    source.read(&one.things(), 1).await;
    until_stored(&server, 1).await;
    source.read(&other.things(), 1).await;
    assert_eq!(source.loads(), 1);
    assert_eq!(number(&other.metrics, r#"cache_reads_total{namespace="test.thing",result="redis"}"#), 1);

    change(&one, &one.things(), &source, 1).await;
    assert_eq!(source.read(&one.things(), 1).await, 1);
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);
    // On PostgreSQL other tests' transactions hold the horizon back: then it can't be told that the value is new.
    let most = if one.db.dialect() == mainstay_db::Dialect::Sqlite { 2 } else { 3 };
    assert!((2..=most).contains(&source.loads()), "{}", source.loads());
}

/// Values are written to Redis when nobody waits any more.
async fn until_stored(server: &RedisServer, count: usize) {
    let stored = async {
        loop {
            let keys: Vec<String> = server.command(&["KEYS", "test:*"]);
            if keys.len() == count && keys.iter().all(|key| !key.contains(":lease:")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stored).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_put_back_to_an_earlier_state_serves_nothing_that_changed() {
    let server = RedisServer::start();
    let (nodes, one, other, source) = with_redis(&server).await;
    source.read(&one.things(), 1).await;
    until_stored(&server, 1).await;
    let keys: Vec<String> = server.command(&["KEYS", "test:*"]);
    let copy: Vec<u8> = server.command(&["GET", &keys[0]]);

    change(&one, &one.things(), &source, 1).await;
    source.read(&one.things(), 1).await;
    let mut connection = server.connection();
    redis::cmd("SET").arg(&keys[0]).arg(&copy).exec(&mut connection).unwrap();
    other.cache.catch_up().await;
    assert_eq!(source.read(&other.things(), 1).await, 1);

    // Nor does a node that was not there when it changed.
    redis::cmd("SET").arg(&keys[0]).arg(&copy).exec(&mut connection).unwrap();
    let young = nodes.node();
    young.cache.start();
    young.until("up", |cache| cache.is_redis_up() == Some(true)).await;
    assert!(young.cache.catch_up().await);
    assert_eq!(source.read(&young.things(), 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_redis_is_a_miss() {
    let server = RedisServer::start();
    let (nodes, one, _, source) = with_redis(&server).await;
    source.read(&one.things(), 1).await;
    until_stored(&server, 1).await;
    let keys: Vec<String> = server.command(&["KEYS", "test:*"]);
    for rubbish in ["", "rubbish", &"x".repeat(200)] {
        let _: String = server.command(&["SET", &keys[0], rubbish]);
        let young = nodes.node();
        young.cache.start();
        young.until("up", |cache| cache.is_redis_up() == Some(true)).await;
        assert!(young.cache.catch_up().await);
        assert_eq!(source.read(&young.things(), 1).await, 0);
    }
    let _: u8 = server.command(&["DEL", &keys[0]]);
    let _: u8 = server.command(&["RPUSH", &keys[0], "of another type"]);
    let young = nodes.node();
    young.cache.start();
    young.until("up", |cache| cache.is_redis_up() == Some(true)).await;
    assert!(young.cache.catch_up().await);
    assert_eq!(source.read(&young.things(), 1).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_name_makes_nodes_start_anew() {
    let server = RedisServer::start();
    let (_nodes, one, other, source) = with_redis(&server).await;
    source.read(&one.things(), 1).await;
    until_stored(&server, 1).await;
    source.read(&other.things(), 1).await;
    // As after a change of hands to a copy that lacks the last changes, and has no row about them.
    source.change();
    one.db.rename_invalidation_log(7).await.unwrap();
    while !other.cache.catch_up().await {}
    assert_eq!(source.read(&other.things(), 1).await, 1);
    while !one.cache.catch_up().await {}
    assert_eq!(source.read(&one.things(), 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_put_back_makes_nodes_start_anew() {
    let server = RedisServer::start();
    let (_nodes, one, other, source) = with_redis(&server).await;
    for _ in 0..5 {
        one.things().invalidate(&9).await;
    }
    one.cache.catch_up().await;
    other.cache.catch_up().await;
    source.read(&one.things(), 1).await;
    until_stored(&server, 1).await;
    if one.db.dialect() == mainstay_db::Dialect::Postgres {
        // There the counter of transactions can't be turned back.
        return;
    }
    use sea_orm::ConnectionTrait as _;
    source.change();
    let unit = one.db.write(&actor()).await.unwrap();
    unit.execute_unprepared("DELETE FROM invalidations WHERE id > 2").await.unwrap();
    unit.commit().await.unwrap();
    // The first look sees it, the second is about the log of another name.
    let anew = async {
        while source.read(&other.things(), 1).await == 0 {
            other.cache.catch_up().await;
        }
        while source.read(&one.things(), 1).await == 0 {
            one.cache.catch_up().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), anew).await.unwrap();
}
