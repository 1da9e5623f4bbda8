//! What replicas cost, and how old they show things, measured:
//!
//! ```text
//! scripts/services with sh -c 'cargo run --release -p mainstay-db --example replicas -- $(scripts/replication up measured 1)'
//! ```
//!
//! It takes the URLs of a primary and its replicas, makes a table there and prints
//!
//! 1. what a committed change costs without replicas, with them on one node, and on three nodes,
//! 2. what a read costs from the primary and from a replica, and what choosing costs,
//! 3. of own writes read at once at another node, how many were missed,
//! 4. how long after a commit another caller at another node saw it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement: it prints, and ends where it can't go on"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::{Actor, ActorKind, OsRng, Rng, SystemClock, UserId};
use mainstay_db::{DatabaseSettings, Db, DbOptions, Migration, Migrator, Steps};
use mainstay_telemetry::Metrics;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, OnConflict, Query, Table};
use sea_orm::{ConnectionTrait, Statement};

const ROUNDS: i64 = 1000;

fn up(steps: &mut Steps) {
    let column = |name: &str| ColumnDef::new(Alias::new(name)).big_integer().not_null().to_owned();
    let mut table = Table::create();
    steps.run(table.table(Alias::new("measured")).col(column("id").primary_key()).col(column("value")));
}

const MEASURED: Migration =
    Migration { app: "measure", version: 20_260_105_000_000, name: "measured", up, down: |_| {} };

fn node(urls: &[String], replicas: bool) -> Db {
    let settings = DatabaseSettings {
        url: urls[0].clone().into(),
        replica_urls: urls[1..].iter().filter(|_| replicas).map(|url| url.clone().into()).collect(),
        max_connections: 8,
        replica_connections: 4,
        ..DatabaseSettings::default()
    };
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(OsRng));
    let db = Db::open(DbOptions { settings, clock, rng, metrics: Metrics::new() }).unwrap();
    db.join_nodes();
    db
}

fn somebody() -> Actor {
    let kind = ActorKind::User(UserId::from(Uuid::from_bytes((&OsRng as &dyn Rng).bytes())));
    Actor { kind, request_id: None, address: None }
}

async fn write(db: &Db, actor: &Actor, value: i64) {
    let unit = db.write(actor).await.unwrap();
    let mut insert = Query::insert();
    insert.into_table(Alias::new("measured")).columns(["id", "value"].map(Alias::new));
    insert.values_panic([1.into(), value.into()]);
    insert.on_conflict(OnConflict::column(Alias::new("id")).update_column(Alias::new("value")).to_owned());
    unit.execute(&insert).await.unwrap();
    unit.commit().await.unwrap();
}

async fn value(connection: &impl ConnectionTrait) -> i64 {
    let by_id = Expr::col(Alias::new("id")).eq(1_i64);
    let mut select = Query::select();
    select.column(Alias::new("value")).from(Alias::new("measured")).and_where(by_id);
    connection.query_one(&select).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn uses_replica(db: &Db) -> bool {
    let sql = "SELECT pg_is_in_recovery()";
    let statement = Statement::from_string(db.primary().get_database_backend(), sql);
    db.read(&somebody()).query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!("{what:<44} median {:7.3} ms   99% {:7.3} ms   most {:7.3} ms", at(50), at(99), at(100));
}

async fn writes(what: &str, db: &Db) {
    let (actor, mut times) = (somebody(), Vec::new());
    for round in 0..ROUNDS {
        let began = Instant::now();
        write(db, &actor, round).await;
        times.push(began.elapsed());
    }
    print(what, times);
}

#[tokio::main]
async fn main() {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    assert!(urls.len() > 1, "give the URLs of a primary and its replicas");
    let alone = node(&urls, false);
    let migrations = mainstay_db::trail::migrations().into_iter().chain([MEASURED]).collect::<Vec<_>>();
    Migrator::new(alone.clone(), migrations).up(None, |_| {}).await.unwrap();

    writes("a change, without replicas", &alone).await;
    let mut nodes = vec![node(&urls, true)];
    while !uses_replica(&nodes[0]).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    writes("a change, with a replica, one node", &nodes[0]).await;
    nodes.extend([node(&urls, true), node(&urls, true)]);
    for db in &nodes {
        while !uses_replica(db).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    writes("a change, with a replica, three nodes", &nodes[0]).await;

    for (what, db) in [("a read of the primary", &alone), ("a read of the replica", &nodes[0])] {
        let (actor, mut times) = (somebody(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            value(db.read(&actor)).await;
            times.push(began.elapsed());
        }
        print(what, times);
    }
    let (actor, began) = (somebody(), Instant::now());
    for _ in 0..100_000 {
        std::hint::black_box(nodes[0].read(std::hint::black_box(&actor)));
    }
    println!("{:<44} {:.0} ns", "choosing", began.elapsed().as_nanos() as f64 / 100_000.0);

    let (actor, mut missed) = (somebody(), 0);
    for round in 0..ROUNDS {
        write(&nodes[0], &actor, round).await;
        missed += i64::from(value(nodes[1].read(&actor)).await != round);
    }
    println!("{:<44} {missed} of {ROUNDS}", "own writes missed at the next node");

    let (reader, mut times) = (somebody(), Vec::new());
    for round in 0..ROUNDS {
        write(&nodes[0], &actor, -round).await;
        let began = Instant::now();
        while value(nodes[1].read(&reader)).await != -round {}
        times.push(began.elapsed());
    }
    print("until others saw it, after the answer", times);
    for db in nodes {
        db.close().await;
    }
}
