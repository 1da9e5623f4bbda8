//! The row of a post. Private: the rest of the crate sees [`Post`].

use mainstay_core::Timestamp;
use mainstay_db::PointRow;
use sea_orm::entity::prelude::*;

use crate::domain::{Post, PostId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed_posts")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) username: String,
    pub(crate) body: String,
    pub(crate) created_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Post {
    fn from(row: Model) -> Self {
        let Model { id, name, username, body, created_at } = row;
        Self { id: PostId::new(id), name, username, body, created_at: Timestamp::from_millis(created_at) }
    }
}

impl TryFrom<&PointRow> for Post {
    type Error = DbErr;

    fn try_from(row: &PointRow) -> Result<Self, DbErr> {
        Ok(Self {
            id: PostId::new(row.get("id")?),
            name: row.get("name")?,
            username: row.get("username")?,
            body: row.get("body")?,
            created_at: Timestamp::from_millis(row.get("created_at")?),
        })
    }
}
