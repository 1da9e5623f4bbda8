//! The storm: writers and consumers in a process that is killed again and again. What was
//! acknowledged took effect, once and in order.
//!
//! `MAINSTAY_STORM_EVENTS` (2,000) and `MAINSTAY_STORM_PER_UNIT` (events a unit at most, 20) size it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mainstay_core::{AuditEntry, Event, OsRng, Rng as _, SystemClock};
use mainstay_db::testing::dialect;
use mainstay_db::{DatabaseSettings, Db, DbOptions, Dialect, WriteUnit};
use mainstay_events::{BoxError, Consumer, Handle};
use mainstay_telemetry::Metrics;
use tokio::task::JoinSet;

use crate::support::{
    ACTOR, Counted, Mood, Node, audit_log, count_up, database, effects, note, rows, text, until,
};

const URL: &str = "MAINSTAY_STORM_CHILD_URL";
const ACKNOWLEDGED: &str = "MAINSTAY_STORM_CHILD_ACKNOWLEDGED";
const CONSUMERS: [&str; 3] = ["test.one", "test.two", "test.three"];
const THINGS: u64 = 40;
const LONGEST_DELAY_MS: u64 = 200;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    OsRng.fill(&mut bytes);
    u64::from_le_bytes(bytes) % below
}

/// Notes what it hears, and fails now and then behind that.
struct Moody(&'static str);

#[async_trait]
impl Handle for Moody {
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        let Some(Counted { thing, number, .. }) = event.read()? else { return Ok(()) };
        note(unit, self.0, thing, number).await?;
        if random(200) == 0 { Err("not in the mood".into()) } else { Ok(()) }
    }
}

fn node(db: &Db) -> Node {
    let mut node = Node::new(db, CONSUMERS.map(|name| Consumer::new(name, &["*"], Moody(name))).into());
    node.settings.max_attempts = 20;
    node
}

fn open(url: &str) -> Db {
    let settings =
        DatabaseSettings { url: url.to_owned().into(), max_connections: 16, ..DatabaseSettings::default() };
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(OsRng));
    Db::open(DbOptions { settings, clock, rng, metrics: Metrics::new() }).unwrap()
}

/// Not a test of its own: what [`nothing_is_lost_doubled_or_reordered_in_a_storm`] starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_of_the_storm() {
    let Ok(url) = std::env::var(URL) else { return };
    // It does not outlive the test that started it.
    std::thread::spawn(|| {
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let path = std::env::var(ACKNOWLEDGED).unwrap();
    let acknowledged = Arc::new(std::fs::OpenOptions::new().append(true).open(path).unwrap());
    let db = open(&url);
    let _running = node(&db).events().start();
    let per_unit = from_environment("MAINSTAY_STORM_PER_UNIT", 20);
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let (db, acknowledged) = (db.clone(), acknowledged.clone());
        writers.spawn(async move {
            loop {
                // A refusal (a lock that was not to be had in time) is no acknowledgement.
                if let Ok(line) = write(&db, per_unit).await {
                    (&*acknowledged).write_all(line.as_bytes()).unwrap();
                }
            }
        });
    }
    writers.join_all().await;
}

async fn write(db: &Db, per_unit: u64) -> Result<String, sea_orm::DbErr> {
    let thing = i64::try_from(random(THINGS)).unwrap();
    let many = i64::try_from(1 + random(per_unit)).unwrap();
    let unit = db.write(&ACTOR).await?;
    let last = count_up(&unit, thing, many).await?;
    for number in last - many + 1..=last {
        unit.emit(&Counted { thing, number, mood: Mood::Good });
    }
    unit.audit(AuditEntry::new("thing.counted", format!("thing/{thing}")).note("by", many));
    tokio::time::sleep(Duration::from_millis(random(LONGEST_DELAY_MS))).await;
    if random(20) == 0 {
        unit.rollback().await?;
        return Ok(String::new());
    }
    unit.commit().await?;
    Ok(format!("{thing} {} {last}\n", last - many + 1))
}

/// Every number of each thing whose commit was acknowledged. A line that the kill cut is none.
fn acknowledged(path: &Path) -> BTreeSet<(i64, i64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut numbers = BTreeSet::new();
    for line in whole.lines() {
        let parts: Vec<i64> = line.split(' ').map(|part| part.parse().unwrap()).collect();
        numbers.extend((parts[1]..=parts[2]).map(|number| (parts[0], number)));
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_reordered_in_a_storm() {
    let wanted = usize::try_from(from_environment("MAINSTAY_STORM_EVENTS", 2000)).unwrap();
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acknowledged");
    std::fs::write(&path, "").unwrap();
    let began = Instant::now();
    let mut kills = 0;
    while acknowledged(&path).len() < wanted {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storm::child_of_the_storm", "--nocapture"])
            .env(URL, database.url())
            .env(ACKNOWLEDGED, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let life = Duration::from_millis(500 + random(5000));
        tokio::time::sleep(life).await;
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let stormed = began.elapsed();

    let db = open(database.url());
    let running = node(&db).events().start();
    let left = async || {
        // An event in the outbox becomes a delivery for each consumer.
        let waiting = rows(&db, "outbox").await * 4 + rows(&db, "event_deliveries").await;
        waiting + rows(&db, "audit_log").await - rows(&db, "audit_seals").await
    };
    loop {
        // A backlog of any size is fine as long as it shrinks.
        let now = left().await;
        if now == 0 {
            break;
        }
        until("the backlog shrinks", async || left().await < now).await;
    }
    running.stop(Duration::from_secs(10)).await;

    let acknowledged = acknowledged(&path);
    let (mut lost, mut doubled, mut disordered, mut events) = (0, 0, 0, 0);
    for consumer in CONSUMERS {
        let mut times: BTreeMap<(i64, i64), u32> = BTreeMap::new();
        let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
        for (thing, number) in effects(&db, consumer).await {
            *times.entry((thing, number)).or_default() += 1;
            let newest = newest.entry(thing).or_default();
            disordered += usize::from(number != *newest + 1);
            *newest = number;
        }
        lost += acknowledged.iter().filter(|event| !times.contains_key(event)).count();
        doubled += times.values().filter(|times| **times > 1).count();
        events = times.len();
    }
    let dead = rows(&db, "dead_letters").await;
    let verdict = audit_log(&db).verify(|_| {}).await.unwrap();
    println!(
        "storm on {}: {} acknowledged, {events} committed, {kills} kills, {:.0} s and {:.0} s to drain; \
         lost {lost}, doubled {doubled}, out of order {disordered}, dead {dead}; {} audit entries good",
        dialect().name(),
        acknowledged.len(),
        stormed.as_secs_f64(),
        (began.elapsed() - stormed).as_secs_f64(),
        verdict.good,
    );
    assert_eq!((lost, doubled, disordered, dead), (0, 0, 0, 0));
    assert!(verdict.faults.is_empty(), "{:?}", verdict.faults);
    assert_eq!(verdict.unsealed, 0);
    assert_eq!(verdict.good, u64::try_from(rows(&db, "audit_log").await).unwrap());
    if dialect() == Dialect::Sqlite {
        assert_eq!(text(&db, "PRAGMA integrity_check").await.unwrap(), "ok");
    }
}
