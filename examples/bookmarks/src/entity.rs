//! The row of a bookmark. Private: the rest of the crate sees [`Bookmark`].

use mainstay::core::text;
use mainstay::prelude::{Timestamp, UserId};
use sea_orm::entity::prelude::*;

use crate::domain::Bookmark;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bookmarks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_id: Uuid,
    pub url: String,
    pub title: String,
    pub title_words: String,
    pub note: Option<String>,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(owner: UserId, bookmark: &Bookmark) -> Self {
        let Bookmark { id, url, title, note, version, created_at, updated_at } = bookmark.clone();
        Self {
            id: id.uuid(),
            owner_id: owner.uuid(),
            url,
            title_words: text::padded(&text::words(&title)),
            title,
            note,
            version,
            created_at: created_at.millis(),
            updated_at: updated_at.millis(),
        }
    }
}

impl From<Model> for Bookmark {
    fn from(row: Model) -> Self {
        let Model { id, owner_id: _, url, title, title_words: _, note, version, created_at, updated_at } =
            row;
        Self {
            id: id.into(),
            url,
            title,
            note,
            version,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        }
    }
}
