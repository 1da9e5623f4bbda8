//! The connection on which the log is read: one of its own.
//!
//! A node that can't look into the log for a second believes nothing that it keeps and asks the database for
//! all of it. If looks waited in line with requests, a database that is busy would be made busier.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, QueryResult, Statement};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::Place;
use crate::dialect;
use crate::point::{may_be_the_connection, refused};

/// Nobody waits longer for a look. One that was given up must not go on at the server for as long as other
/// statements may: the next look has a connection of its own then.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) enum LogReader {
    /// A pool of one: a file does not hang up, and what was committed there is seen on every connection.
    Sqlite(DatabaseConnection),
    Postgres(Arc<LogLink>),
}

impl LogReader {
    pub(crate) async fn read(&self, from: &Place, most: i64) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Sqlite(connection) => {
                let (sql, values) = (dialect::SQLITE_READ_INVALIDATIONS, [from.end.into(), most.into()]);
                let backend = connection.get_database_backend();
                connection.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await
            }
            Self::Postgres(link) => {
                let rows = link.read(from, most).await.map_err(refused)?;
                Ok(rows.into_iter().map(QueryResult::from).collect())
            }
        }
    }

    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(connection) => connection.clone().close().await,
            Self::Postgres(link) => {
                *link.connection.lock().await = None;
                Ok(())
            }
        }
    }
}

/// One connection to PostgreSQL, made anew when it broke or when a look was given up.
pub(crate) struct LogLink {
    options: PgConnectOptions,
    connection: Mutex<Option<Connected>>,
    times: Histogram,
    slow: Duration,
}

impl LogLink {
    pub(crate) fn new(options: PgConnectOptions, times: Histogram, slow: Duration) -> Self {
        let options = options.options([("statement_timeout", LONGEST_LOOK.as_millis().to_string())]);
        Self { options, connection: Mutex::default(), times, slow }
    }

    /// How many connections there are, and how many of them rest.
    pub(crate) fn connections(&self) -> (u32, usize) {
        match self.connection.try_lock() {
            Ok(connection) => (u32::from(connection.is_some()), usize::from(connection.is_some())),
            Err(_) => (1, 0),
        }
    }

    async fn read(&self, from: &Place, most: i64) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut place = self.connection.lock().await;
        let started = Instant::now();
        // Taken out: whoever gives up waiting drops the connection with the query still in it.
        let rested = place.take();
        let was_rested = rested.is_some();
        let mut outcome = self.ask(rested, from, most).await;
        // The server may have been restarted meanwhile.
        if was_rested && outcome.as_ref().is_err_and(may_be_the_connection) {
            outcome = self.ask(None, from, most).await;
        }
        let took = started.elapsed();
        self.times.observe(took.as_secs_f64());
        if took >= self.slow {
            tracing::warn!(
                duration_ms = took.as_secs_f64() * 1000.0,
                "slow look into the log of invalidations"
            );
        }
        let (connection, rows) = outcome?;
        *place = Some(connection);
        Ok(rows)
    }

    async fn ask(
        &self,
        rested: Option<Connected>,
        from: &Place,
        most: i64,
    ) -> Result<(Connected, Vec<PgRow>), sqlx::Error> {
        let mut connected = match rested {
            Some(connected) => connected,
            None => tokio::time::timeout(LONGEST_LOOK, Connected::new(&self.options))
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??,
        };
        let query = sqlx::query(connected.sql).bind(from.end).bind(&from.open).bind(most);
        let rows = query.fetch_all(&mut connected.connection).await?;
        Ok((connected, rows))
    }
}

struct Connected {
    connection: PgConnection,
    /// How the log is read here.
    sql: &'static str,
}

impl Connected {
    async fn new(options: &PgConnectOptions) -> Result<Self, sqlx::Error> {
        let mut connection = PgConnection::connect_with(options).await?;
        let sql = match sqlx::query(dialect::PG_HISTORY).fetch_one(&mut connection).await {
            Ok(_) => dialect::PG_READ_INVALIDATIONS,
            Err(error) if is_unavailable(&error) => {
                tracing::info!(%error, "a change of the primary is not seen in the log of invalidations");
                dialect::PG_READ_INVALIDATIONS_ALONE
            }
            Err(error) => return Err(error),
        };
        Ok(Self { connection, sql })
    }
}

/// Whether the role may not ask this, or the server does not know it: some services only speak like PostgreSQL.
fn is_unavailable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("42") || code.starts_with("0A"))
}

impl std::fmt::Debug for LogLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogLink")
    }
}
