//! Where the queries of one caller go.

use std::sync::Arc;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::{ReadCounts, Replica};

/// A connection for queries, chosen by [`Db::read`](crate::Db::read).
///
/// It may lead to a replica. A query that fails there for whatever reason but its own
/// length (the replica went away, it cancelled the query to go on replaying) is asked
/// again of the primary, unnoticed. So it reads only: a statement that
/// changes something goes through a write unit.
///
/// Take a new one for each question: after a write of the same caller, one that was taken
/// before may still lead to a replica that does not have it.
#[derive(Debug)]
pub struct Reader {
    primary: DatabaseConnection,
    replica: Option<(DatabaseConnection, Arc<Replica>)>,
    counts: ReadCounts,
}

impl Reader {
    pub(crate) fn new(
        primary: DatabaseConnection,
        replica: Option<(DatabaseConnection, Arc<Replica>)>,
        counts: ReadCounts,
    ) -> Self {
        Self { primary, replica, counts }
    }

    /// The answer of the replica, if this one leads to a replica and it has one.
    async fn ask_replica<T>(
        &self,
        ask: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Option<Result<T, DbErr>> {
        let (connection, replica) = self.replica.as_ref()?;
        let answer = replica.attempt(ask(connection), Instant::now()).await;
        if answer.is_none() {
            self.counts.fallback.inc();
        }
        answer
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.primary.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.primary.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.primary.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        if self.replica.is_some() {
            let copy = statement.clone();
            let answer = self.ask_replica(async |connection| connection.query_one_raw(copy).await).await;
            if let Some(answer) = answer {
                return answer;
            }
        }
        self.primary.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if self.replica.is_some() {
            let copy = statement.clone();
            let answer = self.ask_replica(async |connection| connection.query_all_raw(copy).await).await;
            if let Some(answer) = answer {
                return answer;
            }
        }
        self.primary.query_all_raw(statement).await
    }
}
