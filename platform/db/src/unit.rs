//! The write unit: one transaction and who it is for.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use mainstay_core::{Actor, AuditEntry, EventData};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use crate::invalidation::{self, INVALIDATIONS, Logged};
use crate::trail::Trail;
use crate::{Db, Dialect};

/// One change: a transaction that knows who acts and in which request.
///
/// Everything that belongs to the change goes through it: rows by the query
/// builder (it is a [`ConnectionTrait`]), events that tell others of it
/// ([`WriteUnit::emit`]) and entries of the audit log ([`WriteUnit::audit`]).
/// Dropped without [`WriteUnit::commit`], nothing of it happened.
#[must_use = "a unit that is dropped without commit() changes nothing"]
#[derive(Debug)]
pub struct WriteUnit {
    transaction: DatabaseTransaction,
    actor: Actor,
    db: Db,
    trail: Mutex<Trail>,
    hooks: Mutex<Hooks>,
}

/// What runs when the commit has been tried.
#[derive(Default)]
struct Hooks(Vec<Box<dyn FnOnce(Option<Logged>) + Send>>);

impl Hooks {
    fn run(self, logged: Option<Logged>) {
        self.0.into_iter().for_each(|hook| hook(logged));
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}

impl WriteUnit {
    pub(crate) fn new(transaction: DatabaseTransaction, actor: Actor, db: Db) -> Self {
        Self { transaction, actor, db, trail: Mutex::default(), hooks: Mutex::default() }
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Which database this is, for a crate's `dialect.rs`.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// Tells other apps of the change: with the commit, the event is on its way to
    /// every consumer.
    pub fn emit(&self, event: &impl EventData) {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner).emit(event);
    }

    /// Adds an entry to the audit log. Every change that a person, a program or an
    /// operator makes has one.
    pub fn audit(&self, entry: AuditEntry) {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner).audit(entry);
    }

    /// Wakes those who listen to `topic` after the commit.
    pub fn wake(&self, topic: &'static str) {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner).wake(topic);
    }

    /// Says that caches must no longer believe what these digests stand for, on any node: one row of
    /// the log of invalidations for the whole unit. `mainstay-cache` knows the digests.
    pub fn invalidate(&self, hashes: impl IntoIterator<Item = u32>) {
        let mut trail = self.trail.lock().unwrap_or_else(PoisonError::into_inner);
        trail.stale.extend(hashes);
        trail.wake(INVALIDATIONS);
    }

    /// Runs `hook` in this process after the commit, before [`WriteUnit::commit`] returns, with the
    /// unit's row in the log of invalidations if it has one. Also when the commit failed in a way that
    /// leaves open whether it happened; then there is no row to name. Never when the unit is given up.
    pub fn after_commit(&self, hook: impl FnOnce(Option<Logged>) + Send + 'static) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).0.push(Box::new(hook));
    }

    /// Makes it all happen: the rows, the events and the audit entries. Where there are
    /// read replicas, it returns once every node knows that the actor wrote.
    ///
    /// # Errors
    /// If the database refuses; then nothing happened, unless the connection
    /// broke during the commit itself, when it is not known.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { transaction, actor, db, trail, hooks } = self;
        let mut trail = trail.into_inner().unwrap_or_else(PoisonError::into_inner);
        let hooks = hooks.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stale = std::mem::take(&mut trail.stale);
        // Last before the commit, when the rows that the change locks are locked: events about one subject
        // are numbered in the order of the changes.
        let topics = trail.write(&transaction, &actor, db.clock(), db.ids()).await?;
        let logged = invalidation::write(&transaction, db.dialect(), db.clock().now(), &stale).await?;
        db.writes(&actor);
        // However it ends: an error here, or a caller who waits no longer, does not say that nothing happened.
        let ended = Ended(Some(hooks), None);
        let outcome = transaction.commit().await;
        match outcome {
            Ok(()) => {
                ended.committed(logged);
                topics.into_iter().for_each(|topic| db.signals().wake(topic));
            }
            Err(_) => drop(ended),
        }
        // Also where the outcome is not known. Returns when no replica can hide it from the actor.
        db.wrote(&actor).await;
        outcome
    }

    /// Gives it up. Dropping does the same, a moment later.
    ///
    /// # Errors
    /// If the connection broke; nothing happened then either.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.transaction.rollback().await
    }
}

/// Runs the hooks however the commit ended.
struct Ended(Option<Hooks>, Option<Logged>);

impl Ended {
    fn committed(mut self, logged: Option<Logged>) {
        self.1 = logged;
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(hooks) = self.0.take() {
            hooks.run(self.1);
        }
    }
}

/// The work of one [`Db::write_retrying`](crate::Db::write_retrying): a future
/// that may borrow the unit and whatever outlives the call.
///
/// A type of its own because a closure's bound can't say "borrows both" in any
/// other way: the phantom makes `'outer: 'unit` known wherever it is named.
pub struct UnitWork<'outer, 'unit, T>(
    pub(crate) Pin<Box<dyn Future<Output = T> + Send + 'unit>>,
    PhantomData<&'unit &'outer ()>,
);

impl<'unit, T> UnitWork<'_, 'unit, T> {
    /// Wraps the future.
    pub fn new(work: impl Future<Output = T> + Send + 'unit) -> Self {
        Self(Box::pin(work), PhantomData)
    }
}

/// So that work can be part of other work.
impl<'unit, T> IntoFuture for UnitWork<'_, 'unit, T> {
    type Output = T;
    type IntoFuture = Pin<Box<dyn Future<Output = T> + Send + 'unit>>;

    fn into_future(self) -> Self::IntoFuture {
        self.0
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for WriteUnit {
    fn get_database_backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.transaction.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.transaction.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.transaction.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.transaction.query_all_raw(statement).await
    }
}
