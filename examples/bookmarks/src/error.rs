//! What can go wrong with bookmarks, and what a client hears of it.

use mainstay::prelude::*;
use sea_orm::DbErr;

use crate::domain::BookmarkId;

problems! {
    /// The caller has no bookmark with this id.
    pub BOOKMARK_NOT_FOUND = 404 "bookmark_not_found", "Bookmark not found",
        "You have no bookmark with this id. Somebody else's bookmarks are not shown to you.";
    /// The caller has a bookmark with this address.
    pub URL_TAKEN = 409 "url_taken", "Address kept already",
        "You have a bookmark with this address already. Change that one instead.";
}

/// Why something could not be done with a bookmark.
#[derive(Debug, thiserror::Error)]
pub enum BookmarkError {
    /// The caller has no such bookmark.
    #[error("the caller has no bookmark {0}")]
    NotFound(BookmarkId),
    /// The caller has a bookmark with this address.
    #[error("the caller has a bookmark with this address")]
    UrlTaken,
    /// The request contradicts the present state, or itself.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The database failed.
    #[error("storage of bookmarks failed")]
    Db(#[from] DbErr),
}

/// What the service and the queries give.
pub type Result<T, E = BookmarkError> = std::result::Result<T, E>;

impl From<BookmarkError> for Problem {
    fn from(error: BookmarkError) -> Self {
        match error {
            BookmarkError::NotFound(id) => BOOKMARK_NOT_FOUND.because(format!("You have no bookmark {id}.")),
            BookmarkError::UrlTaken => URL_TAKEN
                .because("You have a bookmark with this address already.")
                .with_fault("url", URL_TAKEN.code, "is the address of another bookmark"),
            BookmarkError::Refused(problem) => problem,
            BookmarkError::Db(error) => error.into_problem(),
        }
    }
}
