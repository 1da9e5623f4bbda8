//! Migrations: each app's steps in one ordered history.
//!
//! A step runs in a transaction of its own, under a lock, after reading the
//! history again: of several nodes that start together each finds the steps
//! that the others left. Checksums of the SQL tell when a step that was applied
//! is no longer the one in the binary.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mainstay_core::{Actor, Timestamp};
use sea_orm::sea_query::{
    Alias, ColumnDef, Expr, ExprTrait as _, Order, Query, SchemaStatementBuilder, Table,
};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{Db, Dialect, WriteUnit};

/// One step of an app's schema, forward and back.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The app it belongs to.
    pub app: &'static str,
    /// `YYYYMMDDhhmmss`: its place in the history of all apps. Unique.
    pub version: u64,
    /// What it does, in snake_case.
    pub name: &'static str,
    /// Forward.
    pub up: fn(&mut Steps),
    /// Back.
    pub down: fn(&mut Steps),
}

impl Migration {
    /// The SQL that it runs, by direction.
    #[must_use]
    pub fn sql(&self, dialect: Dialect, direction: Direction) -> Vec<String> {
        let mut steps = Steps { dialect, sql: Vec::new() };
        match direction {
            Direction::Up => (self.up)(&mut steps),
            Direction::Down => (self.down)(&mut steps),
        }
        steps.sql
    }

    /// SHA-256 of the SQL forward, in hexadecimal, white space aside.
    #[must_use]
    pub fn checksum(&self, dialect: Dialect) -> String {
        let text = self.sql(dialect, Direction::Up).join(";\n");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Which way a migration runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Forward.
    Up,
    /// Back.
    Down,
}

/// Collects the statements of one migration.
#[derive(Debug)]
pub struct Steps {
    dialect: Dialect,
    sql: Vec<String>,
}

impl Steps {
    /// Which database it is for.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Adds a statement of the query builder: a table, an index.
    pub fn run(&mut self, statement: &impl SchemaStatementBuilder) -> &mut Self {
        self.sql.push(self.dialect.schema_sql(statement));
        self
    }

    /// Adds SQL text. For a crate's `dialect.rs`, where the builder has no words for it.
    pub fn raw(&mut self, sql: impl Into<String>) -> &mut Self {
        self.sql.push(sql.into());
        self
    }
}

/// How one migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Applied at that moment.
    Applied(Timestamp),
    /// Not applied yet.
    Pending,
    /// Applied, but with other SQL than the binary has.
    Changed(Timestamp),
    /// Applied by a newer binary; this one does not know it.
    Unknown(Timestamp),
}

/// One line of `migrate status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its version.
    pub version: u64,
    /// Its app.
    pub app: String,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
}

/// One line of `migrate history`.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it ran.
    pub at: Timestamp,
    /// `up` or `down`.
    pub direction: String,
    /// Which version.
    pub version: u64,
    /// Of which app.
    pub app: String,
    /// Its name.
    pub name: String,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
}

/// Why migrating failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database refused.
    #[error("migration {version} {app}/{name} failed")]
    Step {
        /// Which version.
        version: u64,
        /// Of which app.
        app: &'static str,
        /// Its name.
        name: &'static str,
        /// Why.
        source: DbErr,
    },
    /// A step was edited after it had been applied.
    #[error(
        "migration {version} {app}/{name} was changed after it had been applied; write a new one instead"
    )]
    Changed {
        /// Which version.
        version: u64,
        /// Of which app.
        app: String,
        /// Its name.
        name: String,
    },
    /// There is no such version.
    #[error("there is no migration {0}")]
    NoSuchVersion(u64),
    /// A step to undo is not in this binary.
    #[error("migration {0} was applied by a newer version of the program, which alone can undo it")]
    Unknown(u64),
    /// The history itself could not be read.
    #[error("the history of migrations can't be read")]
    History(#[from] DbErr),
}

struct Applied {
    version: u64,
    app: String,
    name: String,
    checksum: String,
    at: Timestamp,
}

const TABLE: &str = "mainstay_migrations";
const LOG: &str = "mainstay_migration_log";

/// Runs migrations.
#[derive(Debug)]
pub struct Migrator {
    db: Db,
    migrations: BTreeMap<u64, Migration>,
}

impl Migrator {
    /// A migrator of all these apps' steps.
    ///
    /// # Panics
    /// If two have the same version: a fault in the code that every start shows.
    #[must_use]
    pub fn new(db: Db, migrations: impl IntoIterator<Item = Migration>) -> Self {
        let mut ordered = BTreeMap::new();
        for migration in migrations {
            let twin = ordered.insert(migration.version, migration);
            assert!(twin.is_none(), "two migrations have the version {}", migration.version);
        }
        Self { db, migrations: ordered }
    }

    /// Applies what is pending, up to and including `to`; all if `None`. Calls
    /// `done` after each. Returns how many this call applied.
    ///
    /// # Errors
    /// If a step fails (the ones before it stay), or one was changed after it had been applied.
    pub async fn up(&self, to: Option<u64>, mut done: impl FnMut(&Migration)) -> Result<usize, MigrateError> {
        if let Some(version) = to.filter(|version| !self.migrations.contains_key(version)) {
            return Err(MigrateError::NoSuchVersion(version));
        }
        let mut count = 0;
        loop {
            let unit = self.locked_unit().await?;
            let applied = self.applied(&unit).await?;
            self.refuse_changed(&applied)?;
            let pending = self.migrations.values().find(|migration| {
                to.is_none_or(|to| migration.version <= to) && !applied.contains_key(&migration.version)
            });
            let Some(migration) = pending else {
                unit.commit().await?;
                return Ok(count);
            };
            self.step(unit, migration, Direction::Up).await?;
            count += 1;
            done(migration);
        }
    }

    /// Undoes the last `steps` migrations, or those after `to`.
    ///
    /// # Errors
    /// If a step fails (those undone before it stay undone) or is unknown to this binary.
    pub async fn down(
        &self,
        target: DownTo,
        mut done: impl FnMut(&Migration),
    ) -> Result<usize, MigrateError> {
        let mut count = 0;
        loop {
            let unit = self.locked_unit().await?;
            let applied = self.applied(&unit).await?;
            if let DownTo::Version(version) = target
                && version != 0
                && !applied.contains_key(&version)
            {
                return Err(MigrateError::NoSuchVersion(version));
            }
            let last = applied.keys().next_back().copied().filter(|last| match target {
                DownTo::Steps(steps) => count < steps,
                DownTo::Version(version) => *last > version,
            });
            let Some(last) = last else {
                unit.commit().await?;
                return Ok(count);
            };
            let migration = self.migrations.get(&last).ok_or(MigrateError::Unknown(last))?;
            self.step(unit, migration, Direction::Down).await?;
            count += 1;
            done(migration);
        }
    }

    /// How each migration stands, in order.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn status(&self) -> Result<Vec<Status>, MigrateError> {
        let applied =
            if self.has_history().await? { self.applied(self.db.primary()).await? } else { BTreeMap::new() };
        let known = self.migrations.values().map(|migration| {
            let state = match applied.get(&migration.version) {
                None => State::Pending,
                Some(row) if row.checksum == migration.checksum(self.db.dialect()) => State::Applied(row.at),
                Some(row) => State::Changed(row.at),
            };
            Status {
                version: migration.version,
                app: migration.app.to_owned(),
                name: migration.name.to_owned(),
                state,
            }
        });
        let unknown =
            applied.values().filter(|row| !self.migrations.contains_key(&row.version)).map(|row| Status {
                version: row.version,
                app: row.app.clone(),
                name: row.name.clone(),
                state: State::Unknown(row.at),
            });
        let mut lines: Vec<_> = known.chain(unknown).collect();
        lines.sort_by_key(|line| line.version);
        Ok(lines)
    }

    /// Everything that ever ran on this database, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn history(&self) -> Result<Vec<Event>, MigrateError> {
        if !self.has_history().await? {
            return Ok(Vec::new());
        }
        let select = Query::select()
            .columns(["at", "direction", "version", "app", "name", "took_ms"].map(Alias::new))
            .from(Alias::new(LOG))
            .order_by(Alias::new("id"), Order::Asc)
            .to_owned();
        let rows = self.db.primary().query_all(&select).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Event {
                    at: Timestamp::from_millis(row.try_get("", "at")?),
                    direction: row.try_get("", "direction")?,
                    version: version(row.try_get("", "version")?),
                    app: row.try_get("", "app")?,
                    name: row.try_get("", "name")?,
                    took_ms: row.try_get("", "took_ms")?,
                })
            })
            .collect()
    }

    /// How many migrations are pending; a changed one is an error.
    ///
    /// # Errors
    /// If the database does not answer or a step was changed.
    pub async fn pending(&self) -> Result<usize, MigrateError> {
        let status = self.status().await?;
        if let Some(line) = status.iter().find(|line| matches!(line.state, State::Changed(_))) {
            return Err(MigrateError::Changed {
                version: line.version,
                app: line.app.clone(),
                name: line.name.clone(),
            });
        }
        Ok(status.iter().filter(|line| line.state == State::Pending).count())
    }

    fn refuse_changed(&self, applied: &BTreeMap<u64, Applied>) -> Result<(), MigrateError> {
        for migration in self.migrations.values() {
            if let Some(row) = applied.get(&migration.version)
                && row.checksum != migration.checksum(self.db.dialect())
            {
                let (app, name) = (migration.app.to_owned(), migration.name.to_owned());
                return Err(MigrateError::Changed { version: migration.version, app, name });
            }
        }
        Ok(())
    }

    /// A unit that no other migrator's unit runs beside, with the history's tables in place.
    async fn locked_unit(&self) -> Result<WriteUnit, MigrateError> {
        const PATIENCE: u32 = 60;
        let mut tries = 0;
        let unit = loop {
            // On SQLite the write lock is the lock; a long step of another node outlasts its timeout.
            match self.db.write(&Actor::system("migrate")).await {
                Err(error) if crate::error::is_retryable(&error) && tries < PATIENCE => tries += 1,
                unit => break unit?,
            }
        };
        if self.db.dialect() == Dialect::Postgres {
            unit.execute_unprepared(crate::dialect::PG_MIGRATION_LOCK).await?;
        }
        for table in history_tables() {
            unit.execute_unprepared(&self.db.dialect().schema_sql(&table)).await?;
        }
        Ok(unit)
    }

    async fn has_history(&self) -> Result<bool, DbErr> {
        let sql = crate::dialect::has_table(self.db.dialect(), TABLE);
        let backend = self.db.primary().get_database_backend();
        let row = self.db.primary().query_one_raw(sea_orm::Statement::from_string(backend, sql)).await?;
        Ok(row.is_some())
    }

    async fn applied(&self, connection: &impl ConnectionTrait) -> Result<BTreeMap<u64, Applied>, DbErr> {
        let select = Query::select()
            .columns(["version", "app", "name", "checksum", "applied_at"].map(Alias::new))
            .from(Alias::new(TABLE))
            .to_owned();
        let rows = connection.query_all(&select).await?;
        rows.into_iter()
            .map(|row| {
                let version = version(row.try_get("", "version")?);
                let applied = Applied {
                    version,
                    app: row.try_get("", "app")?,
                    name: row.try_get("", "name")?,
                    checksum: row.try_get("", "checksum")?,
                    at: Timestamp::from_millis(row.try_get("", "applied_at")?),
                };
                Ok((version, applied))
            })
            .collect()
    }

    async fn step(
        &self,
        unit: WriteUnit,
        migration: &Migration,
        direction: Direction,
    ) -> Result<(), MigrateError> {
        let run = async {
            let start = self.db.clock().now();
            for sql in migration.sql(self.db.dialect(), direction) {
                unit.execute_unprepared(&sql).await?;
            }
            let now = self.db.clock().now();
            let took = i64::try_from(now.since(start).as_millis()).unwrap_or(i64::MAX);
            self.book(&unit, migration, direction, now, took).await?;
            unit.commit().await
        };
        let Migration { version, app, name, .. } = *migration;
        run.await.map_err(|source| MigrateError::Step { version, app, name, source })
    }

    async fn book(
        &self,
        unit: &WriteUnit,
        migration: &Migration,
        direction: Direction,
        now: Timestamp,
        took_ms: i64,
    ) -> Result<(), DbErr> {
        let version = i64::try_from(migration.version).expect("a date fits 63 bits");
        match direction {
            Direction::Up => {
                let insert = Query::insert()
                    .into_table(Alias::new(TABLE))
                    .columns(["version", "app", "name", "checksum", "applied_at"].map(Alias::new))
                    .values_panic([
                        version.into(),
                        migration.app.into(),
                        migration.name.into(),
                        migration.checksum(self.db.dialect()).into(),
                        now.millis().into(),
                    ])
                    .to_owned();
                unit.execute(&insert).await?;
            }
            Direction::Down => {
                let delete = Query::delete()
                    .from_table(Alias::new(TABLE))
                    .and_where(Expr::col(Alias::new("version")).eq(version))
                    .to_owned();
                unit.execute(&delete).await?;
            }
        }
        let direction = match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        let insert = Query::insert()
            .into_table(Alias::new(LOG))
            .columns(["at", "direction", "version", "app", "name", "took_ms"].map(Alias::new))
            .values_panic([
                now.millis().into(),
                direction.into(),
                version.into(),
                migration.app.into(),
                migration.name.into(),
                took_ms.into(),
            ])
            .to_owned();
        unit.execute(&insert).await?;
        Ok(())
    }
}

/// How far back to go.
#[derive(Clone, Copy, Debug)]
pub enum DownTo {
    /// That many steps.
    Steps(usize),
    /// Until this version is the last one applied; 0 undoes everything.
    Version(u64),
}

fn version(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn history_tables() -> [sea_orm::sea_query::TableCreateStatement; 2] {
    let text = |name: &'static str| ColumnDef::new(Alias::new(name)).text().not_null().to_owned();
    let number = |name: &'static str| ColumnDef::new(Alias::new(name)).big_integer().not_null().to_owned();
    let current = Table::create()
        .table(Alias::new(TABLE))
        .if_not_exists()
        .col(ColumnDef::new(Alias::new("version")).big_integer().not_null().primary_key())
        .col(text("app"))
        .col(text("name"))
        .col(text("checksum"))
        .col(number("applied_at"))
        .to_owned();
    let log = Table::create()
        .table(Alias::new(LOG))
        .if_not_exists()
        .col(ColumnDef::new(Alias::new("id")).big_integer().not_null().auto_increment().primary_key())
        .col(number("at"))
        .col(text("direction"))
        .col(number("version"))
        .col(text("app"))
        .col(text("name"))
        .col(number("took_ms"))
        .to_owned();
    [current, log]
}
