//! Databases for tests: one each, made in milliseconds from a migrated template.
//!
//! `MAINSTAY_TEST_DATABASE` chooses (`sqlite`, the default, or `postgres`);
//! PostgreSQL is reached at `MAINSTAY_TEST_POSTGRES_URL`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, OsRng, SystemClock};
use mainstay_telemetry::Metrics;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::{DatabaseSettings, Db, DbOptions, Dialect, Migration, Migrator};

/// A database that lives as long as this value.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    dialect: Dialect,
    folder: Option<tempfile::TempDir>,
}

/// Which database the tests run on.
///
/// # Panics
/// If `MAINSTAY_TEST_DATABASE` names none.
#[must_use]
pub fn dialect() -> Dialect {
    match std::env::var("MAINSTAY_TEST_DATABASE").as_deref() {
        Err(_) | Ok("sqlite") => Dialect::Sqlite,
        Ok("postgres") => Dialect::Postgres,
        Ok(other) => panic!("MAINSTAY_TEST_DATABASE is {other:?}; it can be sqlite or postgres"),
    }
}

impl TestDatabase {
    /// A database with nothing in it.
    pub async fn empty() -> Self {
        match dialect() {
            Dialect::Sqlite => Self::sqlite(|_| {}),
            Dialect::Postgres => {
                let name = unique_name();
                let mut admin = admin().await;
                run(&mut admin, format!("CREATE DATABASE {name}")).await;
                Self { url: postgres_url(&name), dialect: Dialect::Postgres, folder: None }
            }
        }
    }

    /// A database to which all of `migrations` have been applied, copied from a
    /// template that is made once for all tests of a run.
    pub async fn migrated(migrations: &[Migration]) -> Self {
        // Every change leaves its trail there, so the tables are always needed.
        let missing = crate::trail::migrations().into_iter();
        let missing = missing.filter(|own| migrations.iter().all(|given| given.version != own.version));
        let migrations: &[Migration] = &missing.chain(migrations.iter().copied()).collect::<Vec<_>>();
        match dialect() {
            Dialect::Sqlite => {
                let template = sqlite_template(migrations).await;
                Self::sqlite(|file| {
                    std::fs::copy(template, file).expect("the template can be copied");
                })
            }
            Dialect::Postgres => {
                let template = postgres_template(migrations).await;
                let name = unique_name();
                let mut admin = admin().await;
                run(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
                Self { url: postgres_url(&name), dialect: Dialect::Postgres, folder: None }
            }
        }
    }

    fn sqlite(fill: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("test.db");
        fill(&file);
        Self { url: sqlite_url(&file), dialect: Dialect::Sqlite, folder: Some(folder) }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Settings that lead to it.
    #[must_use]
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings { url: self.url.clone().into(), max_connections: 8, ..DatabaseSettings::default() }
    }

    /// A handle to it with the system's clock.
    #[must_use]
    pub fn open(&self) -> Db {
        self.open_with(Arc::new(SystemClock))
    }

    /// A handle to it with this clock.
    #[must_use]
    pub fn open_with(&self, clock: Arc<dyn Clock>) -> Db {
        open(self.settings(), clock)
    }
}

fn open(settings: DatabaseSettings, clock: Arc<dyn Clock>) -> Db {
    Db::open(DbOptions { settings, clock, rng: Arc::new(OsRng), metrics: Metrics::new() })
        .expect("the test's URL is one")
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (Dialect::Postgres, Some(name)) = (self.dialect, self.url.rsplit('/').next().map(str::to_owned))
        else {
            return;
        };
        // A destructor can't wait in the test's own runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(async {
                let mut admin = admin().await;
                run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            });
        });
        // The test has its result; the server that holds the leftover is private to the run.
        let _result = dropped.join();
        drop(self.folder.take());
    }
}

fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}?mode=rwc", file.display())
}

fn postgres_base() -> String {
    let url = std::env::var("MAINSTAY_TEST_POSTGRES_URL")
        .expect("MAINSTAY_TEST_POSTGRES_URL is set; `make test` starts a server and sets it");
    url.rsplit_once('/').map_or(url.clone(), |(base, _)| base.to_owned())
}

fn postgres_url(name: &str) -> String {
    format!("{}/{name}", postgres_base())
}

async fn admin() -> PgConnection {
    let url = std::env::var("MAINSTAY_TEST_POSTGRES_URL").expect("MAINSTAY_TEST_POSTGRES_URL is set");
    PgConnection::connect(&url).await.expect("the test PostgreSQL answers")
}

async fn run(admin: &mut PgConnection, sql: String) {
    admin.execute(AssertSqlSafe(sql.clone())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn unique_name() -> String {
    use mainstay_core::Rng as _;
    let mut bytes = [0; 8];
    OsRng.fill(&mut bytes);
    format!("mt_{:016x}", u64::from_le_bytes(bytes))
}

fn fingerprint(migrations: &[Migration], dialect: Dialect) -> String {
    let sums: String = migrations.iter().map(|migration| migration.checksum(dialect)).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sums.as_bytes());
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn migrate(db: &Db, migrations: &[Migration]) {
    Migrator::new(db.clone(), migrations.to_vec()).up(None, |_| {}).await.expect("the migrations apply");
}

async fn sqlite_template(migrations: &[Migration]) -> PathBuf {
    let folder = std::env::temp_dir().join("mainstay-test-templates");
    std::fs::create_dir_all(&folder).expect("a folder for templates can be made");
    let finished = folder.join(format!("{}.db", fingerprint(migrations, Dialect::Sqlite)));
    if !finished.exists() {
        // Each process may make its own; the rename decides, and all are equal.
        let making = folder.join(format!("{}.making", unique_name()));
        let settings = DatabaseSettings { url: sqlite_url(&making).into(), ..DatabaseSettings::default() };
        let db = open(settings, Arc::new(SystemClock));
        migrate(&db, migrations).await;
        db.close().await;
        std::fs::rename(&making, &finished).expect("a template can be renamed");
    }
    finished
}

async fn postgres_template(migrations: &[Migration]) -> String {
    let name = format!("template_{}", fingerprint(migrations, Dialect::Postgres));
    let mut admin = admin().await;
    run(&mut admin, "SELECT pg_advisory_lock(7101)".to_owned()).await;
    let exists: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_optional(&mut admin)
        .await
        .expect("the list of databases can be read");
    if exists.is_none() {
        let making = unique_name();
        run(&mut admin, format!("CREATE DATABASE {making}")).await;
        let settings = DatabaseSettings { url: postgres_url(&making).into(), ..DatabaseSettings::default() };
        let db = open(settings, Arc::new(SystemClock));
        migrate(&db, migrations).await;
        db.close().await;
        // A backend may outlive its connection by a moment, and renaming wants to be alone.
        tokio::time::sleep(Duration::from_millis(50)).await;
        run(&mut admin, format!("ALTER DATABASE {making} RENAME TO {name}")).await;
    }
    run(&mut admin, "SELECT pg_advisory_unlock(7101)".to_owned()).await;
    name
}
