use mainstay_auth::Roles;
use mainstay_core::{Timestamp, UserId};

mainstay_core::uuid_ids! {
    /// Names a session: one sign-in on one device.
    pub struct SessionId;
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
