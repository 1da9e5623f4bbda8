//! The queries. Each takes the connection or the unit it runs in, and begins none.

use mainstay::core::{page::Start, text};
use mainstay::prelude::*;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QuerySelect as _, Value, prelude::Uuid, sea_query::Expr,
};
use serde_json::Value as Json;

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
    let total = match paging.start {
        Start::Page(_) => Some(found.clone().count(connection).await?),
        Start::After { .. } => None,
    };
    let mut rows = found.offset(paging.offset()).cursor_by((column(paging.sort), Column::Id));
    if let Start::After { key, id } = &paging.start {
        rows.after(place(paging.sort, key, id)?);
    }
    if paging.descending {
        rows.desc();
    }
    // One row too many proves that there is a next page.
    let rows = rows.first(u64::from(paging.page_size) + 1).all(connection).await?;
    let key = |row: &Model| match paging.sort {
        BookmarkOrder::CreatedAt => row.created_at.into(),
        BookmarkOrder::Title => row.title_words.as_str().into(),
    };
    Ok(paging.cut(rows, total, |row| (key(row), row.id.to_string().into())).map(Bookmark::from))
}

fn column(order: BookmarkOrder) -> Column {
    match order {
        BookmarkOrder::CreatedAt => Column::CreatedAt,
        BookmarkOrder::Title => Column::TitleWords,
    }
}

/// The place that a cursor names. It comes from outside: it may hold anything.
fn place(order: BookmarkOrder, key: &Json, id: &Json) -> Result<(Value, Uuid), Problem> {
    let key: Option<Value> = match order {
        BookmarkOrder::CreatedAt => key.as_i64().map(Into::into),
        BookmarkOrder::Title => key.as_str().filter(|key| !key.contains('\0')).map(Into::into),
    };
    let id = id.as_str().and_then(|id| id.parse().ok());
    key.zip(id).ok_or_else(|| Faults::one("cursor", "invalid_cursor", "is not a cursor of this list").into())
}
