//! The blog, as the app that shows people asks it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_app::{Authored, Authors};
use mainstay_core::{Actor, UserId};
use mainstay_db::Db;
use sea_orm::DbErr;

use crate::repo;

/// What people wrote in this database's blog.
#[must_use]
pub fn authors(db: Db) -> Arc<dyn Authors> {
    Arc::new(Written { db })
}

struct Written {
    db: Db,
}

#[async_trait]
impl Authors for Written {
    async fn written_by(
        &self,
        actor: &Actor,
        ids: &[UserId],
        drafts: bool,
    ) -> Result<HashMap<UserId, Authored>, DbErr> {
        repo::written_by(self.db.read(actor), ids, drafts).await
    }
}
