//! Bookmarks over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use mainstay::prelude::*;

use crate::domain::{Bookmark, BookmarkId, BookmarkOrder, BookmarkPatch, NewBookmark, SearchText};
use crate::error::{BOOKMARK_NOT_FOUND, URL_TAKEN};
use crate::service::Bookmarks;

const BOOKMARKS: Tag = Tag { name: "Bookmarks", about: "Pages worth finding again. You alone see yours." };

pub(crate) fn routes() -> ApiRouter<Bookmarks> {
    ApiRouter::new(BOOKMARKS)
        .route(routes!(list_bookmarks), Access::SignedIn, &[])
        .route(routes!(create_bookmark), Access::SignedIn, &[&URL_TAKEN])
        .route(routes!(get_bookmark), Access::SignedIn, &[&BOOKMARK_NOT_FOUND])
        .route(routes!(update_bookmark), Access::SignedIn, &[&BOOKMARK_NOT_FOUND, &URL_TAKEN])
        .route(routes!(delete_bookmark), Access::SignedIn, &[&BOOKMARK_NOT_FOUND])
}

input! {
    /// Which bookmarks to list.
    pub struct ListBookmarks {
        /// Only those in whose title each of these words begins a word, whatever its case and accents.
        q: Option<SearchText>,
        /// Which page of them.
        paging: Paging<BookmarkOrder>,
    }
}

/// Your bookmarks.
#[utoipa::path(get, path = "/bookmarks", params(ListBookmarks), responses(
    (status = 200, description = "A page of your bookmarks", body = Page<Bookmark>),
))]
async fn list_bookmarks(
    State(bookmarks): State<Bookmarks>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListBookmarks>,
) -> Result<Listing<Bookmark>, Problem> {
    let page = bookmarks.list(&caller, query.q.as_ref(), &query.paging).await?;
    Ok(Listing { page, cache: None })
}

/// Keep a bookmark.
#[utoipa::path(post, path = "/bookmarks", request_body = NewBookmark, responses(
    (status = 201, description = "The bookmark", body = Bookmark, headers(
        ("Location" = String, description = "Where it is"), ("ETag" = String, description = "Its version"))),
))]
async fn create_bookmark(
    State(bookmarks): State<Bookmarks>,
    caller: Caller,
    Valid(new): Valid<NewBookmark>,
) -> Result<Created<Bookmark>, Problem> {
    let bookmark = bookmarks.create(&caller, new).await?;
    let location = format!("/api/v1/bookmarks/{}", bookmark.id);
    Ok(Created { location, etag: Some(ETag(bookmark.version)), body: bookmark })
}

/// One of your bookmarks.
#[utoipa::path(get, path = "/bookmarks/{id}", params(
    ("id" = inline(BookmarkId), Path, description = "Its id"),
), responses(
    (status = 200, description = "The bookmark", body = Bookmark, headers(
        ("ETag" = String, description = "Its version"))),
    (status = 304, description = "You have it already: its ETag is the one in `If-None-Match`"),
))]
async fn get_bookmark(
    State(bookmarks): State<Bookmarks>,
    caller: Caller,
    Id(id): Id<BookmarkId>,
    seen: IfNoneMatch,
) -> Result<Tagged<Bookmark>, Problem> {
    let bookmark = bookmarks.get(&caller, id).await?;
    Ok(Tagged { etag: ETag(bookmark.version), body: bookmark, seen: Some(seen), cache: None })
}

/// Change one of your bookmarks.
#[utoipa::path(patch, path = "/bookmarks/{id}", request_body = BookmarkPatch, params(
    ("id" = inline(BookmarkId), Path, description = "Its id"),
    ("If-Match" = Option<String>, Header, description = "The ETag of the state to change"),
), responses(
    (status = 200, description = "The bookmark", body = Bookmark, headers(
        ("ETag" = String, description = "Its new version"))),
))]
async fn update_bookmark(
    State(bookmarks): State<Bookmarks>,
    caller: Caller,
    Id(id): Id<BookmarkId>,
    if_match: IfMatch,
    Valid(patch): Valid<BookmarkPatch>,
) -> Result<Tagged<Bookmark>, Problem> {
    let bookmark = bookmarks.update(&caller, id, &if_match, &patch).await?;
    let version = bookmark.version;
    Ok(Tagged::changed(bookmark, version))
}

/// Delete one of your bookmarks.
#[utoipa::path(delete, path = "/bookmarks/{id}", params(
    ("id" = inline(BookmarkId), Path, description = "Its id"),
), responses(
    (status = 204, description = "It is gone"),
))]
async fn delete_bookmark(
    State(bookmarks): State<Bookmarks>,
    caller: Caller,
    Id(id): Id<BookmarkId>,
) -> Result<StatusCode, Problem> {
    bookmarks.delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
