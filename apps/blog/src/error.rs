//! What can go wrong in the blog, and what a client hears of it.

use mainstay_core::Problem;
use mainstay_core::problem::FORBIDDEN;
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

use crate::domain::slug::Slug;

mainstay_core::problems! {
    /// There is no such post for this reader.
    pub POST_NOT_FOUND = 404 "post_not_found", "Post not found",
        "There is no such post, or it is a draft of somebody else's. It may have been deleted, or made a draft again.";
    /// Another post has this slug.
    pub SLUG_TAKEN = 409 "slug_taken", "Slug taken",
        "Another post has this slug already; it may be a draft that you can't see. Choose another one, or leave `slug` out of a new post to have one made from the title.";
}

/// Why the blog could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlogError {
    /// There is no such post, or none that this reader may know of.
    #[error("the post does not exist")]
    NotFound,
    /// The post is somebody else's.
    #[error("only the author of a post and administrators may change it")]
    NotTheirs,
    /// Another post has the slug.
    #[error("another post has the slug {0}")]
    SlugTaken(String),
    /// The request contradicts the present state, or itself: a stale `If-Match`, a cursor that this list
    /// never gave out.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The database failed.
    #[error("the blog's storage failed")]
    Db(#[from] DbErr),
}

impl BlogError {
    pub(crate) fn taken(slug: &Slug) -> Self {
        Self::SlugTaken(slug.as_str().to_owned())
    }
}

impl From<BlogError> for Problem {
    fn from(error: BlogError) -> Self {
        match error {
            BlogError::NotFound => POST_NOT_FOUND.because("There is no such post."),
            BlogError::NotTheirs => {
                FORBIDDEN.because("Only its author and administrators may change a post.")
            }
            BlogError::SlugTaken(slug) => SLUG_TAKEN
                .because(format!("Another post has the slug {slug}."))
                .with_fault("slug", SLUG_TAKEN.code, "belongs to another post"),
            BlogError::Refused(problem) => problem,
            BlogError::Db(error) => error.into_problem(),
        }
    }
}
