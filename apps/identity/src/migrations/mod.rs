//! The steps of the identity tables.

mod m20261121080000_accounts;
mod m20261121140100_sign_ins;
mod m20261121140200_credentials;
mod m20261121140400_people;
mod m20261121160000_browsers;
mod m20261128090000_key_limits;

use mainstay_db::Migration;

/// Every step, oldest first.
pub(crate) fn all() -> Vec<Migration> {
    vec![
        m20261121080000_accounts::migration(),
        m20261121140100_sign_ins::migration(),
        m20261121140200_credentials::migration(),
        m20261121140400_people::migration(),
        m20261121160000_browsers::migration(),
        m20261128090000_key_limits::migration(),
    ]
}
