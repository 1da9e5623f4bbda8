//! What can go wrong in the feed. Its clients see no codes, so it has none of its own.

use mainstay_core::Problem;
use mainstay_core::problem::NOT_FOUND;
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

/// Why the feed could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// There is no such post.
    #[error("the post does not exist")]
    NotFound,
    /// The database failed.
    #[error("the feed's storage failed")]
    Db(#[from] DbErr),
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::NotFound => NOT_FOUND.because("Post not found"),
            FeedError::Db(error) => error.into_problem(),
        }
    }
}
