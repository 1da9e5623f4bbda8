use mainstay_core::Timestamp;
use sea_orm::entity::prelude::*;

use crate::domain::category::{Category, CategoryId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "categories")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) parent_id: Option<i64>,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Category {
    fn from(row: Model) -> Self {
        let Model { id, slug, name, parent_id, version, created_at, updated_at } = row;
        Self {
            id: CategoryId(id),
            slug,
            name,
            parent: parent_id.map(CategoryId),
            version,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        }
    }
}
