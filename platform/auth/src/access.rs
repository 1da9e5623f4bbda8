//! System roles and the rule beside each route.

use std::fmt;

use mainstay_core::Problem;
use mainstay_core::problem::{FORBIDDEN, UNAUTHENTICATED};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Caller;

/// A system role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everybody with an account.
    User,
    /// Manages the catalog, the library and incidents.
    Staff,
    /// May do everything.
    Admin,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 3] = [Self::User, Self::Staff, Self::Admin];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles. On the wire a list of names; in the database the names
/// joined by commas, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// The set of these.
    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | 1 << (*role as u8)))
    }

    /// Whether `role` is in it. An admin has every role, staff are users.
    #[must_use]
    pub fn grants(self, role: Role) -> bool {
        self.0 >> (role as u8) != 0
    }

    /// The roles that were given, weakest first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.0 & (1 << (*role as u8)) != 0)
    }

    /// As the database keeps it.
    #[must_use]
    pub fn to_text(self) -> String {
        self.iter().map(Role::name).collect::<Vec<_>>().join(",")
    }

    /// From the database. Names that this version does not know grant nothing.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let roles: Vec<_> = text
            .split(',')
            .filter_map(|name| Role::ALL.into_iter().find(|role| role.name() == name))
            .collect();
        Self::of(&roles)
    }
}

impl Serialize for Roles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Role>::deserialize(deserializer).map(|roles| Self::of(&roles))
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Everybody with an account.
    SignedIn,
    /// Staff and admins.
    Staff,
    /// Admins.
    Admin,
}

impl Access {
    /// Its name in lists of routes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SignedIn => "signed_in",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }

    /// The role it takes; `None` where nobody has to sign in.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Public => None,
            Self::SignedIn => Some(Role::User),
            Self::Staff => Some(Role::Staff),
            Self::Admin => Some(Role::Admin),
        }
    }

    /// Whether `caller` may.
    ///
    /// # Errors
    /// 401 if they would have to sign in, 403 if they did and it is not enough.
    pub fn check(self, caller: &Caller) -> Result<(), Problem> {
        match (self.role(), caller.user()) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(unauthenticated("This needs a sign-in.", None)),
            (Some(role), Some(user)) if user.roles.grants(role) => Ok(()),
            (Some(role), Some(_)) => Err(FORBIDDEN.because(format!("This needs the role {role}."))),
        }
    }
}

/// 401 with the challenge that RFC 6750 §3 asks for. `error` is `invalid_token`
/// for a token that was refused, `None` where none was sent.
pub(crate) fn unauthenticated(detail: &'static str, error: Option<&'static str>) -> Problem {
    let challenge = match error {
        Some(_) => http::HeaderValue::from_static(r#"Bearer realm="mainstay", error="invalid_token""#),
        None => http::HeaderValue::from_static(r#"Bearer realm="mainstay""#),
    };
    UNAUTHENTICATED.because(detail).with_header(http::header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stronger_role_has_the_weaker_ones_rights() {
        let staff = Roles::of(&[Role::Staff]);
        assert!(staff.grants(Role::User) && staff.grants(Role::Staff) && !staff.grants(Role::Admin));
        assert!(Role::ALL.into_iter().all(|role| Roles::of(&[Role::Admin]).grants(role)));
        assert!(Role::ALL.into_iter().all(|role| !Roles::default().grants(role)));
    }

    #[test]
    fn roles_round_trip_and_unknown_names_grant_nothing() {
        let roles = Roles::of(&[Role::Admin, Role::User]);
        assert_eq!(roles.to_text(), "user,admin");
        assert_eq!(Roles::from_text(&roles.to_text()), roles);
        assert_eq!(Roles::from_text("root,,user"), Roles::of(&[Role::User]));
        assert_eq!(serde_json::to_string(&roles).unwrap(), r#"["user","admin"]"#);
    }
}
