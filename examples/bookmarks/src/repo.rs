//! The queries. Each takes the connection or the unit it runs in, and begins none.

use mainstay::core::text;
use mainstay::db::page;
use mainstay::prelude::*;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, sea_query::Expr,
};

use crate::domain::{Bookmark, BookmarkId, BookmarkOrder, SearchText};
use crate::entity::{Column, Entity, Model};
use crate::error::{BookmarkError, Result};

/// The caller's own bookmark with this id. Somebody else's is not found, as if there were none.
pub async fn get(connection: &impl ConnectionTrait, owner: UserId, id: BookmarkId) -> Result<Bookmark> {
    let own = Entity::find_by_id(id.uuid()).filter(Column::OwnerId.eq(owner.uuid()));
    own.one(connection).await?.map(Bookmark::from).ok_or(BookmarkError::NotFound(id))
}

pub async fn insert(unit: &WriteUnit, owner: UserId, new: &Bookmark) -> Result<()> {
    Model::of(owner, new).into_active_model().insert(unit).await.map_err(taken)?;
    Ok(())
}

pub async fn update(unit: &WriteUnit, owner: UserId, changed: &Bookmark) -> Result<()> {
    Model::of(owner, changed).into_active_model().reset_all().update(unit).await.map_err(taken)?;
    Ok(())
}

pub async fn delete(unit: &WriteUnit, owner: UserId, id: BookmarkId) -> Result<()> {
    let own = Entity::delete_by_id(id.uuid()).filter(Column::OwnerId.eq(owner.uuid()));
    let deleted = own.exec(unit).await?.rows_affected;
    if deleted == 1 { Ok(()) } else { Err(BookmarkError::NotFound(id)) }
}

// The index decides, not a SELECT before: two requests can pass that together.
fn taken(error: DbErr) -> BookmarkError {
    if unique_violation(&error, "bookmarks", &["owner_id", "url"]) {
        BookmarkError::UrlTaken
    } else {
        error.into()
    }
}

/// A page of the caller's own bookmarks: with `search`, those in whose title each of its words begins a word.
pub async fn list(
    connection: &impl ConnectionTrait,
    owner: UserId,
    search: Option<&SearchText>,
    paging: &Paging<BookmarkOrder>,
) -> Result<Page<Bookmark>> {
    let mut found = Entity::find().filter(Column::OwnerId.eq(owner.uuid()));
    if let Some(search) = search {
        let words = text::words(search.as_str());
        // Words are letters and digits, so that LIKE reads none of them as a pattern. No words find nothing.
        found = found.filter(Expr::val(!words.is_empty()));
        for word in words {
            found = found.filter(Column::TitleWords.contains(format!(" {word}")));
        }
    }
    let sorted = match paging.sort {
        BookmarkOrder::CreatedAt => Column::CreatedAt,
        BookmarkOrder::Title => Column::TitleWords,
    };
    Ok(page(connection, found, paging, sorted, Column::Id).await?.map(Bookmark::from))
}
