//! The steps of the blog's schema, oldest first. One that was released is never edited.

mod m20261128091000_posts;

use mainstay_db::Migration;

/// Every step.
#[must_use]
pub fn all() -> Vec<Migration> {
    vec![m20261128091000_posts::MIGRATION]
}
