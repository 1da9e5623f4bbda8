//! The steps of the library's schema, oldest first. One that was released is never edited.

mod m20261121090000_books;

use mainstay_db::Migration;

/// Every step.
#[must_use]
pub fn all() -> Vec<Migration> {
    vec![m20261121090000_books::MIGRATION]
}
