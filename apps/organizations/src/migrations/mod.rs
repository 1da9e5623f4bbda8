//! The steps of the schema, oldest first. One that was released is never edited.

mod m20261121150000_organizations;

use mainstay_db::Migration;

/// Every step.
pub(crate) fn all() -> Vec<Migration> {
    vec![m20261121150000_organizations::MIGRATION]
}
