//! The log of invalidations.

use std::sync::{Arc, Mutex};

use mainstay_core::{Actor, Clock, ManualClock, OsRng, SystemClock, Timestamp};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{DatabaseSettings, Db, DbOptions, Dialect, Logged, Place, trail};
use mainstay_telemetry::Metrics;
use sea_orm::ConnectionTrait as _;
use tokio::task::JoinSet;

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
    let before = db.invalidations(&Place::START, 10).await.unwrap();
    assert_eq!(before.rows, []);
    let logged = invalidate(&db, &[3, 1, 3, u32::MAX]).await;
    let look = db.invalidations(&before.place, 10).await.unwrap();
    assert_eq!(look.rows.len(), 1);
    assert_eq!(look.rows[0].hashes, [1, 3, u32::MAX]);
    assert_eq!((look.rows[0].id, look.rows[0].position), (logged.id, logged.position));
    // On PostgreSQL transactions of other databases hold the horizon back.
    let passed = async {
        loop {
            let place = db.invalidations(&before.place, 10).await.unwrap().place;
            if logged.position < place.horizon() {
                break place;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let place = tokio::time::timeout(std::time::Duration::from_secs(30), passed).await.unwrap();
    assert_eq!(db.invalidations(&place, 10).await.unwrap().rows, []);
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
    assert_eq!(db.invalidations(&Place::START, 10).await.unwrap().rows, []);
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
    let look = db.invalidations(&Place::START, 10).await.unwrap();
    assert_eq!(look.rows[0].hashes, [8]);
    late.commit().await.unwrap();
    let look = db.invalidations(&look.place, 10).await.unwrap();
    assert_eq!(look.rows.iter().map(|row| &row.hashes[..]).collect::<Vec<_>>(), [[7]]);
    // The newest is the one that began last.
    let look = db.invalidations(&Place::START, 1).await.unwrap();
    assert_eq!(look.rows.iter().map(|row| &row.hashes[..]).collect::<Vec<_>>(), [[8]]);
}

#[tokio::test]
async fn a_transaction_that_stays_open_makes_no_row_be_read_twice() {
    let (_database, db) = database().await;
    if db.dialect() == Dialect::Sqlite {
        // There no two changes are open at once.
        return;
    }
    let open = db.write(&Actor::system("test")).await.unwrap();
    open.execute_unprepared("SELECT pg_current_xact_id()").await.unwrap();
    open.invalidate([1000]);
    let mut place = Place::START;
    for round in 0..20 {
        for number in 0..10 {
            invalidate(&db, &[round * 10 + number]).await;
        }
        let look = db.invalidations(&place, 1000).await.unwrap();
        let read: Vec<u32> = look.rows.iter().flat_map(|row| row.hashes.clone()).collect();
        assert_eq!(read, (round * 10..round * 10 + 10).rev().collect::<Vec<_>>());
        assert!(look.rows.iter().all(|row| row.position > look.place.horizon()));
        place = look.place;
    }
    open.commit().await.unwrap();
    let look = db.invalidations(&place, 1000).await.unwrap();
    assert_eq!(look.rows.iter().map(|row| &row.hashes[..]).collect::<Vec<_>>(), [[1000]]);
    // What does not fit is the oldest.
    let look = db.invalidations(&Place::START, 3).await.unwrap();
    assert_eq!(look.rows.iter().map(|row| row.hashes[0]).collect::<Vec<_>>(), [199, 198, 197]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_goes_from_look_to_look_sees_each_row_once() {
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
    let mut place = Place::START;
    loop {
        let is_last = writers.is_empty();
        let look = db.invalidations(&place, 1000).await.unwrap();
        assert!(look.place.horizon() >= place.horizon());
        place = look.place;
        for hash in look.rows.iter().flat_map(|row| row.hashes.clone()) {
            assert!(seen.insert(hash), "{hash} is read twice");
        }
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
        assert_eq!(db.invalidations(&Place::START, 10).await.unwrap().rows[0].id, logged.id);
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        db.primary().execute_unprepared(cut).await.unwrap();
    }
    // A look that was given up leaves nothing behind.
    let (start, no_time) = (Place::START, std::time::Duration::ZERO);
    assert!(tokio::time::timeout(no_time, db.invalidations(&start, 10)).await.is_err());
    assert_eq!(db.invalidations(&Place::START, 10).await.unwrap().rows[0].id, logged.id);
}

#[tokio::test]
async fn a_look_that_nobody_waits_for_any_more_does_not_cost_the_connection() {
    let (_database, db) = database().await;
    if db.dialect() == Dialect::Sqlite {
        return;
    }
    let look = async || db.invalidations(&Place::START, 10).await;
    // Whoever looks, by what they asked last.
    let lookers = async || {
        let sql = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = current_database() \
                   AND query LIKE '%invalidation_log%' AND pid <> pg_backend_pid()";
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        db.primary().query_one_raw(statement).await.unwrap().unwrap().try_get_by_index::<String>(0).unwrap()
    };
    look().await.unwrap();
    let before = lookers().await;
    assert!(!before.contains(' '), "{before}");
    let locked = db.write(&Actor::system("test")).await.unwrap();
    locked.execute_unprepared("LOCK TABLE invalidations").await.unwrap();
    for _ in 0..3 {
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(50), look()).await;
        assert!(given_up.is_err());
    }
    locked.rollback().await.unwrap();
    look().await.unwrap();
    assert_eq!(lookers().await, before);

    db.close().await;
    assert!(look().await.is_err(), "what is closed is not opened again");
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
    assert_eq!(db.invalidations(&Place::START, 2000).await.unwrap().rows.len(), 1000);
}

#[tokio::test]
async fn nothing_above_a_row_that_stays_is_removed() {
    let database = TestDatabase::migrated(&trail::migrations()).await;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1000)));
    let db = database.open_with(Arc::clone(&clock) as Arc<dyn Clock>);
    if db.dialect() == Dialect::Sqlite {
        // There a row that is written later is above.
        return;
    }
    let late = db.write(&Actor::system("test")).await.unwrap();
    late.execute_unprepared("SELECT pg_current_xact_id()").await.unwrap();
    late.invalidate([7]);
    for number in 0..1005 {
        invalidate(&db, &[number]).await;
    }
    clock.advance(std::time::Duration::from_secs(10));
    late.commit().await.unwrap();
    assert_eq!(db.purge_invalidations(Timestamp::from_millis(5000)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_log_can_be_renamed() {
    let (_database, db) = database().await;
    let before = name(&db).await;
    db.rename_invalidation_log(7).await.unwrap();
    let renamed = name(&db).await;
    assert_ne!(renamed, before);
    assert_eq!(name(&db).await, renamed);
}

async fn name(db: &Db) -> u128 {
    db.invalidations(&Place::START, 1).await.unwrap().log
}

#[tokio::test]
async fn an_ordinary_role_is_told_whose_history_a_log_is_and_one_that_is_not_can_do_without() {
    let (database, db) = database().await;
    if db.dialect() == Dialect::Sqlite {
        return;
    }
    db.rename_invalidation_log(7).await.unwrap();
    let (server, database) = database.url().rsplit_once('/').unwrap();
    let role = format!("ordinary_{database}");
    let host = server.rsplit_once('@').unwrap().1;
    let url = format!("postgres://{role}:secret@{host}/{database}");
    let ordinary = || {
        let settings = DatabaseSettings { url: url.clone().into(), ..DatabaseSettings::default() };
        let (clock, rng, metrics) = (Arc::new(SystemClock), Arc::new(OsRng), Metrics::new());
        Db::open(DbOptions { settings, clock, rng, metrics }).unwrap()
    };
    let run = async |sql: &str| db.primary().execute_unprepared(sql).await.unwrap();
    run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await;
    run(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")).await;
    let told = ordinary();
    let known = name(&told).await;
    assert_eq!(known, name(&db).await);
    assert_ne!(name(&told).await, 7);

    // Each database has a list of its own of who may call what.
    run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
    let untold = ordinary();
    assert_ne!(name(&untold).await, known);
    // A node that was told before goes on as one that never was.
    assert_eq!(name(&told).await, name(&untold).await);
    told.close().await;
    untold.close().await;
    run(&format!("DROP OWNED BY {role}")).await;
    run(&format!("DROP ROLE {role}")).await;
}
