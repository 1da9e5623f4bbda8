//! The steps of the schema, oldest first. One that was released is never edited.

mod m20261121100000_bookmarks;

use mainstay::prelude::Migration;

pub(crate) fn all() -> Vec<Migration> {
    vec![m20261121100000_bookmarks::migration()]
}
