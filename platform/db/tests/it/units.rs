//! Write units: whole or not at all, and never lost.

use mainstay_core::Actor;
use mainstay_db::testing::TestDatabase;
use mainstay_db::{Db, Migration, Steps, UnitWork, unique_violation};
use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, Index, Query, Table};
use sea_orm::{ConnectionTrait, DbErr};

fn counters(steps: &mut Steps) {
    steps.run(
        &Table::create()
            .table(Alias::new("counters"))
            .col(ColumnDef::new(Alias::new("id")).big_integer().not_null().primary_key())
            .col(ColumnDef::new(Alias::new("value")).big_integer().not_null())
            .to_owned(),
    );
    steps.run(
        &Index::create()
            .name("counters_value_key")
            .table(Alias::new("counters"))
            .col(Alias::new("value"))
            .unique()
            .to_owned(),
    );
}

const COUNTERS: Migration = Migration {
    app: "test",
    version: 20_260_101_000_000,
    name: "counters",
    up: counters,
    down: |steps| {
        steps.run(&Table::drop().table(Alias::new("counters")).to_owned());
    },
};

async fn value(connection: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    let select = Query::select()
        .column(Alias::new("value"))
        .from(Alias::new("counters"))
        .and_where(Expr::col(Alias::new("id")).eq(1))
        .to_owned();
    connection.query_one(&select).await?.map(|row| row.try_get("", "value")).transpose()
}

async fn insert(connection: &impl ConnectionTrait, id: i64, value: i64) -> Result<(), DbErr> {
    let insert = Query::insert()
        .into_table(Alias::new("counters"))
        .columns([Alias::new("id"), Alias::new("value")])
        .values_panic([id.into(), value.into()])
        .to_owned();
    connection.execute(&insert).await.map(|_| ())
}

async fn increment(db: &Db) -> Result<(), DbErr> {
    db.write_retrying(&Actor::system("test"), |unit| {
        UnitWork::new(async move {
            let old = value(unit).await?.unwrap_or_default();
            // Time for others to read the same value.
            tokio::task::yield_now().await;
            let update = Query::update()
                .table(Alias::new("counters"))
                .value(Alias::new("value"), old + 1)
                .and_where(Expr::col(Alias::new("id")).eq(1))
                .to_owned();
            unit.execute(&update).await?;
            Ok(())
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "the test's own tasks race")]
async fn eight_tasks_that_read_then_increment_lose_nothing() {
    let database = TestDatabase::migrated(&[COUNTERS]).await;
    let db = database.open();
    insert_committed(&db, 1, 0).await;

    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while done < 25 {
                    // Under this much contention five retries may not be enough: the
                    // caller hears of it, and nothing was half done.
                    if increment(&db).await.is_ok() {
                        done += 1;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    assert_eq!(value(db.primary()).await.unwrap(), Some(200));
}

async fn insert_committed(db: &Db, id: i64, value: i64) {
    let unit = db.write(&Actor::system("test")).await.unwrap();
    insert(&unit, id, value).await.unwrap();
    unit.commit().await.unwrap();
}

#[tokio::test]
async fn a_unit_that_is_dropped_changes_nothing() {
    let database = TestDatabase::migrated(&[COUNTERS]).await;
    let db = database.open();

    let unit = db.write(&Actor::system("test")).await.unwrap();
    insert(&unit, 1, 7).await.unwrap();
    drop(unit);

    assert_eq!(value(db.primary()).await.unwrap(), None);
    // The connection is good for the next one.
    insert_committed(&db, 1, 8).await;
    assert_eq!(value(db.primary()).await.unwrap(), Some(8));
}

#[tokio::test]
async fn a_violated_index_is_told_by_its_column() {
    let database = TestDatabase::migrated(&[COUNTERS]).await;
    let db = database.open();
    insert_committed(&db, 1, 7).await;

    let unit = db.write(&Actor::system("test")).await.unwrap();
    let error = insert(&unit, 2, 7).await.unwrap_err();

    assert!(unique_violation(&error, "counters", &["value"]), "{error}");
    assert!(!unique_violation(&error, "counters", &["id"]), "{error}");
}
