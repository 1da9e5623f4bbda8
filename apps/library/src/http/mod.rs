//! The library's endpoints, under `/api/v1/books`.

mod export;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::NaiveDate;
use mainstay_auth::{Access, Caller};
use mainstay_core::text::SearchText;
use mainstay_core::{Page, Paging, Problem, Timestamp};
use mainstay_http::{
    ApiRouter, Created, ETag, Id, IfMatch, IfNoneMatch, Listing, PublicCache, Tag, Tagged, Valid, ValidQuery,
    routes,
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::domain::book::{Book, BookId, BookPatch, NewBook};
use crate::domain::listing::{BookOrder, Filter, SearchOrder};
use crate::error::{BOOK_NOT_FOUND, ISBN_TAKEN};
use crate::service::Books;

pub(crate) fn routes(books: Books) -> ApiRouter {
    const TAG: Tag =
        Tag { name: "Library", about: "Books: everybody reads and searches, staff add and change." };
    ApiRouter::new(TAG)
        .route(routes!(list_books), Access::Public, &[])
        .route(routes!(create_book), Access::Staff, &[&ISBN_TAKEN])
        .route(routes!(search_books), Access::Public, &[])
        .route(routes!(export::export_books), Access::Public, &[])
        // The whole library at once.
        .at_cost(10)
        .route(routes!(get_book), Access::Public, &[&BOOK_NOT_FOUND])
        .route(routes!(replace_book), Access::Staff, &[&BOOK_NOT_FOUND, &ISBN_TAKEN])
        .route(routes!(update_book), Access::Staff, &[&BOOK_NOT_FOUND, &ISBN_TAKEN])
        .route(routes!(delete_book), Access::Staff, &[&BOOK_NOT_FOUND])
        .with_state(books)
}

/// A book.
#[derive(Debug, Serialize, ToSchema)]
pub struct BookView {
    /// Names it.
    #[schema(value_type = i64, minimum = 1)]
    id: BookId,
    /// Its title.
    #[schema(min_length = 1, max_length = 150)]
    title: String,
    /// Who wrote it.
    #[schema(min_length = 1, max_length = 100)]
    author: String,
    /// The day it was published; `null` if that is not known.
    #[serde(serialize_with = "date")]
    #[schema(value_type = Option<String>, format = Date, required)]
    published_date: Option<NaiveDate>,
    /// The 13 digits of its ISBN-13.
    #[schema(pattern = "^97[89][0-9]{10}$", example = "9780141439518")]
    isbn: String,
    /// When it was added.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

impl From<Book> for BookView {
    fn from(book: Book) -> Self {
        let Book { id, title, author, published_date, isbn, version: _, created_at, updated_at } = book;
        Self { id, title, author, published_date, isbn, created_at, updated_at }
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn date<S: Serializer>(date: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
    match date {
        Some(date) => serializer.collect_str(date),
        None => serializer.serialize_none(),
    }
}

mainstay_core::input! {
    /// Which books to list.
    pub struct ListBooks {
        /// Paging.
        paging: Paging<BookOrder>,
        /// Only books in whose title a word begins with each of these words. Case and accents do not count.
        title: Option<SearchText>,
        /// Only books in whose author a word begins with each of these words.
        author: Option<SearchText>,
        /// Only books published on this day or later.
        published_from: Option<NaiveDate>,
        /// Only books published on this day or earlier.
        published_to: Option<NaiveDate>,
    }
}

/// List books
///
/// A page of the books that pass every filter given.
#[utoipa::path(
    get,
    path = "/books",
    params(ListBooks),
    responses(
        (status = 200, description = "A page of books", body = Page<BookView>),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
async fn list_books(
    State(books): State<Books>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListBooks>,
) -> Result<Listing<BookView>, Problem> {
    let ListBooks { paging, title, author, published_from, published_to } = query;
    let filter = Filter { title, author, published_from, published_to }.checked()?;
    let page = books.list(&caller.actor(), &filter, &paging).await?;
    Ok(Listing { page: page.map(BookView::from), cache: Some(PublicCache::of(&caller)) })
}

mainstay_core::input! {
    /// What to search for.
    pub struct SearchBooks {
        /// Words: a book is found if each of them begins a word of its title or
        /// author. Case, accents and punctuation do not count; the first 16 words do.
        q: SearchText,
        /// Paging.
        paging: Paging<SearchOrder>,
    }
}

/// Search books
///
/// By words and their beginnings, in title and author, the best match first:
/// the title itself; titles that begin with the words; titles that hold them as
/// whole words, then as beginnings; authors; words spread over both.
#[utoipa::path(
    get,
    path = "/books/search",
    params(SearchBooks),
    responses(
        (status = 200, description = "A page of the books found", body = Page<BookView>),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
async fn search_books(
    State(books): State<Books>,
    caller: Caller,
    ValidQuery(SearchBooks { q, paging }): ValidQuery<SearchBooks>,
) -> Result<Listing<BookView>, Problem> {
    let page = books.search(&caller.actor(), &q, &paging).await?;
    Ok(Listing { page: page.map(BookView::from), cache: Some(PublicCache::of(&caller)) })
}

/// Get a book
#[utoipa::path(
    get,
    path = "/books/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the book"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the book as you have it"),
    ),
    responses(
        (status = 200, description = "The book", body = BookView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The book as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn get_book(
    State(books): State<Books>,
    caller: Caller,
    Id(id): Id<BookId>,
    seen: IfNoneMatch,
) -> Result<Tagged<BookView>, Problem> {
    let book = books.get(&caller.actor(), id).await?;
    let (etag, cache) = (ETag(book.version), PublicCache::of(&caller));
    Ok(Tagged { body: book.into(), etag, seen: Some(seen), cache: Some(cache) })
}

/// Add a book
#[utoipa::path(
    post,
    path = "/books",
    request_body = NewBook,
    responses((
        status = 201, description = "The book was added", body = BookView,
        headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
    )),
)]
async fn create_book(
    State(books): State<Books>,
    caller: Caller,
    Valid(new): Valid<NewBook>,
) -> Result<Created<BookView>, Problem> {
    let book = books.create(&caller.actor(), &new).await?;
    Ok(Created {
        location: format!("/api/v1/books/{}", book.id),
        etag: Some(ETag(book.version)),
        body: book.into(),
    })
}

/// Replace a book
///
/// What the body does not mention is forgotten.
#[utoipa::path(
    put,
    path = "/books/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the book"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = NewBook,
    responses((
        status = 200, description = "The book as it is now", body = BookView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
async fn replace_book(
    State(books): State<Books>,
    caller: Caller,
    Id(id): Id<BookId>,
    if_match: IfMatch,
    Valid(new): Valid<NewBook>,
) -> Result<Tagged<BookView>, Problem> {
    let book = books.replace(&caller.actor(), id, &if_match, new).await?;
    let version = book.version;
    Ok(Tagged::changed(book.into(), version))
}

/// Change a book
///
/// What the body does not mention stays as it is.
#[utoipa::path(
    patch,
    path = "/books/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the book"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = BookPatch,
    responses((
        status = 200, description = "The book as it is now", body = BookView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
async fn update_book(
    State(books): State<Books>,
    caller: Caller,
    Id(id): Id<BookId>,
    if_match: IfMatch,
    Valid(patch): Valid<BookPatch>,
) -> Result<Tagged<BookView>, Problem> {
    let book = books.update(&caller.actor(), id, &if_match, patch).await?;
    let version = book.version;
    Ok(Tagged::changed(book.into(), version))
}

/// Delete a book
#[utoipa::path(
    delete,
    path = "/books/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the book"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that you mean to delete"),
    ),
    responses((status = 204, description = "The book is gone")),
)]
async fn delete_book(
    State(books): State<Books>,
    caller: Caller,
    Id(id): Id<BookId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    books.delete(&caller.actor(), id, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}
