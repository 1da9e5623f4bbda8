//! The write unit: one transaction and who it is for.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use mainstay_core::Actor;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use crate::Dialect;

/// One change: a transaction that knows who acts and in which request.
///
/// Everything that belongs to the change goes through it: rows by the query
/// builder (it is a [`ConnectionTrait`]), and what the change must leave behind
/// beside its rows. Dropped without [`WriteUnit::commit`], nothing of it happened.
#[must_use = "a unit that is dropped without commit() changes nothing"]
#[derive(Debug)]
pub struct WriteUnit {
    transaction: DatabaseTransaction,
    actor: Actor,
    dialect: Dialect,
}

impl WriteUnit {
    pub(crate) fn new(transaction: DatabaseTransaction, actor: Actor, dialect: Dialect) -> Self {
        Self { transaction, actor, dialect }
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Which database this is, for a crate's `dialect.rs`.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Makes it all happen.
    ///
    /// # Errors
    /// If the database refuses; then nothing happened, unless the connection
    /// broke during the commit itself, when it is not known.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.transaction.commit().await
    }

    /// Gives it up. Dropping does the same, a moment later.
    ///
    /// # Errors
    /// If the connection broke; nothing happened then either.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.transaction.rollback().await
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
