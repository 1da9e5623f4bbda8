//! What a database error means to a client.

use mainstay_core::Problem;
use mainstay_core::problem::{OVERLOADED, TIMEOUT, UNAVAILABLE};
use sea_orm::{DbErr, RuntimeErr};

fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

fn code(error: &DbErr) -> Option<String> {
    driver_error(error)?.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// Which unique index a failed statement ran into: true if it is the one over
/// these columns. The index is named `{table}_{columns}_key`, as PostgreSQL itself does.
#[must_use]
pub fn unique_violation(error: &DbErr, table: &str, columns: &[&str]) -> bool {
    let Some(error) = driver_error(error).and_then(sqlx::Error::as_database_error) else { return false };
    if !error.is_unique_violation() {
        return false;
    }
    match error.constraint() {
        Some(constraint) => constraint == format!("{table}_{}_key", columns.join("_")),
        // SQLite names the columns: "UNIQUE constraint failed: members.team, members.name".
        None => {
            let named: Vec<_> = columns.iter().map(|column| format!("{table}.{column}")).collect();
            error.message().rsplit(": ").next() == Some(&named.join(", "))
        }
    }
}

/// Whether a failed statement left a row that refers to another without that
/// row: it named one that is not there, or removed one that is referred to. Not for
/// references with `RESTRICT`, for which SQLite has another code; `NO ACTION` says the same.
#[must_use]
pub fn foreign_key_violation(error: &DbErr) -> bool {
    let error = driver_error(error).and_then(sqlx::Error::as_database_error);
    error.is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}

/// Whether running the whole transaction again may succeed: PostgreSQL's
/// serialization failure and deadlock, SQLite's busy and busy-snapshot.
#[must_use]
pub fn is_retryable(error: &DbErr) -> bool {
    matches!(code(error).as_deref(), Some("40001" | "40P01" | "5" | "517" | "261"))
}

/// Whether the statement took too long. PostgreSQL says the same (57014) of one that somebody cancelled.
pub(crate) fn is_timeout(error: &DbErr) -> bool {
    code(error).as_deref() == Some("57014")
}

/// Whether the connection broke, or the server ends or refuses all of them.
pub(crate) fn is_connection_lost(error: &DbErr) -> bool {
    let broken = matches!(
        driver_error(error),
        Some(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_))
    );
    // 57P04: the database was dropped, of all on that server this one.
    broken || code(error).is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
}

/// How an error of the database reaches a client.
pub trait DbProblem {
    /// 503 if the database is away, busy or too slow; 500 for everything else.
    /// The cause is logged, never sent.
    fn into_problem(self) -> Problem;
}

impl DbProblem for DbErr {
    fn into_problem(self) -> Problem {
        const AWAY: &str = "The database is not answering.";
        let driver = driver_error(&self);
        let problem = match (&self, driver, code(&self).as_deref()) {
            (DbErr::ConnectionAcquire(_), ..) | (_, Some(sqlx::Error::PoolTimedOut), _) => {
                Problem::retry_later(&OVERLOADED, "No database connection became free in time.", 2)
            }
            // 57014: statement_timeout; 55P03: lock_timeout.
            (.., Some("57014" | "55P03")) => Problem::retry_later(&TIMEOUT, "The database took too long.", 2),
            _ if is_retryable(&self) => Problem::retry_later(&OVERLOADED, "The database is busy.", 1),
            // Class 08: connection; 57P0x: the server is shutting down or starting; 53300: too many connections.
            (.., Some(code)) if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                Problem::retry_later(&UNAVAILABLE, AWAY, 2)
            }
            (
                _,
                Some(
                    sqlx::Error::Io(_)
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::Tls(_),
                ),
                _,
            )
            | (DbErr::Conn(_), ..) => Problem::retry_later(&UNAVAILABLE, AWAY, 2),
            _ => return Problem::internal(self),
        };
        problem.caused_by(self)
    }
}
