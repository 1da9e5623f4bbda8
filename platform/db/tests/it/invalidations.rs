//! The log of invalidations.

use std::sync::{Arc, Mutex};

use mainstay_core::{Actor, Timestamp};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{Db, Dialect, Logged, trail};
use sea_orm::ConnectionTrait as _;
use tokio::task::JoinSet;

const FAR: i64 = i64::MIN;

async fn database() -> (TestDatabase, Db) {
    let database = TestDatabase::migrated(&trail::migrations()).await;
    let db = database.open();
    (database, db)
}

async fn invalidate(db: &Db, hashes: &[u32]) -> Logged {
    let unit = db.write(&Actor::system("test")).await.unwrap();
    unit.invalidate(hashes.iter().copied());
    let logged = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&logged);
    unit.after_commit(move |logged| *seen.lock().unwrap() = logged);
    unit.commit().await.unwrap();
    let logged = logged.lock().unwrap().take();
    logged.unwrap()
}

#[tokio::test]
async fn a_unit_leaves_one_row_below_the_next_horizon() {
    let (_database, db) = database().await;
    let before = db.invalidations(FAR, 10).await.unwrap();
    assert_eq!(before.rows, []);
    let logged = invalidate(&db, &[3, 1, 3, u32::MAX]).await;
    let look = db.invalidations(before.horizon, 10).await.unwrap();
    assert_eq!(look.rows.len(), 1);
    assert_eq!(look.rows[0].hashes, [1, 3, u32::MAX]);
    assert_eq!((look.rows[0].id, look.rows[0].position), (logged.id, logged.position));
    // On PostgreSQL transactions of other databases hold the horizon back.
    let passed = async {
        loop {
            let horizon = db.invalidations(before.horizon, 10).await.unwrap().horizon;
            if logged.position < horizon {
                break horizon;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let horizon = tokio::time::timeout(std::time::Duration::from_secs(30), passed).await.unwrap();
    assert_eq!(db.invalidations(horizon, 10).await.unwrap().rows, []);
}

#[tokio::test]
async fn what_is_given_up_leaves_none_and_calls_nobody() {
    let (_database, db) = database().await;
    let unit = db.write(&Actor::system("test")).await.unwrap();
    unit.invalidate([1]);
    unit.after_commit(|_| panic!("nothing was committed"));
    drop(unit);
    let unit = db.write(&Actor::system("test")).await.unwrap();
    unit.after_commit(|logged| assert_eq!(logged, None));
    unit.commit().await.unwrap();
    assert_eq!(db.invalidations(FAR, 10).await.unwrap().rows, []);
}

#[tokio::test]
async fn a_row_that_is_committed_late_is_above_every_horizon_before() {
    let (_database, db) = database().await;
    if db.dialect() == Dialect::Sqlite {
        // There no two changes are open at once.
        return;
    }
    let late = db.write(&Actor::system("test")).await.unwrap();
    late.execute_unprepared("SELECT pg_current_xact_id()").await.unwrap();
    late.invalidate([7]);
    invalidate(&db, &[8]).await;
    let look = db.invalidations(FAR, 10).await.unwrap();
    assert_eq!(look.rows[0].hashes, [8]);
    late.commit().await.unwrap();
    let look = db.invalidations(look.horizon, 10).await.unwrap();
    assert!(look.rows.iter().any(|row| row.hashes == [7]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_goes_from_horizon_to_horizon_misses_none() {
    let (_database, db) = database().await;
    let mut writers = JoinSet::new();
    for writer in 0..4_u32 {
        let db = db.clone();
        writers.spawn(async move {
            for number in 0..50 {
                invalidate(&db, &[writer * 50 + number]).await;
            }
        });
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut horizon = FAR;
    loop {
        let is_last = writers.is_empty();
        let look = db.invalidations(horizon, 1000).await.unwrap();
        assert!(look.horizon >= horizon);
        horizon = look.horizon;
        seen.extend(look.rows.iter().flat_map(|row| row.hashes.clone()));
        if is_last {
            break;
        }
        while writers.try_join_next().is_some() {}
    }
    assert_eq!(seen, (0..200).collect());
}

#[tokio::test]
async fn the_log_is_read_again_after_its_connection_was_cut() {
    let (_database, db) = database().await;
    if db.dialect() == Dialect::Sqlite {
        // A file does not hang up.
        return;
    }
    let logged = invalidate(&db, &[1]).await;
    for _ in 0..2 {
        assert_eq!(db.invalidations(FAR, 10).await.unwrap().rows[0].id, logged.id);
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        db.primary().execute_unprepared(cut).await.unwrap();
    }
    // A look that was given up leaves nothing behind.
    let given_up = tokio::time::timeout(std::time::Duration::ZERO, db.invalidations(FAR, 10));
    assert!(given_up.await.is_err());
    assert_eq!(db.invalidations(FAR, 10).await.unwrap().rows[0].id, logged.id);
}

#[tokio::test]
async fn old_rows_go_but_the_newest_thousand_stay() {
    let (_database, db) = database().await;
    for number in 0..1010 {
        invalidate(&db, &[number]).await;
    }
    let future = Timestamp::from_millis(i64::MAX);
    assert_eq!(db.purge_invalidations(Timestamp::from_millis(0)).await.unwrap(), 0);
    assert_eq!(db.purge_invalidations(future).await.unwrap(), 10);
    assert_eq!(db.invalidations(FAR, 2000).await.unwrap().rows.len(), 1000);
}

#[tokio::test]
async fn a_log_can_be_renamed() {
    let (_database, db) = database().await;
    db.rename_invalidation_log(7).await.unwrap();
    assert_eq!(db.invalidations(FAR, 1).await.unwrap().log, 7);
}
