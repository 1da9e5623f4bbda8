use mainstay_core::page::Sorting;
use mainstay_core::seal::RootKey;
use mainstay_core::{Page, Paging, Problem, Timestamp};
use mainstay_db::{Db, WriteUnit, like_prefix, page};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::verify::{self, Verdict};
use crate::entity::audit_entry;

/// One entry of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// Its number: grows with time.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who: `anonymous`, `user/…`, `service/…` or `system/…`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// From which address. `null` outside of a request.
    pub address: Option<String>,
    /// In which request. `null` outside of one.
    pub request_id: Option<String>,
    /// Fields before and after: `{"name": {"before": "…", "after": "…"}}`. `null` where none
    /// changed, and after a person's data were erased.
    #[schema(value_type = Option<Object>)]
    pub changes: Option<serde_json::Value>,
    /// What else was noted.
    #[schema(value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
}

impl From<audit_entry::Model> for AuditRecord {
    fn from(row: audit_entry::Model) -> Self {
        let audit_entry::Model { seq, id, at, actor, request_id, address, action, target, changes, details } =
            row;
        let read = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            id,
            seq,
            at: Timestamp::from_millis(at),
            actor,
            action,
            target,
            address,
            request_id,
            changes: read(changes),
            details: read(details),
        }
    }
}

/// Which entries are wanted. `None`: all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this actor: `user/…`.
    pub actor: Option<String>,
    /// This action, or `user.*` for all that begin with `user.`.
    pub action: Option<String>,
    /// About this target: `user/…`.
    pub target: Option<String>,
    /// Of this request.
    pub request_id: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// The audit log, to read it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog {
    db: Db,
    root_key: RootKey,
}

impl AuditLog {
    /// The log in this database, chained under this key.
    #[must_use]
    pub fn new(db: Db, root_key: RootKey) -> Self {
        Self { db, root_key }
    }

    /// A page of entries, in the order they were written.
    ///
    /// # Errors
    /// 422 for a foreign cursor, or the database's.
    pub async fn list<S: Sorting>(
        &self,
        paging: &Paging<S>,
        filter: &AuditFilter,
    ) -> Result<Page<AuditRecord>, Problem> {
        let mut rows = audit_entry::Entity::find();
        let AuditFilter { actor, action, target, request_id, from, to } = filter;
        for (column, value) in [
            (audit_entry::Column::Actor, actor),
            (audit_entry::Column::Target, target),
            (audit_entry::Column::RequestId, request_id),
        ] {
            if let Some(value) = value {
                rows = rows.filter(column.eq(value));
            }
        }
        match action.as_deref().map(|action| (action, action.strip_suffix('*'))) {
            None => {}
            Some((_, Some(prefix))) => {
                let like = LikeExpr::new(like_prefix(prefix)).escape('\\');
                rows = rows.filter(Expr::col(audit_entry::Column::Action).like(like));
            }
            Some((action, None)) => rows = rows.filter(audit_entry::Column::Action.eq(action)),
        }
        if let Some(from) = from {
            rows = rows.filter(audit_entry::Column::At.gte(from.millis()));
        }
        if let Some(to) = to {
            rows = rows.filter(audit_entry::Column::At.lt(to.millis()));
        }
        let seq = audit_entry::Column::Seq;
        Ok(page(self.db.primary(), rows, paging, seq, seq).await?.map(AuditRecord::from))
    }

    /// Checks every entry against the chain. `progress` is told how many were checked so far.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn verify(&self, progress: impl Fn(u64)) -> Result<Verdict, DbErr> {
        verify::verify(&self.db, &self.root_key, progress).await
    }

    /// Erases what the entries about `target` say of its fields, because a person's
    /// data must go. The same unit must leave an entry `….deleted` about it, or the log counts as changed. That something was changed, by whom and when stays, and so does the chain.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn erase_changes(unit: &WriteUnit, target: &str) -> Result<u64, DbErr> {
        let nothing: Option<String> = None;
        let erased = audit_entry::Entity::update_many()
            .col_expr(audit_entry::Column::Changes, nothing.into())
            .filter(audit_entry::Column::Target.eq(target))
            .filter(audit_entry::Column::Changes.is_not_null())
            .exec(unit)
            .await?;
        Ok(erased.rows_affected)
    }
}
