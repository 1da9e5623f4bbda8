//! What events cost, measured: `MAINSTAY_TEST_DATABASE=sqlite cargo run --release -p mainstay-events
//! --example measure`, or with `postgres` below `scripts/services --durable with`.
//!
//! It makes a database of its own and prints
//!
//! 1. the lag from an event's recording to its effect at a steady 1,000 events a second,
//! 2. how fast a backlog of 50,000 events is worked off,
//! 3. what an idle node costs: processor time and statements,
//! 4. what an insert of one row costs by itself, with an event, with an audit entry, and with both.

#![expect(clippy::unwrap_used, reason = "a measurement that can't go on ends there")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mainstay_core::seal::RootKey;
use mainstay_core::{Actor, AuditEntry, Clock as _, Event, EventData, OsRng, SystemClock};
use mainstay_db::testing::{TestDatabase, dialect};
use mainstay_db::{Db, DbOptions, Migration, Steps, WriteUnit};
use mainstay_events::{
    BoxError, Consumer, Events, EventsOptions, EventsSettings, Handle, Job, Running, Schedule,
};
use mainstay_telemetry::Metrics;
use sea_orm::sea_query::{Alias, ColumnDef, Expr, Query, Table};
use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const ACTOR: Actor = Actor::system("measure");

#[derive(Serialize, Deserialize)]
struct Posted {
    post: u64,
    name: String,
    body: String,
}

impl Posted {
    fn new(post: u64) -> Self {
        Self { post, name: "A post's name".to_owned(), body: "Some words of a post. ".repeat(10) }
    }
}

impl EventData for Posted {
    const KIND: &'static str = "post.created";

    fn subject(&self) -> String {
        format!("post/{}", self.post)
    }
}

fn up(steps: &mut Steps) {
    let column = |name: &str| ColumnDef::new(Alias::new(name));
    for table in ["posts", "effects"] {
        steps.run(
            Table::create()
                .table(Alias::new(table))
                .col(column("id").big_integer().not_null().auto_increment().primary_key())
                .col(column("body").text().not_null()),
        );
    }
}

const TABLES: Migration =
    Migration { app: "measure", version: 20_261_121_150_000, name: "tables", up, down: |_| {} };

async fn insert(connection: &impl ConnectionTrait, table: &str, body: &str) -> Result<(), DbErr> {
    let insert = Query::insert()
        .into_table(Alias::new(table))
        .columns([Alias::new("body")])
        .values_panic([body.into()])
        .to_owned();
    connection.execute(&insert).await.map(drop)
}

/// A consumer that inserts a row for each event.
#[derive(Clone, Default)]
struct Effects {
    count: Arc<AtomicU64>,
    lags_ms: Arc<Mutex<Vec<u64>>>,
}

#[async_trait]
impl Handle for Effects {
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        insert(unit, "effects", &event.subject).await?;
        self.count.fetch_add(1, Ordering::Relaxed);
        let lag = SystemClock.now().since(event.time).as_millis();
        self.lags_ms.lock().unwrap().push(u64::try_from(lag)?);
        Ok(())
    }
}

struct Measured {
    db: Db,
    metrics: Metrics,
}

impl Measured {
    fn open(database: &TestDatabase) -> Self {
        let metrics = Metrics::new();
        let settings = mainstay_db::DatabaseSettings { max_connections: 16, ..database.settings() };
        let (clock, rng) = (Arc::new(SystemClock), Arc::new(OsRng));
        let db = Db::open(DbOptions { settings, clock, rng, metrics: metrics.clone() }).unwrap();
        Self { db, metrics }
    }

    fn start(&self, consumers: Vec<Consumer>) -> Running {
        let jobs = ["measure.one", "measure.two"];
        let every = Schedule::Every(Duration::from_secs(600));
        Events::new(EventsOptions {
            settings: EventsSettings::default(),
            db: self.db.clone(),
            rng: Arc::new(OsRng),
            metrics: self.metrics.clone(),
            root_key: RootKey::new("a secret key that nobody needs to know"),
            consumers,
            jobs: jobs.map(|name| Job::new(name, every.clone(), async || Ok(()))).into(),
            workers: Vec::new(),
        })
        .start()
    }

    fn statements(&self) -> u64 {
        let text = self.metrics.render();
        let line = text.lines().find(|line| line.starts_with("db_query_duration_seconds_count"));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
    }

    async fn rows(&self, table: &str) -> i64 {
        let count = Query::select()
            .expr_as(Expr::cust("COUNT(*)"), Alias::new("n"))
            .from(Alias::new(table))
            .to_owned();
        self.db.primary().query_one(&count).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    async fn drained(&self) {
        while self.rows("outbox").await + self.rows("event_deliveries").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn percentile<T: Copy + Ord>(values: &mut [T], share: f64) -> T {
    values.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "counts"
    )]
    let index = ((values.len() as f64 * share) as usize).min(values.len() - 1);
    values[index]
}

/// Seconds of processor time that this process has used.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

async fn lag(seconds: u64, rate: u64) {
    const WRITERS: u64 = 8;
    let database = database().await;
    let measured = Measured::open(&database);
    let effects = Effects::default();
    let running = measured.start(vec![Consumer::new("measure.effects", &["post.*"], effects.clone())]);
    let (before, used) = (measured.statements(), processor_time());
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let db = measured.db.clone();
        writers.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 * WRITERS / rate));
            for tick in 0..seconds * rate / WRITERS {
                ticks.tick().await;
                let post = Posted::new(tick * WRITERS + writer);
                let unit = db.write(&ACTOR).await.unwrap();
                insert(&unit, "posts", &post.body).await.unwrap();
                unit.emit(&post);
                unit.commit().await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let written = began.elapsed().as_secs_f64();
    measured.drained().await;
    let drained = began.elapsed().as_secs_f64();
    let used = processor_time() - used;
    running.stop(Duration::from_secs(10)).await;
    let mut lags = effects.lags_ms.lock().unwrap().clone();
    println!(
        "lag at {rate}/s: written in {written:.1} s, done after {drained:.1} s, {} effects; p50 {} ms, p99 {} ms, longest {} ms; \
         {:.1} statements an event, {:.2} processors",
        lags.len(),
        percentile(&mut lags, 0.5),
        percentile(&mut lags, 0.99),
        percentile(&mut lags, 1.0),
        (measured.statements() - before) as f64 / lags.len() as f64,
        used / drained,
    );
}

async fn backlog(events: u64) {
    let database = database().await;
    let measured = Measured::open(&database);
    for portion in 0..events / 500 {
        let unit = measured.db.write(&ACTOR).await.unwrap();
        (0..500).for_each(|post| unit.emit(&Posted::new(portion * 500 + post)));
        unit.commit().await.unwrap();
    }
    let effects = Effects::default();
    let began = Instant::now();
    let running = measured.start(vec![Consumer::new("measure.effects", &["post.*"], effects.clone())]);
    measured.drained().await;
    let took = began.elapsed().as_secs_f64();
    running.stop(Duration::from_secs(10)).await;
    println!(
        "backlog: {} events in {took:.1} s, {:.0} a second",
        effects.count.load(Ordering::Relaxed),
        events as f64 / took
    );
}

async fn idle(seconds: u64) {
    let database = database().await;
    let measured = Measured::open(&database);
    let names = ["measure.a", "measure.b", "measure.c", "measure.d", "measure.e"];
    let consumers = names.map(|name| Consumer::new(name, &["post.*"], Effects::default()));
    let running = measured.start(consumers.into());
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (before, used) = (measured.statements(), processor_time());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = processor_time() - used;
    println!(
        "idle with 5 consumers and 3 jobs: {used:.2} s of processor time in {seconds} s ({:.2} %), {:.1} statements a second",
        used / seconds as f64 * 100.0,
        (measured.statements() - before) as f64 / seconds as f64
    );
    running.stop(Duration::from_secs(10)).await;
}

async fn inserts(each: u64) {
    for (name, event, entry) in [
        ("nothing", false, false),
        ("an event", true, false),
        ("an entry", false, true),
        ("both", true, true),
    ] {
        let database = database().await;
        let measured = Measured::open(&database);
        let mut times = Vec::new();
        let mut before = 0;
        for round in 0..each + 50 {
            if round == 50 {
                before = measured.statements();
                times.clear();
            }
            let post = Posted::new(round);
            let began = Instant::now();
            let unit = measured.db.write(&ACTOR).await.unwrap();
            insert(&unit, "posts", &post.body).await.unwrap();
            if event {
                unit.emit(&post);
            }
            if entry {
                unit.audit(AuditEntry::new("post.created", post.subject()).set("name", &post.name));
            }
            unit.commit().await.unwrap();
            times.push(began.elapsed());
        }
        let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap();
        println!(
            "insert with {name}: mean {:.0} µs, p99 {:.0} µs, {:.2} statements",
            mean.as_secs_f64() * 1e6,
            percentile(&mut times, 0.99).as_secs_f64() * 1e6,
            (measured.statements() - before) as f64 / each as f64
        );
    }
}

async fn database() -> TestDatabase {
    let migrations = [mainstay_db::trail::migrations(), mainstay_events::migrations(), vec![TABLES]].concat();
    TestDatabase::migrated(&migrations).await
}

#[tokio::main]
async fn main() {
    println!("{}, load {}", dialect().name(), std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    inserts(1000).await;
    idle(20).await;
    lag(20, 1000).await;
    backlog(50_000).await;
    println!("load {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
}
