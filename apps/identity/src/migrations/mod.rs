//! The steps of the identity tables.

mod m20261121080000_accounts;

use mainstay_db::Migration;

/// Every step, oldest first.
pub(crate) fn all() -> Vec<Migration> {
    vec![m20261121080000_accounts::migration()]
}
