//! System roles and the rule beside each route.

use std::fmt;

use mainstay_core::input::Text;
use mainstay_core::problem::{FORBIDDEN, INSUFFICIENT_SCOPE, UNAUTHENTICATED};
use mainstay_core::{Invalid, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Caller, Scope, Via};

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

impl Text for Role {
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "enum": Self::ALL.map(Self::name)})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            Invalid::new("unknown_role", format!("must be one of {}", Self::ALL.map(Self::name).join(", ")))
        })
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

/// Who may use a route, and with what.
///
/// Users prove themselves by the access token of a session or by an API key.
/// Either acts with the user's present roles; a key is held to its scopes
/// besides, by the router, on every route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody. Who sends credentials is checked all the same.
    Public,
    /// Everybody, and credentials that are not valid count as none: for the way to new ones, which
    /// clients walk with the old ones still in their headers.
    Anybody,
    /// Everybody with an account; an API key by any scope at all. For what only says who asks.
    Identified,
    /// Everybody with an account.
    SignedIn,
    /// Everybody with an account, by a session only: for what would let an API key outlive
    /// or outgrow itself (credentials, passwords, sessions, deleting oneself).
    Session,
    /// Staff and admins.
    Staff,
    /// Admins.
    Admin,
    /// Admins, by a session only: for what would let an API key outlive or outgrow itself.
    AdminSession,
    /// Other programs, by HTTP Basic with a service credential. No user passes.
    Service,
}

/// The kinds of credentials that a request can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An access token.
    Bearer,
    /// An API key.
    ApiKey,
    /// A service credential.
    Basic,
    /// The cookie of a browser's session.
    Cookie,
}

impl Access {
    /// Every rule.
    pub const ALL: [Self; 9] = [
        Self::Public,
        Self::Anybody,
        Self::Identified,
        Self::SignedIn,
        Self::Session,
        Self::Staff,
        Self::Admin,
        Self::AdminSession,
        Self::Service,
    ];

    /// Its name in lists of routes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Anybody => "anybody",
            Self::Identified => "identified",
            Self::SignedIn => "signed_in",
            Self::Session => "session",
            Self::Staff => "staff",
            Self::Admin => "admin",
            Self::AdminSession => "admin_session",
            Self::Service => "service",
        }
    }

    /// The role it takes; `None` where no user has to sign in.
    #[must_use]
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Public | Self::Anybody | Self::Service => None,
            Self::Identified | Self::SignedIn | Self::Session => Some(Role::User),
            Self::Staff => Some(Role::Staff),
            Self::Admin | Self::AdminSession => Some(Role::Admin),
        }
    }

    /// Whether everybody passes.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Public | Self::Anybody)
    }

    /// Whether an API key must have a scope that covers the route.
    #[must_use]
    pub const fn asks_for_scopes(self) -> bool {
        self.takes_api_keys() && !matches!(self, Self::Identified)
    }

    /// Whether an API key can pass, given the scope.
    #[must_use]
    pub const fn takes_api_keys(self) -> bool {
        match self {
            Self::Public | Self::Anybody | Self::Identified | Self::SignedIn | Self::Staff | Self::Admin => {
                true
            }
            Self::Session | Self::AdminSession | Self::Service => false,
        }
    }

    /// Whether credentials of this kind are worth a look. An API key is, where only a session
    /// will do: who is who should hear 403.
    #[must_use]
    pub const fn considers(self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Public | Self::Anybody, _) | (Self::Service, Kind::Basic) => true,
            (Self::Service, Kind::Bearer | Kind::ApiKey | Kind::Cookie) => false,
            (_, Kind::Bearer | Kind::ApiKey | Kind::Cookie) => true,
            (_, Kind::Basic) => false,
        }
    }

    /// Whether `caller` may, as far as this rule goes. Scopes are the router's.
    ///
    /// # Errors
    /// 401 if they would have to sign in, 403 if they did and it is not enough.
    pub fn check(self, caller: &Caller) -> Result<(), Problem> {
        let role = match (self, self.role()) {
            (Self::Public | Self::Anybody, _) => return Ok(()),
            (Self::Service, _) | (_, None) => {
                return caller.service().map(|_| ()).ok_or_else(|| self.unauthenticated(Refusal::Missing));
            }
            (_, Some(role)) => role,
        };
        let user = caller.user().ok_or_else(|| self.unauthenticated(Refusal::Missing))?;
        if !user.roles.grants(role) {
            return Err(FORBIDDEN.because(format!("This needs the role {role}.")));
        }
        match (self, &user.via) {
            (Self::Session | Self::AdminSession, Via::ApiKey { .. }) => {
                Err(FORBIDDEN.because("This needs a sign-in: an API key can't do it."))
            }
            _ => Ok(()),
        }
    }

    /// 401 with the challenge of this route: RFC 6750 §3, or RFC 7617 for services.
    #[must_use]
    pub fn unauthenticated(self, refusal: Refusal) -> Problem {
        let challenge = match (self, refusal) {
            (Self::Service, _) => r#"Basic realm="mainstay", charset="UTF-8""#,
            // RFC 6750 §3.1: who sent nothing is not told of an error.
            (_, Refusal::Missing) => r#"Bearer realm="mainstay""#,
            (_, Refusal::Refused) => r#"Bearer realm="mainstay", error="invalid_token""#,
        };
        let detail = match (self, refusal) {
            (Self::Service, Refusal::Missing) => "This needs a service credential, by HTTP Basic.",
            (Self::Service, Refusal::Refused) => "The service credential is not valid or was revoked.",
            (_, Refusal::Missing) => "This needs a sign-in.",
            (_, Refusal::Refused) => "The access token or key is not valid, has expired or was revoked.",
        };
        UNAUTHENTICATED
            .because(detail)
            .with_header(http::header::WWW_AUTHENTICATE, http::HeaderValue::from_static(challenge))
    }
}

/// What was wrong with a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There were none.
    Missing,
    /// They are not valid here.
    Refused,
}

/// 403 with the challenge that RFC 6750 §3.1 asks for, naming the scope that would do.
#[must_use]
pub fn insufficient_scope(needed: &Scope) -> Problem {
    let problem = INSUFFICIENT_SCOPE.because(format!("This needs an API key with the scope {needed}."));
    let challenge = format!(r#"Bearer realm="mainstay", error="insufficient_scope", scope="{needed}""#);
    match http::HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.with_header(http::header::WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::RequestId;
    use uuid::Uuid;

    use super::*;
    use crate::{Principal, Scopes, SignedIn};

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

    #[test]
    fn each_rule_lets_in_whom_it_is_for() {
        let caller = |principal| Caller::new(principal, RequestId::from_random([7; 16]), None);
        let user = |role, via| {
            let user_id = Uuid::from_u128(1).into();
            Some(Principal::User(SignedIn { user_id, roles: Roles::of(&[role]), via, ends_at: None }))
        };
        let key = || Via::ApiKey { id: Uuid::from_u128(3), scopes: Scopes::all(), limit: None };
        let session = Via::Session(Uuid::from_u128(2));
        let callers = [
            caller(None),
            caller(user(Role::User, session.clone())),
            caller(user(Role::User, key())),
            caller(user(Role::Staff, session)),
            caller(user(Role::Admin, key())),
            caller(Some(Principal::Service(Uuid::from_u128(4).into()))),
        ];
        let table = [
            (Access::Public, [200; 6]),
            (Access::Anybody, [200; 6]),
            (Access::Identified, [401, 200, 200, 200, 200, 401]),
            (Access::SignedIn, [401, 200, 200, 200, 200, 401]),
            (Access::Session, [401, 200, 403, 200, 403, 401]),
            (Access::Staff, [401, 403, 403, 200, 200, 401]),
            (Access::Admin, [401, 403, 403, 403, 200, 401]),
            (Access::AdminSession, [401, 403, 403, 403, 403, 401]),
            (Access::Service, [401, 401, 401, 401, 401, 200]),
        ];
        assert_eq!(table.map(|(access, _)| access), Access::ALL);
        for (access, expected) in table {
            let found = callers.each_ref().map(|caller| match access.check(caller) {
                Ok(()) => 200,
                Err(problem) => problem.kind().status,
            });
            assert_eq!(found, expected, "{}", access.name());
        }
    }

    #[test]
    fn a_missing_scope_is_named_in_the_challenge() {
        let problem = insufficient_scope(&Scope::needed("library", &http::Method::PUT));
        let reply = axum_core::response::IntoResponse::into_response(problem);
        assert_eq!(reply.status(), 403);
        assert_eq!(
            reply.headers()["www-authenticate"],
            r#"Bearer realm="mainstay", error="insufficient_scope", scope="library:write""#
        );
    }
}
