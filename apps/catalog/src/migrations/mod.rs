//! The steps of the catalog's schema, oldest first. One that was released is never edited.

mod m20261128011500_catalog;
mod m20261128025500_category_tree;

use mainstay_db::Migration;

/// Every step.
#[must_use]
pub fn all() -> Vec<Migration> {
    vec![m20261128011500_catalog::MIGRATION, m20261128025500_category_tree::MIGRATION]
}
