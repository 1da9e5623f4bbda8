use mainstay_auth::Roles;
use mainstay_core::{Sorting, Timestamp, UserId};

mainstay_core::uuid_ids! {
    /// Names a session: one sign-in on one device.
    pub struct SessionId;
}

/// The orders that accounts are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserOrder {
    /// By when they were made.
    CreatedAt,
    /// By username.
    Username,
}

impl Sorting for UserOrder {
    const ALL: &'static [(&'static str, Self)] =
        &[("created_at", Self::CreatedAt), ("username", Self::Username)];
    const DEFAULT: (Self, bool) = (Self::CreatedAt, true);
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its address, as given.
    pub email: String,
    /// The name it goes by, as given.
    pub username: String,
    /// The person's name. `None` if they gave none.
    pub name: Option<String>,
    /// System roles.
    pub roles: Roles,
    /// Whether the address was proven.
    pub email_verified: bool,
    /// Whether it may sign in.
    pub is_active: bool,
    /// Counts changes, for ETags and compare-and-set.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}
