//! Migrations: once each, in order, back again, and never edited.

use mainstay_db::migrate::{DownTo, MigrateError, State};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{Db, Migration, Migrator, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Table};

fn create(steps: &mut Steps, name: &'static str) {
    let id = ColumnDef::new(Alias::new("id")).big_integer().not_null().primary_key().to_owned();
    steps.run(&Table::create().table(Alias::new(name)).col(id).to_owned());
}

fn remove(steps: &mut Steps, name: &'static str) {
    steps.run(&Table::drop().table(Alias::new(name)).to_owned());
}

const ONE: Migration = Migration {
    app: "first",
    version: 20_260_101_000_000,
    name: "one",
    up: |steps| create(steps, "one"),
    down: |steps| remove(steps, "one"),
};
const TWO: Migration = Migration {
    app: "second",
    version: 20_260_102_000_000,
    name: "two",
    up: |steps| create(steps, "two"),
    down: |steps| remove(steps, "two"),
};

fn migrator(db: &Db) -> Migrator {
    Migrator::new(db.clone(), [TWO, ONE])
}

async fn states(migrator: &Migrator) -> Vec<(String, bool)> {
    let status = migrator.status().await.unwrap();
    status.into_iter().map(|line| (line.name, matches!(line.state, State::Applied(_)))).collect()
}

fn state(name: &str, applied: bool) -> (String, bool) {
    (name.to_owned(), applied)
}

#[tokio::test]
async fn up_and_down_walk_the_same_order_and_leave_a_history() {
    let database = TestDatabase::empty().await;
    let migrator = migrator(&database.open());
    assert_eq!(states(&migrator).await, [state("one", false), state("two", false)]);

    assert_eq!(migrator.up(Some(ONE.version), |_| {}).await.unwrap(), 1);
    assert_eq!(states(&migrator).await, [state("one", true), state("two", false)]);
    assert_eq!(migrator.up(None, |_| {}).await.unwrap(), 1);
    assert_eq!(migrator.up(None, |_| {}).await.unwrap(), 0);

    assert_eq!(migrator.down(DownTo::Version(ONE.version), |_| {}).await.unwrap(), 1);
    assert_eq!(states(&migrator).await, [state("one", true), state("two", false)]);
    assert_eq!(migrator.down(DownTo::Steps(5), |_| {}).await.unwrap(), 1);

    let history: Vec<_> =
        migrator.history().await.unwrap().into_iter().map(|e| (e.direction, e.name)).collect();
    let expected = [("up", "one"), ("up", "two"), ("down", "two"), ("down", "one")];
    assert_eq!(history, expected.map(|(direction, name)| (direction.to_owned(), name.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "the test's own tasks race")]
async fn nodes_that_start_together_run_each_migration_once() {
    let database = TestDatabase::empty().await;
    let nodes: Vec<_> = (0..6)
        .map(|_| {
            let db = database.open();
            tokio::spawn(async move { migrator(&db).up(None, |_| {}).await.unwrap() })
        })
        .collect();

    let mut applied = 0;
    for node in nodes {
        applied += node.await.unwrap();
    }

    assert_eq!(applied, 2);
    assert_eq!(migrator(&database.open()).history().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_edited_migration_is_refused() {
    let database = TestDatabase::empty().await;
    let db = database.open();
    migrator(&db).up(None, |_| {}).await.unwrap();

    let edited = Migration { up: |steps| create(steps, "something_else"), ..ONE };
    let migrator = Migrator::new(db, [edited, TWO]);

    assert!(
        matches!(migrator.up(None, |_| {}).await, Err(MigrateError::Changed { version, .. }) if version == ONE.version)
    );
    assert!(migrator.pending().await.is_err());
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let database = TestDatabase::empty().await;
    let db = database.open();
    let broken = Migration {
        up: |steps| {
            create(steps, "two");
            steps.raw("this is not SQL");
        },
        ..TWO
    };
    assert!(matches!(
        Migrator::new(db.clone(), [ONE, broken]).up(None, |_| {}).await,
        Err(MigrateError::Step { .. })
    ));
    assert_eq!(states(&migrator(&db)).await, [state("one", true), state("two", false)]);

    // The table of the failed step is not in the way of the mended one.
    assert_eq!(migrator(&db).up(None, |_| {}).await.unwrap(), 1);
}

#[tokio::test]
async fn a_migration_of_a_newer_binary_is_shown_and_left_alone() {
    let database = TestDatabase::empty().await;
    let db = database.open();
    migrator(&db).up(None, |_| {}).await.unwrap();

    let older = Migrator::new(db, [ONE]);

    assert_eq!(older.pending().await.unwrap(), 0);
    assert!(matches!(older.status().await.unwrap()[1].state, State::Unknown(_)));
    assert!(
        matches!(older.down(DownTo::Steps(1), |_| {}).await, Err(MigrateError::Unknown(v)) if v == TWO.version)
    );
}
