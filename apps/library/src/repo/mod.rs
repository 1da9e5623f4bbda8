//! The library's queries. Each takes the connection or the unit it runs in, and begins none.

mod page;
#[cfg(test)]
mod plan_tests;

use std::sync::LazyLock;

use mainstay_core::text::SearchText;
use mainstay_core::{Actor, Page, Paging, Timestamp};
use mainstay_db::words::{begins_words, rank, tiers_of};
use mainstay_db::{Db, Dialect, PointQuery, WordIndex, WriteUnit, unique_violation};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoCondition as _, OnConflict, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use self::page::{Key, Wanted};
use crate::domain::book::{Book, BookId, Details};
use crate::domain::listing::{BookOrder, Filter, SearchOrder};
use crate::entity::{self, ActiveModel, Column, Entity, UNKNOWN_DAY, published_order};
use crate::error::LibraryError;

const TABLE: &str = "books";

/// Finds books by the words of title and author.
pub(crate) const WORDS: WordIndex = WordIndex::new(TABLE, "id", &["title_words", "author_words"]);

/// Adds a book.
pub(crate) async fn insert(
    unit: &WriteUnit,
    details: Details<'_>,
    now: Timestamp,
) -> Result<BookId, LibraryError> {
    let inserted = Entity::insert(entity::row(details, now))
        .exec(unit)
        .await
        .map_err(|error| taken(error, details.isbn))?;
    Ok(BookId::new(inserted.last_insert_id))
}

/// The book with this id.
pub(crate) async fn find(connection: &impl ConnectionTrait, id: BookId) -> Result<Option<Book>, DbErr> {
    Ok(Entity::find_by_id(id.number()).one(connection).await?.map(Book::from))
}

static BY_ID: LazyLock<PointQuery> = LazyLock::new(|| {
    PointQuery::new(Query::select().columns(Book::COLUMNS).from(Entity).and_where(Column::Id.eq(0_i64)))
});

/// The same on the hottest path: outside of a unit, one lookup by the primary key.
pub(crate) async fn look_up(db: &Db, actor: &Actor, id: BookId) -> Result<Option<Book>, DbErr> {
    db.point(actor, &BY_ID, &[id.number().into()]).await?.map(|row| Book::try_from(&row)).transpose()
}

/// Writes `book` over the state that has `version`. False if it is no longer there.
pub(crate) async fn update(unit: &WriteUnit, book: &Book, version: i64) -> Result<bool, LibraryError> {
    let row = ActiveModel {
        version: sea_orm::Set(book.version),
        created_at: sea_orm::NotSet,
        ..entity::row(book.details(), book.updated_at)
    };
    let updated = Entity::update_many()
        .set(row)
        .filter(in_state(book.id, version))
        .exec(unit)
        .await
        .map_err(|error| taken(error, &book.isbn))?;
    Ok(updated.rows_affected == 1)
}

/// Deletes the book in the state that has `version`. False if it is no longer there.
pub(crate) async fn delete(unit: &WriteUnit, id: BookId, version: i64) -> Result<bool, DbErr> {
    let deleted = Entity::delete_many().filter(in_state(id, version)).exec(unit).await?;
    Ok(deleted.rows_affected == 1)
}

fn in_state(id: BookId, version: i64) -> Condition {
    Condition::all().add(Column::Id.eq(id.number())).add(Column::Version.eq(version))
}

// The index decides, not a SELECT before: two requests can pass that together.
fn taken(error: DbErr, isbn: &str) -> LibraryError {
    if unique_violation(&error, TABLE, &["isbn"]) {
        LibraryError::IsbnTaken(isbn.to_owned())
    } else {
        error.into()
    }
}

/// The books with one of these ISBNs.
pub(crate) async fn with_isbns<'a>(
    connection: &impl ConnectionTrait,
    isbns: impl Iterator<Item = &'a str>,
) -> Result<Vec<Book>, DbErr> {
    let rows = Entity::find().filter(Column::Isbn.is_in(isbns)).all(connection).await?;
    Ok(rows.into_iter().map(Book::from).collect())
}

/// Adds these books; one whose ISBN is there already is changed instead. No ISBN twice.
pub(crate) async fn upsert(unit: &WriteUnit, books: &[Details<'_>], now: Timestamp) -> Result<(), DbErr> {
    if books.is_empty() {
        return Ok(());
    }
    let rows = books.iter().map(|details| entity::row(*details, now));
    let change = OnConflict::column(Column::Isbn)
        .update_columns([
            Column::Title,
            Column::Author,
            Column::TitleWords,
            Column::AuthorWords,
            Column::PublishedDate,
            Column::PublishedOrder,
            Column::UpdatedAt,
        ])
        .value(Column::Version, Expr::col((Entity, Column::Version)).add(1))
        .to_owned();
    Entity::insert_many(rows).on_conflict(change).exec_without_returning(unit).await.map(drop)
}

/// Up to `most` books with larger ids than `last`, ascending.
pub(crate) async fn after(
    connection: &impl ConnectionTrait,
    last: BookId,
    most: u64,
) -> Result<Vec<Book>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.gt(last.number()))
        .order_by_asc(Column::Id)
        .limit(most)
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(Book::from).collect())
}

/// A page of the books that pass `filter`.
pub(crate) async fn list(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    filter: &Filter,
    paging: &Paging<BookOrder>,
) -> Result<Page<Book>, LibraryError> {
    let books = filtered(dialect, filter);
    let wanted = Wanted { count: page::count_of(books.clone()), books, key: Key::Order(paging.sort) };
    page::page(connection, wanted, paging).await
}

/// A page of the books in whose title or author each of `words` begins a word.
pub(crate) async fn search(
    connection: &impl ConnectionTrait,
    dialect: Dialect,
    words: &[String],
    paging: &Paging<SearchOrder>,
) -> Result<Page<Book>, LibraryError> {
    page::page(connection, with_words(dialect, words, paging.sort), paging).await
}

fn with_words(dialect: Dialect, words: &[String], order: SearchOrder) -> Wanted {
    Wanted {
        books: WORDS.matches(dialect, words).into_condition(),
        count: WORDS.count(dialect, words),
        key: match order {
            SearchOrder::Relevance => Key::Rank(relevance(words)),
            SearchOrder::By(order) => Key::Order(order),
        },
    }
}

/// How well a book matches that has every one of `words` somewhere; 0 is best.
/// The tiers of the title, then 4: every word begins a word of the author, and
/// 5: the words are spread over title and author.
fn relevance(words: &[String]) -> Expr {
    rank(tiers_of(Column::TitleWords, words).into_iter().chain([begins_words(Column::AuthorWords, words)]))
}

fn filtered(dialect: Dialect, filter: &Filter) -> Condition {
    let Filter { title, author, published_from, published_to } = filter;
    let mut condition = Condition::all();
    for (column, text) in [(Column::TitleWords, title), (Column::AuthorWords, author)] {
        if let Some(words) = text.as_ref().map(SearchText::words) {
            // The index knows both columns as one; it finds the few rows that LIKE then reads.
            condition = condition.add(WORDS.matches(dialect, &words)).add(begins_words(column, &words));
        }
    }
    if let Some(from) = published_from {
        condition = condition.add(Column::PublishedOrder.gte(published_order(*from)));
    }
    if published_from.is_some() || published_to.is_some() {
        let to = published_to.map_or(UNKNOWN_DAY - 1, published_order);
        condition = condition.add(Column::PublishedOrder.lte(to));
    }
    condition
}
