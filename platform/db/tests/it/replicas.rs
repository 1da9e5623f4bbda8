//! Reads from a real streaming standby: who may, when not, and that nobody notices.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_core::{Actor, ActorKind, OsRng, Rng, SystemClock, UserId};
use mainstay_db::testing::dialect;
use mainstay_db::{
    DatabaseSettings, Db, DbOptions, Dialect, Migration, Migrator, Place, PointQuery, ReplicaState, Steps,
};
use mainstay_telemetry::Metrics;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, Query, Table};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;

fn up(steps: &mut Steps) {
    let column = |name: &str| ColumnDef::new(Alias::new(name)).big_integer().not_null().to_owned();
    let table = Table::create()
        .table(Alias::new("things"))
        .col(column("id").primary_key())
        .col(column("value"))
        .to_owned();
    steps.run(&table);
}

const THINGS: Migration = Migration {
    app: "test",
    version: 20_260_104_000_000,
    name: "things",
    up,
    down: |steps| {
        steps.run(&Table::drop().table(Alias::new("things")).to_owned());
    },
};

static BY_ID: std::sync::LazyLock<PointQuery> = std::sync::LazyLock::new(|| {
    let by_id = Expr::col(Alias::new("id")).eq(0_i64);
    PointQuery::new(Query::select().column(Alias::new("value")).from(Alias::new("things")).and_where(by_id))
});

/// A primary with standbys of its own, migrated.
struct Cluster {
    name: String,
    primary: String,
    standbys: Vec<String>,
}

impl Cluster {
    /// `None` where the tests run on SQLite, which has no replicas.
    async fn up(standbys: usize, delay: &str) -> Option<Self> {
        if dialect() == Dialect::Sqlite {
            return None;
        }
        let name = format!("c{:016x}", u64::from_le_bytes((&OsRng as &dyn Rng).bytes()));
        let printed = Self::program(&["up", &name, &standbys.to_string(), delay]);
        let mut urls = printed.lines().map(str::to_owned);
        let primary = urls.next().expect("the primary's URL is printed first");
        let cluster = Self { name, primary, standbys: urls.collect() };
        let db = cluster.node_with(|settings| settings.replica_urls.clear());
        let migrations: Vec<_> = mainstay_db::trail::migrations().into_iter().chain([THINGS]).collect();
        Migrator::new(db.clone(), migrations).up(None, |_| {}).await.unwrap();
        db.close().await;
        Some(cluster)
    }

    fn program(arguments: &[&str]) -> String {
        let program = std::env::var("MAINSTAY_TEST_REPLICATION")
            .expect("MAINSTAY_TEST_REPLICATION is set; `make test` sets it");
        let output = Command::new(program).args(arguments).output().expect("it can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "replication {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn standby(&self, what: &str, number: usize) {
        Self::program(&[what, &self.name, &format!("standby{number}")]);
    }

    fn node_with(&self, change: impl FnOnce(&mut DatabaseSettings)) -> Db {
        let mut settings = DatabaseSettings {
            url: self.primary.clone().into(),
            max_connections: 8,
            replica_urls: self.standbys.iter().map(|url| url.clone().into()).collect(),
            replica_connections: 4,
            ..DatabaseSettings::default()
        };
        change(&mut settings);
        let (clock, rng) = (Arc::new(SystemClock), Arc::new(OsRng));
        Db::open(DbOptions { settings, clock, rng, metrics: Metrics::new() }).unwrap()
    }

    /// A node that reads from replicas already.
    async fn node(&self) -> Db {
        let db = self.node_with(|_| {});
        db.join_nodes();
        until(async || goes_to_replica(&db, &somebody()).await).await;
        db
    }

    async fn link(url: &str) -> PgConnection {
        PgConnection::connect(url).await.unwrap()
    }

    async fn run(url: &str, sql: &'static str) {
        Self::link(url).await.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            Self::program(&["down", &self.name]);
        }
    }
}

/// Waits for what comes by itself.
async fn until(mut good: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !good().await {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who never wrote.
fn somebody() -> Actor {
    let bytes = (&OsRng as &dyn Rng).bytes();
    let kind = ActorKind::User(UserId::from(Uuid::from_bytes(bytes)));
    Actor { kind, request_id: None, address: None }
}

async fn goes_to_replica(db: &Db, actor: &Actor) -> bool {
    let statement = Statement::from_string(
        db.primary().get_database_backend(),
        "SELECT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'on'",
    );
    db.read(actor).query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn write(db: &Db, actor: &Actor, id: i64, value: i64) -> Result<(), DbErr> {
    let unit = db.write(actor).await?;
    let mut insert = Query::insert();
    insert.into_table(Alias::new("things")).columns(["id", "value"].map(Alias::new));
    insert.values_panic([id.into(), value.into()]);
    insert.on_conflict(
        sea_orm::sea_query::OnConflict::column(Alias::new("id"))
            .update_column(Alias::new("value"))
            .to_owned(),
    );
    unit.execute(&insert).await?;
    unit.commit().await
}

async fn value(connection: &impl ConnectionTrait, id: i64) -> Result<Option<i64>, DbErr> {
    let select = Query::select()
        .column(Alias::new("value"))
        .from(Alias::new("things"))
        .and_where(Expr::col(Alias::new("id")).eq(id))
        .to_owned();
    connection.query_one(&select).await?.map(|row| row.try_get_by_index(0)).transpose()
}

async fn point(db: &Db, actor: &Actor, id: i64) -> Option<i64> {
    let row = db.point(actor, &BY_ID, &[id.into()]).await.unwrap();
    row.map(|row| row.get("value").unwrap())
}

fn state(db: &Db, number: usize) -> ReplicaState {
    db.replicas()[number - 1].state
}

#[tokio::test]
async fn reads_go_to_the_replica_unless_the_caller_wrote_lately_and_the_primary_is_never_one() {
    let Some(cluster) = Cluster::up(1, "0").await else { return };
    let db = cluster.node().await;
    let (writer, other) = (somebody(), somebody());
    write(&db, &writer, 1, 10).await.unwrap();
    assert!(!goes_to_replica(&db, &writer).await);
    assert!(goes_to_replica(&db, &other).await);
    assert_eq!(value(db.read(&writer), 1).await.unwrap(), Some(10));
    assert_eq!(point(&db, &writer, 1).await, Some(10));
    until(async || goes_to_replica(&db, &writer).await).await;
    assert_eq!(value(db.read(&writer), 1).await.unwrap(), Some(10), "by then the replica has it");
    assert_eq!(point(&db, &writer, 1).await, Some(10));

    let statement = Statement::from_string(db.primary().get_database_backend(), "SELECT pg_is_in_recovery()");
    let row = db.primary().query_one_raw(statement).await.unwrap().unwrap();
    assert!(!row.try_get_by_index::<bool>(0).unwrap());

    // A command that runs once has no part in this.
    let command = cluster.node_with(|_| {});
    assert!(!goes_to_replica(&command, &other).await);
    command.close().await;
    db.close().await;
    assert!(db.read(&other).query_one(&Query::select().expr(1).to_owned()).await.is_err());
}

/// Writes at one node and reads at once at another, again and again, while the standby
/// replays everything late. `misses` counts reads that did not see the own write.
async fn race(nodes: &[Db], rounds: i64, first: i64) -> u64 {
    let misses = AtomicU64::new(0);
    let nodes = nodes.to_vec();
    let mut racers = JoinSet::new();
    let misses = Arc::new(misses);
    for racer in 0..8_i64 {
        let (nodes, misses) = (nodes.clone(), misses.clone());
        racers.spawn(async move {
            let actor = somebody();
            for round in 1..=rounds / 8 {
                let turn = usize::try_from(racer + round).unwrap();
                let (here, there) = (&nodes[turn % nodes.len()], &nodes[(turn + 1) % nodes.len()]);
                write(here, &actor, first + racer, round).await.unwrap();
                let listed = value(there.read(&actor), first + racer).await.unwrap();
                let found = point(there, &actor, first + racer).await;
                if listed != Some(round) || found != Some(round) {
                    misses.fetch_add(1, Ordering::Relaxed);
                }
                let pause = u64::from((&OsRng as &dyn Rng).bytes::<1>()[0]);
                // So that sometimes the mark of the last write is just over.
                if round % 16 == 0 {
                    tokio::time::sleep(Duration::from_millis(400 + pause)).await;
                }
            }
        });
    }
    while let Some(done) = racers.join_next().await {
        done.unwrap();
    }
    misses.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_wrote_at_one_node_sees_it_at_once_at_every_other() {
    let Some(cluster) = Cluster::up(1, "150ms").await else { return };
    let nodes = [cluster.node().await, cluster.node().await, cluster.node().await];
    // Each must know of the others: the last one has just come.
    for db in &nodes {
        until(async || goes_to_replica(db, &somebody()).await).await;
    }
    let others_went_to_replicas = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut onlookers = JoinSet::new();
    for db in nodes.clone() {
        let (stop, count) = (stop.clone(), others_went_to_replicas.clone());
        onlookers.spawn(async move {
            let actor = somebody();
            while !stop.load(Ordering::Relaxed) {
                if goes_to_replica(&db, &actor).await {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    assert_eq!(race(&nodes, 1000, 0).await, 0, "of 1,000 own writes, so many were not seen");
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = onlookers.join_next().await {
        done.unwrap();
    }
    let seen = others_went_to_replicas.load(Ordering::Relaxed);
    assert!(seen > 100, "meanwhile others read from the replica, which is late: {seen} times");
    for db in nodes {
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_link_is_cut_hides_no_own_write_either() {
    let Some(cluster) = Cluster::up(1, "150ms").await else { return };
    let nodes = [cluster.node().await, cluster.node().await];
    let stop = Arc::new(AtomicBool::new(false));
    let (url, stopped) = (cluster.primary.clone(), stop.clone());
    let mut saboteur = JoinSet::new();
    saboteur.spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(700)).await;
            // The links over which nodes hear and tell, and no others: a cut write is an error, rightly.
            let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' \
                       OR query LIKE 'SELECT pg_notify%'";
            Cluster::run(&url, cut).await;
        }
    });
    assert_eq!(race(&nodes, 160, 100).await, 0);
    stop.store(true, Ordering::Relaxed);
    while saboteur.join_next().await.is_some() {}
    for db in &nodes {
        until(async || goes_to_replica(db, &somebody()).await).await;
    }
}

#[tokio::test]
async fn a_replica_that_lags_is_dropped_and_comes_back_and_nobody_sees_anything_older_than_the_bound() {
    let Some(cluster) = Cluster::up(1, "0").await else { return };
    let db = cluster.node().await;
    let (writer, reader) = (somebody(), somebody());
    write(&db, &writer, 1, 0).await.unwrap();

    Cluster::run(&cluster.standbys[0], "SELECT pg_wal_replay_pause()").await;
    for round in 1..=5 {
        write(&db, &writer, 1, round).await.unwrap();
        // The bound, and something for a machine that has other things to do.
        tokio::time::sleep(Duration::from_millis(510)).await;
        assert_eq!(value(db.read(&reader), 1).await.unwrap(), Some(round));
        assert_eq!(point(&db, &reader, 1).await, Some(round));
    }
    assert_eq!(state(&db, 1), ReplicaState::Lagging);
    assert!(db.replicas()[0].age.unwrap() > Duration::from_millis(500));
    assert!(!goes_to_replica(&db, &reader).await);

    Cluster::run(&cluster.standbys[0], "SELECT pg_wal_replay_resume()").await;
    until(async || goes_to_replica(&db, &reader).await).await;
    assert_eq!(state(&db, 1), ReplicaState::InUse);
    assert_eq!(value(db.read(&reader), 1).await.unwrap(), Some(5));
    db.close().await;
}

/// Reads without a pause until it is told to stop, each read as somebody else. Every one must succeed.
fn keep_reading(db: &Db, stop: &Arc<AtomicBool>) -> JoinSet<u64> {
    let mut readers = JoinSet::new();
    for reader in 0..8 {
        let (db, stop) = (db.clone(), stop.clone());
        readers.spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let actor = somebody();
                let found = if reader % 2 == 0 {
                    value(db.read(&actor), 1).await.unwrap()
                } else {
                    point(&db, &actor, 1).await
                };
                assert_eq!(found, Some(1));
                count += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            count
        });
    }
    readers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_fails_while_replicas_are_killed_or_hang_and_they_come_back_by_themselves() {
    let Some(cluster) = Cluster::up(2, "0").await else { return };
    let db = cluster.node().await;
    write(&db, &Actor::system("test"), 1, 1).await.unwrap();
    until(async || db.replicas().iter().all(|replica| replica.state == ReplicaState::InUse)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = keep_reading(&db, &stop);
    let used = |count: usize| {
        let db = &db;
        until(async move || {
            db.replicas().iter().filter(|replica| replica.state == ReplicaState::InUse).count() == count
        })
    };

    cluster.standby("stop", 1);
    used(1).await;
    assert_eq!(state(&db, 1), ReplicaState::Down);
    assert!(goes_to_replica(&db, &somebody()).await, "the other one serves");
    cluster.standby("start", 1);
    used(2).await;

    cluster.standby("hang", 2);
    used(1).await;
    cluster.standby("resume", 2);
    used(2).await;

    cluster.standby("stop", 1);
    cluster.standby("stop", 2);
    used(0).await;
    assert!(!goes_to_replica(&db, &somebody()).await);
    cluster.standby("start", 1);
    cluster.standby("start", 2);
    used(2).await;

    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    while let Some(count) = readers.join_next().await {
        total += count.unwrap();
    }
    assert!(total > 100);
    db.close().await;
}

#[tokio::test]
async fn a_replica_that_was_promoted_answers_no_more() {
    let Some(cluster) = Cluster::up(1, "0").await else { return };
    let db = cluster.node().await;
    Cluster::run(&cluster.standbys[0], "SELECT pg_promote()").await;
    until(async || state(&db, 1) == ReplicaState::Promoted).await;
    assert!(!goes_to_replica(&db, &somebody()).await);
    let found = db.check_replicas().await;
    assert!(found[0].1.as_ref().unwrap_err().contains("promoted"), "{found:?}");
    db.close().await;
}

#[tokio::test]
async fn the_log_of_invalidations_of_a_standby_is_not_read_and_once_it_is_promoted_it_is_another() {
    let Some(cluster) = Cluster::up(1, "0").await else { return };
    let alone = |url: &str| {
        let url = url.to_owned();
        cluster.node_with(move |settings| {
            settings.url = url.into();
            settings.replica_urls.clear();
        })
    };
    let (primary, standby) = (alone(&cluster.primary), alone(&cluster.standbys[0]));
    let look = async |db: &Db| db.invalidations(&Place::START, 1).await;
    let log = look(&primary).await.unwrap().log;
    // As soon as it has the table.
    until(async || look(&standby).await.unwrap_err().to_string().contains("standby")).await;
    Cluster::run(&cluster.standbys[0], "SELECT pg_promote()").await;
    assert_ne!(look(&standby).await.unwrap().log, log);
    assert_eq!(look(&primary).await.unwrap().log, log);
    primary.close().await;
    standby.close().await;
}

/// Numbers of transactions that were not on the disk yet are given out again then: a row below the end of the last look
/// would never be read.
#[tokio::test]
async fn the_log_of_invalidations_is_another_after_a_crash_but_not_when_a_connection_was_cut() {
    let Some(cluster) = Cluster::up(0, "0").await else { return };
    let db = cluster.node_with(|_| {});
    let log = async || db.invalidations(&Place::START, 1).await.map(|look| look.log);
    let before = log().await.unwrap();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
    Cluster::run(&cluster.primary, cut).await;
    assert_eq!(log().await.unwrap(), before);

    for what in ["stop", "start"] {
        Cluster::program(&[what, &cluster.name, "primary"]);
    }
    until(async || log().await.is_ok()).await;
    assert_ne!(log().await.unwrap(), before);
    db.close().await;
}

#[tokio::test]
async fn a_url_that_leads_elsewhere_is_no_replica() {
    let Some(cluster) = Cluster::up(1, "0").await else { return };
    let other_server = std::env::var("MAINSTAY_TEST_POSTGRES_URL").unwrap();
    let other_database = format!("{}/template1", cluster.standbys[0].rsplit_once('/').unwrap().0);
    let nobody = "postgres://nobody@127.0.0.1:1/x";
    let urls = [&cluster.standbys[0], &other_server, &other_database, nobody];
    let db = cluster.node_with(|settings| {
        settings.replica_urls = urls.iter().map(|url| (**url).to_owned().into()).collect();
    });
    db.join_nodes();
    let expected = [ReplicaState::InUse, ReplicaState::Foreign, ReplicaState::Foreign, ReplicaState::Down];
    until(async || db.replicas().iter().map(|replica| replica.state).eq(expected)).await;
    let found = db.check_replicas().await;
    assert!(found[0].1.is_ok(), "{found:?}");
    for ((place, finding), said) in found[1..].iter().zip(["another server", "template1", "does not answer"])
    {
        assert!(finding.as_ref().unwrap_err().contains(said), "{place}: {finding:?}");
    }
    db.close().await;
}

#[tokio::test]
async fn a_query_that_the_standby_cancels_to_go_on_replaying_is_answered_by_the_primary() {
    let Some(cluster) = Cluster::up(1, "0").await else { return };
    for setting in ["max_standby_streaming_delay = '0'", "max_standby_archive_delay = '0'"] {
        let mut link = Cluster::link(&cluster.standbys[0]).await;
        link.execute(AssertSqlSafe(format!("ALTER SYSTEM SET {setting}"))).await.unwrap();
        link.execute("SELECT pg_reload_conf()").await.unwrap();
    }
    let db = cluster.node().await;
    for id in 0..100 {
        write(&db, &Actor::system("test"), id, id).await.unwrap();
    }
    until(async || value(db.read(&somebody()), 99).await.unwrap().is_some()).await;
    let actor = somebody();
    assert!(goes_to_replica(&db, &actor).await);

    // Long enough that the primary's cleaning reaches it in the middle; and again, should the replica have been
    // out for a moment when it was asked.
    let slow = "SELECT sum(value + 0 * length(pg_sleep(0.02)::text))::bigint FROM things";
    let mut rounds = 0;
    while conflicts(&cluster.standbys[0]).await == 0 {
        rounds += 1;
        assert!(rounds < 20, "the standby cancelled nothing: the test tests nothing");
        let statement = Statement::from_string(db.primary().get_database_backend(), slow);
        let (primary, standby) = (cluster.primary.clone(), cluster.standbys[0].clone());
        let mut cleaner = JoinSet::new();
        cleaner.spawn(async move {
            let (mut here, mut there) = (Cluster::link(&primary).await, Cluster::link(&standby).await);
            for _ in 0..100 {
                let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sum(value%' \
                               AND state = 'active' AND pid <> pg_backend_pid()";
                if sqlx::query_scalar::<_, i64>(running).fetch_one(&mut there).await.unwrap() > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            here.execute("UPDATE things SET value = value + 0 WHERE id < 50").await.unwrap();
            here.execute("VACUUM things").await.unwrap();
        });
        until(async || goes_to_replica(&db, &actor).await).await;
        let sum = db.read(&actor).query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(sum.try_get_by_index::<i64>(0).unwrap(), (0..100).sum::<i64>());
        cleaner.join_next().await.unwrap().unwrap();
    }
    db.close().await;
}

async fn conflicts(standby: &str) -> i64 {
    // What a session counted is seen a moment after it is idle.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let count = "SELECT sum(confl_snapshot)::bigint FROM pg_stat_database_conflicts";
    sqlx::query_scalar(count).fetch_one(&mut Cluster::link(standby).await).await.unwrap()
}
