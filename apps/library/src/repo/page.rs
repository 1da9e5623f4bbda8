//! Pages of books, by number and by cursor.

use mainstay_core::page::Start;
use mainstay_core::{Faults, Page, Paging, Sorting};
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait as _, Func, IntoCondition, Query, SelectStatement};
use sea_orm::{
    Condition, ConnectionTrait, DbErr, EntityTrait as _, Order, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Select,
};
use serde_json::Value;

use crate::domain::book::Book;
use crate::domain::listing::BookOrder;
use crate::entity::{Column, Entity, Model};
use crate::error::LibraryError;

fn column(order: BookOrder) -> Column {
    match order {
        BookOrder::Id => Column::Id,
        BookOrder::Title => Column::TitleWords,
        BookOrder::Author => Column::AuthorWords,
        BookOrder::PublishedDate => Column::PublishedOrder,
        BookOrder::CreatedAt => Column::CreatedAt,
    }
}

/// What a page is cut from.
pub(super) struct Wanted {
    /// Which books.
    pub(super) books: Condition,
    /// How many they are.
    pub(super) count: SelectStatement,
    /// In which order.
    pub(super) key: Key,
}

/// What a page is ordered by, before the id.
pub(super) enum Key {
    Order(BookOrder),
    Rank(Expr),
}

impl Key {
    /// What a cursor holds. A rank has none, so that its answer is never used.
    fn order(&self) -> BookOrder {
        match self {
            Self::Order(order) => *order,
            Self::Rank(_) => BookOrder::Id,
        }
    }
}

/// A page of the books wanted.
pub(super) async fn page<S: Sorting>(
    connection: &impl ConnectionTrait,
    wanted: Wanted,
    paging: &Paging<S>,
) -> Result<Page<Book>, LibraryError> {
    let Wanted { books, count, key } = wanted;
    let order = key.order();
    let rows = rows_of(books, key, paging)?.all(connection).await?;
    let total = match paging.offset() {
        None => None,
        Some(offset) => Some(match known_total(offset, rows.len(), paging.page_size) {
            Some(total) => total,
            None => number(connection, &count).await?,
        }),
    };
    Ok(paging.cut(rows, total, |row| (cursor_key(row, order), row.id.into())).map(Book::from))
}

/// The rows of a page, and one more if there is one.
pub(super) fn rows_of<S: Sorting>(
    books: Condition,
    key: Key,
    paging: &Paging<S>,
) -> Result<Select<Entity>, LibraryError> {
    let order = key.order();
    let select = ordered(Entity::find().filter(books), key, paging.descending);
    Ok(started(select, order, paging)?.limit(u64::from(paging.page_size) + 1))
}

/// A page that is not full is the last one, and ends where the list does.
fn known_total(offset: u64, rows: usize, page_size: u16) -> Option<u64> {
    let is_last = rows <= usize::from(page_size) && (rows > 0 || offset == 0);
    is_last.then_some(offset + rows as u64)
}

async fn number(connection: &impl ConnectionTrait, count: &SelectStatement) -> Result<u64, DbErr> {
    let count: Option<i64> =
        connection.query_one(count).await?.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// How many books keep these conditions. Not a count over a subquery: SQLite
/// answers this one from the smallest index.
pub(super) fn count_of(books: impl IntoCondition) -> SelectStatement {
    Query::select().expr(Func::count(Expr::col(Asterisk))).from(Entity).cond_where(books).take()
}

fn ordered(select: Select<Entity>, key: Key, descending: bool) -> Select<Entity> {
    let direction = || if descending { Order::Desc } else { Order::Asc };
    let select = match key {
        Key::Order(BookOrder::Id) => select,
        Key::Order(order) => select.order_by(column(order), direction()),
        Key::Rank(rank) => select.order_by(rank, direction()).order_by(Column::TitleWords, direction()),
    };
    select.order_by(Column::Id, direction())
}

fn started<S: Sorting>(
    select: Select<Entity>,
    order: BookOrder,
    paging: &Paging<S>,
) -> Result<Select<Entity>, LibraryError> {
    let (key, id) = match &paging.start {
        Start::Page(_) => return Ok(select.offset(paging.offset().filter(|offset| *offset > 0))),
        Start::After { key, id } => (key, id),
    };
    let (Some(key), Some(id)) = (read_cursor_key(key, order), id.as_i64()) else {
        let faults = Faults::one("cursor", "invalid_cursor", "is not a cursor that this list gave out");
        return Err(LibraryError::Refused(faults.into()));
    };
    let place = |key: Expr, id: Expr| if order == BookOrder::Id { id } else { Expr::tuple([key, id]) };
    let row = place(Expr::col(column(order)), Expr::col(Column::Id));
    let last = place(Expr::val(key), Expr::val(id));
    Ok(select.filter(if paging.descending { row.lt(last) } else { row.gt(last) }))
}

/// A row's place in the order, as a cursor holds it.
fn cursor_key(row: &Model, order: BookOrder) -> Value {
    match order {
        BookOrder::Id => row.id.into(),
        BookOrder::Title => row.title_words.as_str().into(),
        BookOrder::Author => row.author_words.as_str().into(),
        BookOrder::PublishedDate => row.published_order.into(),
        BookOrder::CreatedAt => row.created_at.into(),
    }
}

/// The reverse; `None` for what [`cursor_key`] never wrote, because a cursor comes from outside.
fn read_cursor_key(key: &Value, order: BookOrder) -> Option<sea_orm::Value> {
    match order {
        BookOrder::Id | BookOrder::CreatedAt => key.as_i64().map(Into::into),
        BookOrder::PublishedDate => i32::try_from(key.as_i64()?).ok().map(Into::into),
        // PostgreSQL has no NUL in its texts.
        BookOrder::Title | BookOrder::Author => {
            key.as_str().filter(|key| !key.contains('\0')).map(Into::into)
        }
    }
}
