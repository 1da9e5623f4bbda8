//! What can go wrong in the library, and what a client hears of it.

use mainstay_core::Problem;
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

use crate::domain::book::BookId;

mainstay_core::problems! {
    /// No book has this id.
    pub BOOK_NOT_FOUND = 404 "book_not_found", "Book not found",
        "No book has this id. It may have been deleted.";
    /// Another book has this ISBN.
    pub ISBN_TAKEN = 409 "isbn_taken", "ISBN taken",
        "Another book has this ISBN already. Look it up with `GET /api/v1/books/search` and change it, or check the number.";
}

/// Why the library could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// There is no such book.
    #[error("book {0} does not exist")]
    NotFound(BookId),
    /// Another book has this ISBN.
    #[error("another book has the ISBN {0}")]
    IsbnTaken(String),
    /// The request contradicts the present state, or itself: a stale
    /// `If-Match`, a cursor that this list never gave out.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The database failed.
    #[error("the library's storage failed")]
    Db(#[from] DbErr),
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::NotFound(id) => BOOK_NOT_FOUND.because(format!("Book {id} does not exist.")),
            LibraryError::IsbnTaken(isbn) => ISBN_TAKEN
                .because(format!("Another book has the ISBN {isbn}."))
                .with_fault("isbn", ISBN_TAKEN.code, "belongs to another book"),
            LibraryError::Refused(problem) => problem,
            LibraryError::Db(error) => error.into_problem(),
        }
    }
}
