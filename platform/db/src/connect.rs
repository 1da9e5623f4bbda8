//! Pools, and the one handle to them.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Actor, Clock, Ids, Rng, settings::expose};
use mainstay_telemetry::prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use mainstay_telemetry::{Metrics, latency_buckets};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbErr, IsolationLevel, SqliteTransactionMode,
    SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions, TransactionTrait as _, Value,
};
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, PgPool, SqlitePool};

use crate::error::is_retryable;
use crate::invalidation::{LogLink, LogReader};
use crate::point::{PointQuery, PointRow, PostgresReader, SqliteReader};
use crate::replica::{ReadCounts, Reader, ReplicaStatus, Replicas};
use crate::{DatabaseSettings, Dialect, Signals, UnitWork, WriteUnit};

/// What a [`Db`] is built from.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// The `[database]` section.
    pub settings: DatabaseSettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the jitter of retries.
    pub rng: Arc<dyn Rng>,
    /// Where pool use and query time are counted.
    pub metrics: Metrics,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reader: DatabaseConnection,
    /// Leads to the primary.
    present: Reader,
    /// Each leads to one replica.
    replicated: Vec<Reader>,
    replicas: Option<Arc<Replicas>>,
    writer: DatabaseConnection,
    point: PointReader,
    log: LogReader,
    dialect: Dialect,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    ids: Ids,
    signals: Signals,
    retries: Counter,
}

#[derive(Debug)]
enum PointReader {
    Sqlite(SqliteReader),
    Postgres(Arc<PostgresReader>),
}

/// How often a unit is tried before its conflict is the caller's.
const TRIES: u32 = 6;

impl Db {
    /// Opens the pools. Connections are made when they are needed: a database
    /// that is away shows at the first use, or by [`Db::ping`].
    ///
    /// # Errors
    /// If the URL is not one, or the folder of a SQLite file can't be made.
    pub fn open(options: DbOptions) -> Result<Self, DbErr> {
        let DbOptions { settings, clock, rng, metrics } = options;
        let url = expose(&settings.url);
        let refused = |error: &dyn std::fmt::Display| DbErr::Custom(format!("database.url: {error}"));
        let times = metrics.register(
            "db_query_duration_seconds",
            "Time of one statement",
            Histogram::new(latency_buckets()),
        );
        let slow = Duration::from_millis(settings.slow_query_ms);
        let counts = ReadCounts::new(&metrics, !settings.replica_urls.is_empty());
        let mut replicas = None;
        let (mut reader, mut writer, mut log, dialect, point, signals) = if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|error| refused(&error))?;
            let pools = sqlite_pools(&options, &settings).map_err(|error| refused(&error))?;
            pool_metrics(&metrics, {
                let pools = ["read", "write", "log"].into_iter().zip(pools.clone()).collect::<Vec<_>>();
                move || {
                    let sizes = pools.iter();
                    sizes.map(|(role, pool)| ((*role).to_owned(), pool.size(), pool.num_idle())).collect()
                }
            });
            let connection = SqlxSqliteConnector::from_sqlx_sqlite_pool;
            let point = PointReader::Sqlite(SqliteReader::new(options.get_filename(), times.clone(), slow));
            let [reader, writer, log] = pools.map(connection);
            (reader, writer, LogReader::Sqlite(log), Dialect::Sqlite, point, Signals::local())
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(|error| refused(&error))?;
            let options = postgres_options(options, &settings);
            let (for_points, others) = shares(settings.max_connections, settings.write_connections);
            let patience = Duration::from_secs(settings.acquire_timeout_s);
            let point = Arc::new(PostgresReader::new(
                options.clone(),
                for_points as usize,
                patience,
                times.clone(),
                slow,
            ));
            let log = Arc::new(LogLink::new(options.clone(), times.clone(), slow));
            let signals = Signals::shared(options.clone());
            let opened = Replicas::open(&settings, &options, &metrics, &times, &counts)?;
            replicas = opened.map(Arc::new);
            let reader = postgres_pool(options.clone(), others, patience);
            let writer = (settings.write_connections > 0)
                .then(|| postgres_pool(options, settings.write_connections, patience));
            pool_metrics(&metrics, {
                let (reader, writer) = (reader.clone(), writer.clone());
                let (point, log, replicas) = (point.clone(), log.clone(), replicas.clone());
                move || {
                    let of = |pool: &PgPool| (pool.size(), pool.num_idle());
                    let mut pools =
                        vec![("primary_point", point.connections()), ("primary_log", log.connections())];
                    match &writer {
                        None => pools.push(("primary", of(&reader))),
                        Some(writer) => {
                            pools.extend([("primary_read", of(&reader)), ("primary_write", of(writer))]);
                        }
                    }
                    let pools = pools.into_iter().map(|(role, (size, idle))| (role.to_owned(), size, idle));
                    pools.chain(replicas.iter().flat_map(|replicas| replicas.pools())).collect()
                }
            });
            let writer = writer.unwrap_or_else(|| reader.clone());
            let connection = SqlxPostgresConnector::from_sqlx_postgres_pool;
            let (reader, writer) = (connection(reader), connection(writer));
            let (log, point) = (LogReader::Postgres(log), PointReader::Postgres(point));
            (reader, writer, log, Dialect::Postgres, point, signals)
        } else {
            return Err(refused(&"must begin with sqlite:// or postgres://"));
        };

        let failed: Counter =
            metrics.register("db_query_errors", "Statements that failed", Counter::default());
        let retries = metrics.register(
            "db_write_retries",
            "Transactions run again after a conflict",
            Counter::default(),
        );
        let observe = |connection: &mut DatabaseConnection| {
            let (times, failed) = (times.clone(), failed.clone());
            connection.set_metric_callback(move |query| {
                times.observe(query.elapsed.as_secs_f64());
                if query.failed {
                    failed.inc();
                }
                if query.elapsed >= slow {
                    // The template, never the values: those may be anybody's.
                    tracing::warn!(
                        duration_ms = query.elapsed.as_secs_f64() * 1000.0,
                        sql = query.statement.sql,
                        "slow query"
                    );
                }
            });
        };
        observe(&mut reader);
        observe(&mut writer);
        if let LogReader::Sqlite(log) = &mut log {
            observe(log);
        }
        let lead = |replica| Reader::new(reader.clone(), replica, counts.clone());
        let present = lead(None);
        let replicated = replicas.iter().flat_map(|replicas| replicas.connections(observe));
        let replicated = replicated.map(|(connection, replica)| lead(Some((connection, replica)))).collect();
        let ids = Ids::new(clock.clone(), rng.clone());
        Ok(Self(Arc::new(Inner {
            reader,
            present,
            replicated,
            replicas,
            writer,
            point,
            log,
            dialect,
            clock,
            rng,
            ids,
            signals,
            retries,
        })))
    }

    /// Which database it is.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// The clock that rows are stamped with.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// Makes ids.
    #[must_use]
    pub fn ids(&self) -> &Ids {
        &self.0.ids
    }

    /// Wakes those who wait for something to be committed.
    #[must_use]
    pub fn signals(&self) -> &Signals {
        &self.0.signals
    }

    /// Takes part in what the nodes on this database do together, from now on: they wake each
    /// other, and reads may go to replicas. A command that runs once needs neither. Does
    /// nothing the second time.
    pub fn join_nodes(&self) {
        self.0.signals.share();
        if let Some(replicas) = &self.0.replicas {
            replicas.start();
        }
    }

    /// For queries on behalf of `actor`, who sees what they wrote themselves, on whatever
    /// node. It may lead to a replica, where others' changes show up to
    /// `database.replica_max_lag_ms` later: what decides something asks [`Db::primary`]. The
    /// system's own reads never lead to one.
    #[must_use]
    pub fn read(&self, actor: &Actor) -> &Reader {
        let chosen = self.0.replicas.as_ref().and_then(|replicas| replicas.choose(actor));
        chosen.and_then(|index| self.0.replicated.get(index)).unwrap_or(&self.0.present)
    }

    /// For queries that must see the latest committed state, whoever asks:
    /// permissions, tokens, limits, balances.
    #[must_use]
    pub fn primary(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    pub(crate) fn log(&self) -> &LogReader {
        &self.0.log
    }

    /// The row that `query` finds by a key, for the hottest paths; like
    /// [`Db::read`] on behalf of `actor`. On SQLite it runs on the caller's thread,
    /// in a tenth of the time that a trip to a connection's thread takes; so it
    /// must be served by an index and look at a handful of rows.
    ///
    /// # Errors
    /// If the database fails, or `values` are not as many as the query has places.
    pub async fn point(
        &self,
        actor: &Actor,
        query: &'static PointQuery,
        values: &[Value],
    ) -> Result<Option<PointRow>, DbErr> {
        if let Some(replicas) = &self.0.replicas
            && let Some(index) = replicas.choose(actor)
            && let Some(answer) = replicas.point(index, query, values).await
        {
            return answer;
        }
        self.primary_point(query, values).await
    }

    /// The same in the latest committed state, whoever asks; like [`Db::primary`].
    ///
    /// # Errors
    /// As [`Db::point`].
    pub async fn primary_point(
        &self,
        query: &'static PointQuery,
        values: &[Value],
    ) -> Result<Option<PointRow>, DbErr> {
        match &self.0.point {
            PointReader::Sqlite(reader) => reader.find(query, values),
            PointReader::Postgres(reader) => reader.find(query, values).await,
        }
    }

    /// Begins a change whose rules rest on constraints and compare-and-set.
    /// `BEGIN IMMEDIATE` on SQLite, `READ COMMITTED` on PostgreSQL.
    ///
    /// # Errors
    /// If no connection, or on SQLite the write lock, was to be had in time.
    pub async fn write(&self, actor: &Actor) -> Result<WriteUnit, DbErr> {
        self.begin(actor, None).await
    }

    /// Runs a change that reads and then decides: as if it were alone
    /// (`SERIALIZABLE` on PostgreSQL), again from the start when it collides with
    /// another, up to five times with growing, jittered pauses. `work` leaves the
    /// unit open; it is committed here. `work` must have no effect but its rows.
    ///
    /// ```ignore
    /// db.write_retrying(&actor, |unit| UnitWork::new(async move {
    ///     let old = repo::find(unit, id).await?;
    ///     repo::update(unit, id, old + 1).await
    /// })).await
    /// ```
    ///
    /// # Errors
    /// What `work` returned, or the last collision.
    pub async fn write_retrying<'outer, T, E, W>(&self, actor: &Actor, work: W) -> Result<T, E>
    where
        T: Send,
        E: From<DbErr> + std::error::Error + Send + 'static,
        W: for<'unit> Fn(&'unit WriteUnit) -> UnitWork<'outer, 'unit, Result<T, E>> + Send + Sync,
    {
        let mut attempt = 1;
        loop {
            match self.try_once(actor, &work).await {
                Err(error) if attempt < TRIES && collided(&error) => {
                    self.0.retries.inc();
                    tokio::time::sleep(self.pause(attempt)).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_once<'outer, T, E, W>(&self, actor: &Actor, work: &W) -> Result<T, E>
    where
        T: Send,
        E: From<DbErr> + Send,
        W: for<'unit> Fn(&'unit WriteUnit) -> UnitWork<'outer, 'unit, Result<T, E>> + Send + Sync,
    {
        let unit = self.begin(actor, Some(IsolationLevel::Serializable)).await?;
        let value = work(&unit).0.await?;
        unit.commit().await?;
        Ok(value)
    }

    /// Full jitter: a random share of a bound that doubles, from 8 ms.
    fn pause(&self, attempt: u32) -> Duration {
        let bound = 8_u64 << attempt.min(6);
        let random = u64::from_le_bytes(self.0.rng.bytes::<8>());
        Duration::from_millis(1 + random % bound)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where transactions begin, each in a task that outlives its caller"
    )]
    async fn begin(&self, actor: &Actor, isolation: Option<IsolationLevel>) -> Result<WriteUnit, DbErr> {
        let options = match self.0.dialect {
            Dialect::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            },
            Dialect::Postgres => {
                TransactionOptions { isolation_level: isolation, ..TransactionOptions::default() }
            }
        };
        // BEGIN runs to its end even if the caller is gone: cut off in the middle, neither driver would know
        // that a transaction is open, and the next user of the connection would be in it.
        let writer = self.0.writer.clone();
        let begun = tokio::spawn(async move { writer.begin_with_options(options).await }).await;
        let transaction =
            begun.map_err(|_| DbErr::Custom("the transaction could not begin".to_owned()))??;
        Ok(WriteUnit::new(transaction, actor.clone(), self.clone()))
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// If there is none within two seconds.
    pub async fn ping(&self) -> Result<(), DbErr> {
        let ping = self.0.reader.execute_unprepared("SELECT 1");
        match tokio::time::timeout(Duration::from_secs(2), ping).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(DbErr::Custom("no answer within 2 s".to_owned())),
        }
    }

    /// The database server's own version, for `doctor`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn version(&self) -> Result<String, DbErr> {
        let sql = self.dialect().pick("SELECT sqlite_version()", "SHOW server_version");
        let statement = sea_orm::Statement::from_string(self.0.reader.get_database_backend(), sql);
        let row =
            self.0.reader.query_one_raw(statement).await?.ok_or(DbErr::RecordNotFound(String::new()))?;
        row.try_get_by_index::<String>(0)
    }

    /// The replicas, as far as they are known. Empty where there are none.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.0.replicas.as_ref().map(|replicas| replicas.statuses()).unwrap_or_default()
    }

    /// Asks each replica now, for `doctor`: where it is, and how long it took to replay what the
    /// primary had when the question began, or what is wrong with it.
    pub async fn check_replicas(&self) -> Vec<(String, Result<Duration, String>)> {
        match &self.0.replicas {
            Some(replicas) => replicas.check().await,
            None => Vec::new(),
        }
    }

    pub(crate) fn writes(&self, actor: &Actor) {
        if let Some(replicas) = &self.0.replicas {
            replicas.writes(actor);
        }
    }

    pub(crate) async fn wrote(&self, actor: &Actor) {
        if let Some(replicas) = &self.0.replicas {
            replicas.wrote(actor).await;
        }
    }

    /// Closes every connection, after what they are doing.
    pub async fn close(&self) {
        self.0.signals.close();
        if let Some(replicas) = &self.0.replicas {
            replicas.close().await;
        }
        match &self.0.point {
            PointReader::Sqlite(reader) => reader.close(),
            PointReader::Postgres(reader) => reader.close(),
        }
        let log = self.0.log.close().await;
        let reader = self.0.reader.clone().close().await;
        let writer = self.0.writer.clone().close().await;
        if let Err(error) = log.and(reader).and(writer) {
            tracing::warn!(%error, "closing the database");
        }
    }
}

/// Whether an error, or what it stems from, is a collision that a new run may escape.
fn collided(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<DbErr>().is_some_and(is_retryable) {
            return true;
        }
        next = error.source();
    }
    false
}

/// For reads, for changes and for the log of invalidations.
fn sqlite_pools(
    options: &SqliteConnectOptions,
    settings: &DatabaseSettings,
) -> std::io::Result<[SqlitePool; 3]> {
    if let Some(folder) = options.get_filename().parent().filter(|folder| *folder != Path::new("")) {
        create_private_folder(folder)?;
    }
    let options = options
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL may lose acknowledged commits when the power fails.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(settings.lock_timeout_s))
        .optimize_on_close(true, 400);
    let pool = |most| {
        PoolOptions::new()
            .max_connections(most)
            .acquire_timeout(Duration::from_secs(settings.acquire_timeout_s))
            // A file does not hang up: neither a test nor a new connection now and then is needed.
            .test_before_acquire(false)
            .max_lifetime(None)
            .idle_timeout(Duration::from_secs(600))
    };
    // Readers are threads on the same cores: more of them than this only switch among each other.
    let readers = settings.max_connections.min(2 * cores());
    Ok([readers, 1, 1].map(|most| pool(most).connect_lazy_with(options.clone())))
}

/// Makes a folder, and those above it, that only this user of the machine can
/// look into. One that is there already stays as it is.
///
/// # Errors
/// If it can't be made.
pub fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX / 2))
}

pub(crate) fn postgres_options(options: PgConnectOptions, settings: &DatabaseSettings) -> PgConnectOptions {
    let millis = |seconds: u64| (seconds * 1000).to_string();
    options.application_name("mainstay").options([
        ("statement_timeout", millis(settings.statement_timeout_s)),
        ("lock_timeout", millis(settings.lock_timeout_s)),
        ("idle_in_transaction_session_timeout", millis(30)),
    ])
}

/// How many connections are for point reads, and how many for everything else, of `all` without those for `writes` alone.
pub(crate) fn shares(all: u32, writes: u32) -> (u32, u32) {
    let for_points = (all / 4).clamp(1, 2 * cores());
    (for_points, all.saturating_sub(for_points + writes).max(1))
}

pub(crate) fn postgres_pool(options: PgConnectOptions, most: u32, patience: Duration) -> PgPool {
    PoolOptions::new()
        .max_connections(most)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|connection: &mut sqlx::PgConnection, idle| {
            Box::pin(async move {
                // A link that was just in use is good; a rested one may be half-open, and
                // asking it must not eat the whole of the acquire timeout.
                if idle.idle_for < Duration::from_secs(5) {
                    return Ok(true);
                }
                let ping = tokio::time::timeout(Duration::from_secs(1), connection.ping());
                Ok(matches!(ping.await, Ok(Ok(()))))
            })
        })
        .max_lifetime(Duration::from_secs(1800))
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(options)
}

/// Size and idle connections of each pool, by name.
type PoolSizes = Vec<(String, u32, usize)>;

fn pool_metrics(metrics: &Metrics, read: impl Fn() -> PoolSizes + Send + Sync + 'static) {
    use mainstay_telemetry::prometheus_client::metrics::family::Family;
    type Gauges = Family<[(&'static str, String); 2], Gauge>;
    let gauges = metrics.register("db_pool_connections", "Connections of a pool by state", Gauges::default());
    metrics.before_render(move || {
        for (pool, size, idle) in read() {
            let set = |state, value| {
                let labels = [("pool", pool.clone()), ("state", String::from(state))];
                gauges.get_or_create(&labels).set(value);
            };
            set("idle", i64::try_from(idle).unwrap_or(0));
            set("busy", i64::from(size) - i64::try_from(idle).unwrap_or(0));
        }
    });
}
