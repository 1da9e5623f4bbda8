//! Things that are counted up, events that tell of it, and consumers that write down what they heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::seal::RootKey;
use mainstay_core::{Actor, AuditEntry, Event, EventData, ManualClock, OsRng, SystemClock, Timestamp};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{DatabaseSettings, Db, DbOptions, Migration, Steps, WriteUnit};
use mainstay_events::{
    AuditLog, BoxError, Consumer, Events, EventsOptions, EventsSettings, Handle, Job, Worker,
};
use mainstay_telemetry::Metrics;
use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, Order, Query, SelectStatement, Table};
use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub const ACTOR: Actor = Actor::system("test");

fn up(steps: &mut Steps) {
    let number = |name: &str| ColumnDef::new(Alias::new(name)).big_integer().not_null().to_owned();
    let text = |name: &str| ColumnDef::new(Alias::new(name)).text().not_null().to_owned();
    steps.run(
        Table::create().table(Alias::new("things")).col(number("id").primary_key()).col(number("value")),
    );
    // Without any rule that would hide what is done twice.
    steps.run(
        Table::create()
            .table(Alias::new("effects"))
            .col(number("place").auto_increment().primary_key())
            .col(text("consumer"))
            .col(number("thing"))
            .col(number("number")),
    );
}

const TABLES: Migration = Migration {
    app: "test",
    version: 20_261_121_150_000,
    name: "things",
    up,
    down: |steps| {
        for table in ["effects", "things"] {
            steps.run(Table::drop().table(Alias::new(table)));
        }
    },
};

pub fn migrations() -> Vec<Migration> {
    [mainstay_db::trail::migrations(), mainstay_events::migrations(), vec![TABLES]].concat()
}

pub async fn database() -> TestDatabase {
    TestDatabase::migrated(&migrations()).await
}

/// A handle whose statements are counted in the metrics.
pub fn open_counting(database: &TestDatabase, metrics: &Metrics) -> Db {
    open(database.settings(), metrics)
}

/// A handle with a single connection.
pub fn open_narrow(database: &TestDatabase) -> Db {
    open(DatabaseSettings { max_connections: 2, ..database.settings() }, &Metrics::new())
}

fn open(settings: DatabaseSettings, metrics: &Metrics) -> Db {
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(OsRng));
    Db::open(DbOptions { settings, clock, rng, metrics: metrics.clone() }).unwrap()
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-01-31T09:30:00.000Z".parse::<Timestamp>().unwrap()))
}

/// How a consumer takes an event until it is healed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    #[default]
    Good,
    /// An error after the rows were written.
    Fails,
    Panics,
    Hangs,
    /// A statement that the database refuses.
    BadSql,
    /// The same, and the handler does not care.
    SwallowsBadSql,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    pub thing: i64,
    pub number: i64,
    #[serde(default)]
    pub mood: Mood,
}

impl EventData for Counted {
    const KIND: &'static str = "thing.counted";

    fn subject(&self) -> String {
        format!("thing/{}", self.thing)
    }
}

/// Writes down what it hears.
#[derive(Clone, Debug, Default)]
pub struct Record {
    healed: Arc<AtomicBool>,
}

impl Record {
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    pub fn consumer(&self, name: &'static str) -> Consumer {
        Consumer::new(name, &["thing.*"], Recorder { name, record: self.clone() })
    }
}

struct Recorder {
    name: &'static str,
    record: Record,
}

#[async_trait]
impl Handle for Recorder {
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        let Some(Counted { thing, number, mood }) = event.read()? else { return Ok(()) };
        note(unit, self.name, thing, number).await?;
        if self.record.healed.load(Ordering::SeqCst) {
            return Ok(());
        }
        match mood {
            Mood::Good => Ok(()),
            Mood::Fails => Err("it can't be done\0".into()),
            Mood::Panics => panic!("it is too much"),
            Mood::Hangs => std::future::pending().await,
            Mood::BadSql => Ok(unit.execute_unprepared("SELECT one FROM nowhere").await.map(drop)?),
            Mood::SwallowsBadSql => {
                let _refused = unit.execute_unprepared("SELECT one FROM nowhere").await;
                Ok(())
            }
        }
    }
}

pub async fn note(
    connection: &impl ConnectionTrait,
    consumer: &str,
    thing: i64,
    number: i64,
) -> Result<(), DbErr> {
    let insert = Query::insert()
        .into_table(Alias::new("effects"))
        .columns(["consumer", "thing", "number"].map(Alias::new))
        .values_panic([consumer.into(), thing.into(), number.into()])
        .to_owned();
    connection.execute(&insert).await.map(drop)
}

/// Counts a thing up in `unit`, which locks it, and returns its new number.
pub async fn count_up(unit: &impl ConnectionTrait, thing: i64, by: i64) -> Result<i64, DbErr> {
    let update = Query::update()
        .table(Alias::new("things"))
        .value(Alias::new("value"), Expr::col(Alias::new("value")).add(by))
        .and_where(Expr::col(Alias::new("id")).eq(thing))
        .to_owned();
    if unit.execute(&update).await?.rows_affected() == 0 {
        let insert = Query::insert()
            .into_table(Alias::new("things"))
            .columns(["id", "value"].map(Alias::new))
            .values_panic([thing.into(), by.into()])
            .to_owned();
        unit.execute(&insert).await?;
        return Ok(by);
    }
    let select = Query::select()
        .column(Alias::new("value"))
        .from(Alias::new("things"))
        .and_where(Expr::col(Alias::new("id")).eq(thing))
        .to_owned();
    unit.query_one(&select).await?.unwrap().try_get("", "value")
}

/// Changes a thing and tells of it. Returns its new number.
pub async fn change(db: &Db, thing: i64, mood: Mood) -> i64 {
    let unit = db.write(&ACTOR).await.unwrap();
    let number = count_up(&unit, thing, 1).await.unwrap();
    unit.emit(&Counted { thing, number, mood });
    unit.audit(
        AuditEntry::new("thing.counted", format!("thing/{thing}"))
            .changed("value", &(number - 1), &number)
            .note("via", "test"),
    );
    unit.commit().await.unwrap();
    number
}

/// What consumers did, in the order in which they did it.
pub async fn effects(db: &Db, consumer: &str) -> Vec<(i64, i64)> {
    let select = Query::select()
        .columns(["thing", "number"].map(Alias::new))
        .from(Alias::new("effects"))
        .and_where(Expr::col(Alias::new("consumer")).eq(consumer))
        .order_by(Alias::new("place"), Order::Asc)
        .to_owned();
    let rows = db.primary().query_all(&select).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "thing").unwrap(), row.try_get("", "number").unwrap())).collect()
}

pub async fn rows(db: &Db, table: &str) -> i64 {
    let select =
        Query::select().expr_as(Expr::cust("COUNT(*)"), Alias::new("n")).from(Alias::new(table)).to_owned();
    number(db, &select).await
}

pub async fn number(db: &Db, select: &SelectStatement) -> i64 {
    db.primary().query_one(select).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// Text of one column of one row.
pub async fn text(db: &Db, sql: &str) -> Option<String> {
    let statement = sea_orm::Statement::from_string(db.primary().get_database_backend(), sql);
    db.primary().query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

pub async fn run(db: &Db, sql: &str) -> u64 {
    let unit = db.write(&ACTOR).await.unwrap();
    let done = unit.execute_unprepared(sql).await.unwrap();
    unit.commit().await.unwrap();
    done.rows_affected()
}

/// The event of a thing's number, as it stands in the outbox.
pub async fn event_id(db: &Db, thing: i64, number: i64) -> Uuid {
    let select = Query::select()
        .columns(["id", "data"].map(Alias::new))
        .from(Alias::new("outbox"))
        .and_where(Expr::col(Alias::new("subject")).eq(format!("thing/{thing}")))
        .to_owned();
    let rows = db.primary().query_all(&select).await.unwrap();
    let row = rows.iter().find(|row| {
        let data: String = row.try_get("", "data").unwrap();
        serde_json::from_str::<Counted>(&data).unwrap().number == number
    });
    row.unwrap().try_get("", "id").unwrap()
}

pub fn root_key() -> RootKey {
    RootKey::new("a secret key of the tests, long enough")
}

pub fn audit_log(db: &Db) -> AuditLog {
    AuditLog::new(db.clone(), root_key())
}

pub fn settings() -> EventsSettings {
    EventsSettings {
        poll_ms: 50,
        retry_base_ms: 10,
        handler_timeout_s: 1,
        lease_s: 2,
        ..EventsSettings::default()
    }
}

/// One node.
pub struct Node {
    pub db: Db,
    pub settings: EventsSettings,
    pub metrics: Metrics,
    pub consumers: Vec<Consumer>,
    pub jobs: Vec<Job>,
    pub workers: Vec<Worker>,
}

impl Node {
    pub fn new(db: &Db, consumers: Vec<Consumer>) -> Self {
        Self {
            db: db.clone(),
            settings: settings(),
            metrics: Metrics::new(),
            consumers,
            jobs: Vec::new(),
            workers: Vec::new(),
        }
    }

    pub fn events(self) -> Events {
        let Self { db, settings, metrics, consumers, jobs, workers } = self;
        Events::new(EventsOptions {
            settings,
            db,
            rng: Arc::new(OsRng),
            metrics,
            root_key: root_key(),
            consumers,
            jobs,
            workers,
        })
    }
}

/// Looks until it is so, at most a minute: for what other tasks do in their own time.
pub async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..1200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain for: {what}");
}
