//! The steps of the feed's schema, oldest first. One that was released is never edited.

mod m20261128093000_posts;

use mainstay_db::Migration;

/// Every step.
#[must_use]
pub fn all() -> Vec<Migration> {
    vec![m20261128093000_posts::MIGRATION]
}
