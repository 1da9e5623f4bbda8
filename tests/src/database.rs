use std::env;

use sqlx::{Connection as _, Executor as _, PgConnection};

/// Which database the run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file in the site's folder.
    Sqlite,
    /// A database of its own on the run's server.
    Postgres,
}

impl Backing {
    /// What `MAINSTAY_TEST_DATABASE` says.
    ///
    /// # Panics
    /// If it says neither.
    #[must_use]
    pub fn of_run() -> Self {
        match env::var("MAINSTAY_TEST_DATABASE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!("MAINSTAY_TEST_DATABASE is {other:?}; it must be sqlite or postgres"),
        }
    }
}

/// An empty database, gone when dropped.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: Option<String>,
}

impl Database {
    /// One named `name`, which must be nobody else's.
    ///
    /// # Panics
    /// If the server can't be reached.
    pub(crate) fn make(name: &str) -> Self {
        match Backing::of_run() {
            Backing::Sqlite => Self { url: "sqlite://mainstay.db?mode=rwc".to_owned(), name: None },
            Backing::Postgres => {
                execute(format!("CREATE DATABASE \"{name}\""));
                let server = server();
                let (before, _) = server.rsplit_once('/').expect("a PostgreSQL URL ends with /DATABASE");
                Self { url: format!("{before}/{name}"), name: Some(name.to_owned()) }
            }
        }
    }

    /// What `DATABASE_URL` is to be.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Database {
    /// Takes it away, from under whoever uses it. Nothing happens on SQLite.
    pub fn take_away(&self) {
        if let Some(name) = &self.name {
            execute(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.take_away();
    }
}

fn server() -> String {
    env::var("MAINSTAY_TEST_POSTGRES_URL")
        .expect("MAINSTAY_TEST_POSTGRES_URL must name a server; run the tests with `scripts/services with …`")
}

/// Runs a statement on the server. In a thread of its own, because it is also
/// called where a runtime is at work already.
fn execute(statement: String) {
    let work = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection =
                PgConnection::connect(&server()).await.expect("the test's PostgreSQL server");
            connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("making or dropping a database");
            connection.close().await.unwrap();
        });
    });
    let outcome = work.join();
    // A panic while another unwinds would abort the process and hide the first.
    if !std::thread::panicking() {
        outcome.expect("the thread that speaks to PostgreSQL");
    }
}
