//! Accounts to look around with.

use mainstay_auth::{Role, Roles};
use mainstay_core::Actor;

use crate::domain::{Email, NewPassword, Username};
use crate::error::AccountError;
use crate::service::{Accounts, NewUser};

const PASSWORD: &str = "look-around-42";

pub(crate) async fn seed(accounts: &Accounts) -> anyhow::Result<Vec<String>> {
    for (name, full_name, role) in [
        ("admin", "Ada Admin", Role::Admin),
        ("staff", "Sam Staff", Role::Staff),
        ("user", "Uma User", Role::User),
    ] {
        let told = |invalid: mainstay_core::Invalid| anyhow::anyhow!("{}", invalid.message);
        let new = NewUser {
            email: Email::parse(&format!("{name}@example.com")).map_err(told)?,
            password: NewPassword::parse(PASSWORD).map_err(told)?,
            username: Some(Username::parse(name).map_err(told)?),
            name: Some(full_name.to_owned()),
            roles: Roles::of(&[role]),
            email_verified: true,
        };
        match accounts.register(&Actor::system("demo"), new).await {
            Ok(_) | Err(AccountError::EmailTaken) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(vec![format!("Sign in as admin@example.com (or staff@, user@) with the password {PASSWORD}")])
}
