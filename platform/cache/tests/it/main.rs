//! The cache against a real database and a real Redis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

// Tests with nodes that run have two threads: when one waits for the database to be dropped, the other closes
// connections that are being made, on which PostgreSQL would wait.

mod away;
mod contract;
mod invalidation;
mod memory;
mod nodes;
mod races;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_cache::{Cache, CacheOptions, CacheSettings, Cached, Namespace, RedisOptions, Steady};
use mainstay_core::{Clock, ManualClock, OsRng, Rng, Timestamp};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{DatabaseSettings, Db, DbOptions};
use mainstay_telemetry::Metrics;

/// What most tests keep: fresh for a minute, stale for ten seconds more, spare for another ten.
const THINGS: Namespace<u64, String> = Namespace::new("test.thing", 1)
    .ttl(Duration::from_secs(60))
    .jitter(0)
    .stale(Duration::from_secs(10))
    .stale_if_error(Duration::from_secs(20))
    .negative(Duration::from_secs(5));

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the source failed")]
struct SourceFailed;

/// Where values come from: it counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Source {
    version: Arc<AtomicU64>,
    loads: Arc<AtomicUsize>,
    fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Source {
    fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    async fn load(self) -> Result<Option<String>, SourceFailed> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(SourceFailed);
        }
        Ok(Some(self.version().to_string()))
    }

    /// What `things` says of a key.
    async fn read(&self, things: &Cached<u64, String>, key: u64) -> u64 {
        let source = self.clone();
        let value = things.get_or_load(&key, move || source.load()).await.unwrap();
        value.unwrap().parse().unwrap()
    }
}

/// One database, and as many nodes on it as wanted.
struct Nodes {
    database: TestDatabase,
    clock: Arc<ManualClock>,
    redis: Option<RedisOptions>,
    steady: Steady,
}

/// One of them. Its database handle is its own.
struct Node {
    cache: Cache,
    db: Db,
    metrics: Metrics,
}

impl Nodes {
    /// Time stands still.
    async fn new() -> Self {
        let database = TestDatabase::migrated(&mainstay_db::trail::migrations()).await;
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000)));
        Self { database, clock, redis: None, steady: Steady::Clock }
    }

    async fn with_redis(redis: RedisOptions) -> Self {
        Self { redis: Some(redis), ..Self::new().await }
    }

    /// What is fresh stands still, but a cut link is noticed in real time.
    fn really(mut self) -> Self {
        self.steady = Steady::Processor;
        self
    }

    /// Not started: it looks into the log when the test says so.
    fn node(&self) -> Node {
        self.node_with(CacheSettings::default())
    }

    fn node_with(&self, settings: CacheSettings) -> Node {
        self.node_on(self.database.settings(), settings)
    }

    /// It waits a second for the database, not five.
    fn impatient_node(&self) -> Node {
        let database =
            DatabaseSettings { acquire_timeout_s: 1, lock_timeout_s: 1, ..self.database.settings() };
        self.node_on(database, CacheSettings::default())
    }

    fn node_on(&self, database: DatabaseSettings, settings: CacheSettings) -> Node {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (rng, metrics) = (Arc::new(OsRng), Metrics::new());
        let db = Db::open(DbOptions { settings: database, clock, rng, metrics }).unwrap();
        let metrics = Metrics::new();
        let cache = Cache::new(CacheOptions {
            settings,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            steady: self.steady,
            rng: Arc::new(OsRng) as Arc<dyn Rng>,
            metrics: metrics.clone(),
            key: [7; 32],
            db: Some(db.clone()),
            redis: self.redis.clone(),
        });
        Node { cache: cache.unwrap(), db, metrics }
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

impl Node {
    fn things(&self) -> Cached<u64, String> {
        self.cache.namespace(&THINGS)
    }

    /// Waits until it is in the state that it should come to by itself.
    async fn until(&self, what: &str, is_so: impl Fn(&Cache) -> bool) {
        let so = async {
            while !is_so(&self.cache) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), so).await.unwrap_or_else(|_| panic!("never {what}"));
    }
}

/// The number behind a metric's name and labels.
fn number(metrics: &Metrics, name: &str) -> i64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |number| number.parse().unwrap())
}
