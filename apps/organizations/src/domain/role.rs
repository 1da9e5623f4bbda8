//! What a member is in an organization, or of a website.

use std::fmt;

use mainstay_core::input::Text;
use mainstay_core::{Invalid, Sorting, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The role of a member. What it lets one do says [`matrix`](super::matrix).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Belongs to it.
    User,
    /// Looks after it and its members.
    Admin,
}

impl MemberRole {
    /// Every role, weakest first.
    pub const ALL: [Self; 2] = [Self::User, Self::Admin];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// From the database. A name that this version does not know is the weakest role.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|role| role.name() == name).unwrap_or(Self::User)
    }
}

impl Text for MemberRole {
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "enum": Self::ALL.map(Self::name)})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            Invalid::new("unknown_role", format!("must be one of {}", Self::ALL.map(Self::name).join(", ")))
        })
    }
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Somebody who belongs to an organization or a website.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// As what.
    pub role: MemberRole,
    /// Since when.
    pub joined_at: Timestamp,
}

/// The orders that members are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberOrder {
    /// By when they joined.
    JoinedAt,
    /// By role: admins first.
    Role,
}

impl Sorting for MemberOrder {
    const ALL: &'static [(&'static str, Self)] = &[("joined_at", Self::JoinedAt), ("role", Self::Role)];
    const DEFAULT: (Self, bool) = (Self::JoinedAt, false);
}
