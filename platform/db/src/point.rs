//! Point reads: one row by a key, on the hottest paths.
//!
//! A pool made for every kind of query costs more than such a query itself. On
//! SQLite, sqlx gives each connection a thread of its own, and a query travels
//! to it and back: seven futex calls and some 60 µs of CPU for a row that is read
//! in four. On PostgreSQL its pool asks each connection that comes back whether
//! it still lives: a second round trip. A point read runs on the caller's thread
//! (SQLite) or on a few connections of its own (PostgreSQL) that are dropped
//! after an error or a cancelled query instead of asked after each good one.
//!
//! That is right for lookups by an index, which never wait (readers of a
//! write-ahead log are not blocked by the writer), and wrong for anything that
//! walks many rows: on SQLite it would hold up every other request of its thread.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};
use rusqlite::{Connection, OpenFlags};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{PostgresQueryBuilder, SelectStatement, SqliteQueryBuilder};
use sea_orm::sqlx::types::chrono::NaiveDate;
use sea_orm::{DbErr, RuntimeErr, Value};
use sqlx::postgres::{PgConnectOptions, PgRow, Postgres};
use sqlx::{Connection as _, Decode, PgConnection, Row as _, Type};
use tokio::sync::Semaphore;

/// A point read, written out once: building a statement costs as much as
/// running it. Keep it in a `static`.
///
/// ```
/// use std::sync::LazyLock;
/// use mainstay_db::PointQuery;
/// use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
///
/// static BY_ID: LazyLock<PointQuery> = LazyLock::new(|| {
///     // The value only holds a place: the real one is given with each read.
///     let by_id = Expr::col(Alias::new("id")).eq(0_i64);
///     PointQuery::new(Query::select().column(Alias::new("title")).from(Alias::new("books")).and_where(by_id))
/// });
/// ```
#[derive(Debug)]
pub struct PointQuery {
    sqlite: String,
    postgres: String,
    columns: OnceLock<Vec<String>>,
}

impl PointQuery {
    /// Writes `select` out for every database. Its values hold places.
    #[must_use]
    pub fn new(select: &SelectStatement) -> Self {
        let (sqlite, postgres) = (select.build(SqliteQueryBuilder).0, select.build(PostgresQueryBuilder).0);
        Self { sqlite, postgres, columns: OnceLock::new() }
    }
}

/// A row that a point read found. Columns are read by name.
#[derive(Debug)]
pub struct PointRow(Inner);

#[derive(Debug)]
enum Inner {
    Here { query: &'static PointQuery, values: Vec<Stored> },
    There(PgRow),
}

impl PointRow {
    /// The value of a column.
    ///
    /// # Errors
    /// If there is no such column, or its value is not of this type.
    pub fn get<T: PointValue>(&self, column: &str) -> Result<T, DbErr> {
        match &self.0 {
            Inner::There(row) => row.try_get(column).map_err(refused),
            Inner::Here { query, values } => {
                let index =
                    query.columns.get().and_then(|names| names.iter().position(|name| name == column));
                let value = index.and_then(|index| values.get(index));
                value.and_then(T::from_sqlite).ok_or_else(|| {
                    DbErr::Type(format!("the column {column} is not there or of another type"))
                })
            }
        }
    }
}

/// A type that a point read can give.
pub trait PointValue: for<'r> Decode<'r, Postgres> + Type<Postgres> {
    /// From what SQLite stored, in the form that sqlx writes. `None` if it is of another type.
    fn from_sqlite(stored: &Stored) -> Option<Self>;
}

impl PointValue for i64 {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        if let Stored::Integer(number) = stored { Some(*number) } else { None }
    }
}

impl PointValue for i32 {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        i64::from_sqlite(stored)?.try_into().ok()
    }
}

impl PointValue for bool {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        i64::from_sqlite(stored).map(|number| number != 0)
    }
}

impl PointValue for String {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        if let Stored::Text(text) = stored { Some(text.clone()) } else { None }
    }
}

impl PointValue for NaiveDate {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        String::from_sqlite(stored)?.parse().ok()
    }
}

impl PointValue for Uuid {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        if let Stored::Blob(bytes) = stored { Self::from_slice(bytes).ok() } else { None }
    }
}

impl<T: PointValue> PointValue for Option<T> {
    fn from_sqlite(stored: &Stored) -> Option<Self> {
        if *stored == Stored::Null { Some(None) } else { T::from_sqlite(stored).map(Some) }
    }
}

/// Read-only connections to the SQLite file, as many as threads read at once.
pub(crate) struct SqliteReader {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    times: Histogram,
    slow: Duration,
}

impl SqliteReader {
    pub(crate) fn new(file: &Path, times: Histogram, slow: Duration) -> Self {
        Self { file: file.to_owned(), idle: Mutex::default(), times, slow }
    }

    pub(crate) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        // The writer's connection makes the file; a reader must not.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags)?;
        connection.busy_timeout(Duration::from_millis(250))?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// The first row that `query` finds.
    pub(crate) fn find(
        &self,
        query: &'static PointQuery,
        values: &[Value],
    ) -> Result<Option<PointRow>, DbErr> {
        let started = Instant::now();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| self.connect(), Ok).map_err(failed)?;
        let row = first_row(&connection, query, values)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        let took = started.elapsed();
        self.times.observe(took.as_secs_f64());
        if took >= self.slow {
            tracing::warn!(duration_ms = took.as_secs_f64() * 1000.0, sql = query.sqlite, "slow point read");
        }
        Ok(row)
    }
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteReader({})", self.file.display())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn failed(error: rusqlite::Error) -> DbErr {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked};
    let cause = RuntimeErr::Internal(error.to_string());
    match error.sqlite_error_code() {
        // The database is away for the moment, not at fault.
        Some(CannotOpen | DatabaseBusy | DatabaseLocked) => DbErr::Conn(cause),
        _ => DbErr::Query(cause),
    }
}

fn first_row(
    connection: &Connection,
    query: &'static PointQuery,
    values: &[Value],
) -> Result<Option<PointRow>, DbErr> {
    let mut prepared = connection.prepare_cached(&query.sqlite).map_err(failed)?;
    if prepared.parameter_count() != values.len() {
        return Err(DbErr::Custom("a point read has another number of values than places".to_owned()));
    }
    for (index, value) in values.iter().enumerate() {
        prepared.raw_bind_parameter(index + 1, parameter(value)?).map_err(failed)?;
    }
    let columns =
        query.columns.get_or_init(|| prepared.column_names().into_iter().map(str::to_owned).collect()).len();
    let mut rows = prepared.raw_query();
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let values = (0..columns).map(|index| row.get(index)).collect::<Result<_, _>>().map_err(failed)?;
    Ok(Some(PointRow(Inner::Here { query, values })))
}

/// A parameter as sqlx would bind it.
fn parameter(value: &Value) -> Result<ToSqlOutput<'_>, DbErr> {
    let owned = |value: Option<Stored>| ToSqlOutput::Owned(value.unwrap_or(Stored::Null));
    Ok(match value {
        Value::Bool(value) => owned(value.map(|value| Stored::Integer(value.into()))),
        Value::Int(value) => owned(value.map(|value| Stored::Integer(value.into()))),
        Value::BigInt(value) => owned(value.map(Stored::Integer)),
        // LIMIT and OFFSET.
        Value::BigUnsigned(value) => {
            owned(value.map(|value| Stored::Integer(i64::try_from(value).unwrap_or(i64::MAX))))
        }
        Value::String(Some(text)) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Value::String(None) => owned(None),
        Value::Uuid(value) => owned(value.as_ref().map(|uuid| Stored::Blob(uuid.as_bytes().to_vec()))),
        other => return Err(DbErr::Type(format!("a point read can't bind {other:?}"))),
    })
}

/// A few connections to PostgreSQL for point reads.
pub(crate) struct PostgresReader {
    options: PgConnectOptions,
    most: usize,
    permits: Semaphore,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    patience: Duration,
    times: Histogram,
    slow: Duration,
}

impl PostgresReader {
    pub(crate) fn new(
        options: PgConnectOptions,
        most: usize,
        patience: Duration,
        times: Histogram,
        slow: Duration,
    ) -> Self {
        Self { options, most, permits: Semaphore::new(most), idle: Mutex::default(), patience, times, slow }
    }

    pub(crate) fn close(&self) {
        self.idle().clear();
    }

    /// How many connections there are, and how many of them rest.
    pub(crate) fn connections(&self) -> (u32, usize) {
        let idle = self.idle().len();
        let busy = self.most.saturating_sub(self.permits.available_permits());
        (u32::try_from(busy + idle).unwrap_or(u32::MAX), idle)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was used before. One that rested long is asked first whether it lives.
    async fn rested(&self) -> Option<PgConnection> {
        loop {
            let (mut connection, since) = self.idle().pop()?;
            if since.elapsed() < Duration::from_secs(5) {
                return Some(connection);
            }
            let ping = tokio::time::timeout(Duration::from_secs(1), connection.ping());
            if matches!(ping.await, Ok(Ok(()))) {
                return Some(connection);
            }
        }
    }

    /// The first row that `query` finds.
    pub(crate) async fn find(
        &self,
        query: &'static PointQuery,
        values: &[Value],
    ) -> Result<Option<PointRow>, DbErr> {
        let started = Instant::now();
        let timed_out = |_| DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout);
        let _permit = tokio::time::timeout(self.patience, self.permits.acquire()).await.map_err(timed_out)?;
        let rested = self.rested().await;
        let was_rested = rested.is_some();
        let mut outcome = self.ask(rested, &query.postgres, values).await;
        // A rested connection may have died meanwhile (the server was restarted). Reading again is safe.
        if was_rested && outcome.as_ref().is_err_and(may_be_the_connection) {
            self.close();
            outcome = self.ask(None, &query.postgres, values).await;
        }
        let took = started.elapsed();
        if took >= self.slow {
            tracing::warn!(
                duration_ms = took.as_secs_f64() * 1000.0,
                sql = query.postgres,
                "slow point read"
            );
        }
        self.times.observe(took.as_secs_f64());
        outcome.map(|row| row.map(|row| PointRow(Inner::There(row)))).map_err(refused)
    }

    async fn ask(
        &self,
        rested: Option<PgConnection>,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let mut connection = match rested {
            Some(connection) => connection,
            None => tokio::time::timeout(self.patience, PgConnection::connect_with(&self.options))
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??,
        };
        let mut query = sqlx::query(sql);
        for value in values {
            query = match value {
                Value::Bool(value) => query.bind(*value),
                Value::Int(value) => query.bind(*value),
                Value::BigInt(value) => query.bind(*value),
                // LIMIT and OFFSET.
                Value::BigUnsigned(value) => {
                    query.bind(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
                }
                Value::String(value) => query.bind(value.clone()),
                Value::Uuid(value) => query.bind(*value),
                other => {
                    return Err(sqlx::Error::Encode(format!("a point read can't bind {other:?}").into()));
                }
            };
        }
        // Whoever gives up waiting drops the connection with the query still in it.
        let row = query.fetch_optional(&mut connection).await?;
        self.idle().push((connection, Instant::now()));
        Ok(row)
    }
}

/// Whether a new connection may answer where this one did not: it broke, the
/// server ended it, or what it had prepared no longer fits the table.
pub(crate) fn may_be_the_connection(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(error, sqlx::Error::Io(_)) || code.is_some_and(|code| code.starts_with("57P") || code == "0A000")
}

impl fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresReader")
    }
}

pub(crate) fn refused(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(std::sync::Arc::new(error)))
}
