//! The connection on which the log is read: one of its own.
//!
//! A node that can't look into the log for a second believes nothing that it keeps and asks the database for
//! all of it. If looks waited in line with requests, a database that is busy would be made busier.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, QueryResult, Statement};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Place;
use crate::dialect;
use crate::point::{may_be_the_connection, refused};

/// How long the server works on a look. It answers one that takes longer with an error, and the connection is good
/// for the next.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// How long it is waited for an answer, which is then no more to come, and for a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// How old a connection gets. What is behind a name or a proxy may change while the old server goes on answering.
const RENEWED_AFTER: Duration = Duration::from_secs(300);

/// What a look finds.
pub(crate) struct Found {
    pub(crate) rows: Vec<QueryResult>,
    /// Another text after each crash of the server; empty where there is nothing to tell by.
    pub(crate) crash: Arc<str>,
}

#[derive(Debug)]
pub(crate) enum LogReader {
    /// A pool of one: a file does not hang up, and what was committed there is seen on every connection.
    Sqlite(DatabaseConnection),
    Postgres(Arc<LogLink>),
}

impl LogReader {
    pub(crate) async fn read(&self, from: &Place, most: i64) -> Result<Found, DbErr> {
        match self {
            Self::Sqlite(connection) => {
                let (sql, values) = (dialect::SQLITE_READ_INVALIDATIONS, [from.end.into(), most.into()]);
                let backend = connection.get_database_backend();
                let statement = Statement::from_sql_and_values(backend, sql, values);
                Ok(Found { rows: connection.query_all_raw(statement).await?, crash: "".into() })
            }
            Self::Postgres(link) => link.read(from, most).await,
        }
    }

    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        match self {
            Self::Sqlite(connection) => connection.clone().close().await,
            Self::Postgres(link) => {
                *link.held.lock().await = Held::Closed;
                Ok(())
            }
        }
    }
}

/// One connection to PostgreSQL, made anew when it broke, and now and then.
///
/// Whoever gives up waiting for a look does not cost the connection: making another takes longer than most looks, and
/// a database that is slow would never be heard again.
pub(crate) struct LogLink {
    options: PgConnectOptions,
    held: Arc<Mutex<Held>>,
    times: Histogram,
    slow: Duration,
}

enum Held {
    Nothing,
    Open(Connected),
    /// For good.
    Closed,
}

impl LogLink {
    pub(crate) fn new(options: PgConnectOptions, times: Histogram, slow: Duration) -> Self {
        let options = options.options([("statement_timeout", LONGEST_LOOK.as_millis().to_string())]);
        Self { options, held: Arc::new(Mutex::new(Held::Nothing)), times, slow }
    }

    /// How many connections there are, and how many of them rest.
    pub(crate) fn connections(&self) -> (u32, usize) {
        match self.held.try_lock().as_deref() {
            Ok(Held::Open(_)) => (1, 1),
            Ok(Held::Nothing | Held::Closed) => (0, 0),
            Err(_) => (1, 0),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "one short query; it ends by itself, and keeps the connection"
    )]
    async fn read(self: &Arc<Self>, from: &Place, most: i64) -> Result<Found, DbErr> {
        // Who waits in line leaves it when they give up. Only what was asked is waited for to the end.
        let held = Arc::clone(&self.held).lock_owned().await;
        let (link, from) = (Arc::clone(self), from.clone());
        let look = tokio::spawn(async move { link.look(held, &from, most).await });
        match look.await {
            Ok(found) => found.map_err(refused),
            Err(gone) => Err(DbErr::Custom(format!("the look into the log ended early: {gone}"))),
        }
    }

    async fn look(
        &self,
        mut held: OwnedMutexGuard<Held>,
        from: &Place,
        most: i64,
    ) -> Result<Found, sqlx::Error> {
        let started = Instant::now();
        let found = self.look_with(&mut held, from, most).await;
        let took = started.elapsed();
        self.times.observe(took.as_secs_f64());
        if took >= self.slow {
            tracing::warn!(
                duration_ms = took.as_secs_f64() * 1000.0,
                "slow look into the log of invalidations"
            );
        }
        found
    }

    async fn look_with(&self, held: &mut Held, from: &Place, most: i64) -> Result<Found, sqlx::Error> {
        let rested = match std::mem::replace(held, Held::Nothing) {
            Held::Open(rested) => Some(rested).filter(|rested| rested.since.elapsed() < RENEWED_AFTER),
            Held::Nothing => None,
            Held::Closed => {
                *held = Held::Closed;
                return Err(sqlx::Error::PoolClosed);
            }
        };
        if let Some(mut rested) = rested {
            match rested.ask(from, most).await {
                // The server may have been restarted meanwhile, or the role may do less or more than before.
                Err(error) if may_be_the_connection(&error) || is_unavailable(&error) => {}
                answer => {
                    *held = Held::Open(rested);
                    return answer;
                }
            }
        }
        let connecting = Connected::new(&self.options);
        let mut connected =
            tokio::time::timeout(PATIENCE, connecting).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let answer = connected.ask(from, most).await;
        if !answer.as_ref().is_err_and(may_be_the_connection) {
            *held = Held::Open(connected);
        }
        answer
    }
}

struct Connected {
    connection: PgConnection,
    since: Instant,
    /// How the log is read here.
    sql: &'static str,
    /// A crash ends every connection, so that this holds as long as one lives.
    crash: Arc<str>,
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
        let crash = match sqlx::query_scalar(dialect::PG_CRASH).fetch_one(&mut connection).await {
            Ok(crash) => crash,
            Err(error) if is_unavailable(&error) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { connection, since: Instant::now(), sql, crash: crash.into() })
    }

    async fn ask(&mut self, from: &Place, most: i64) -> Result<Found, sqlx::Error> {
        let query = sqlx::query(self.sql).bind(from.end).bind(&from.open).bind(most);
        let asking = query.fetch_all(&mut self.connection);
        // An answer that is no more to come leaves a connection on which nothing can be asked.
        let gone = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
        let rows = tokio::time::timeout(PATIENCE, asking).await.map_err(|_| gone())??;
        let rows = rows.into_iter().map(QueryResult::from).collect();
        Ok(Found { rows, crash: Arc::clone(&self.crash) })
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
