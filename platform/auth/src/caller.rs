//! The one who makes a request.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mainstay_core::problem::UNAVAILABLE;
use mainstay_core::{Actor, ActorKind, Problem, RequestId, ServiceId, Timestamp, UserId};
use uuid::Uuid;

use crate::access::{Access, Kind, Refusal};
use crate::{Roles, Scopes};

/// By what a user is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The access token, or the cookie, of this session.
    Session(Uuid),
    /// An API key.
    ApiKey {
        /// Which.
        id: Uuid,
        /// What it may be used for.
        scopes: Scopes,
        /// The name of the rate limit that an administrator gave it, in place of every user's.
        limit: Option<Arc<str>>,
    },
}

/// A signed-in user, as a request sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub user_id: UserId,
    /// What they may do.
    pub roles: Roles,
    /// By what they proved it.
    pub via: Via,
    /// When that ends by itself. `None`: never.
    pub ends_at: Option<Timestamp>,
}

impl SignedIn {
    /// The session that they are signed in by. `None` if it is an API key.
    #[must_use]
    pub fn session_id(&self) -> Option<Uuid> {
        match self.via {
            Via::Session(id) => Some(id),
            Via::ApiKey { .. } => None,
        }
    }

    /// What an API key may be used for. `None` for a session, which is not restricted.
    #[must_use]
    pub fn scopes(&self) -> Option<&Scopes> {
        match &self.via {
            Via::Session(_) => None,
            Via::ApiKey { scopes, .. } => Some(scopes),
        }
    }
}

/// Who credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A user.
    User(SignedIn),
    /// Another program.
    Service(ServiceId),
}

/// The one who makes a request: nobody known, a user or a service. In its
/// extensions, put there when the route's access rule was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Option<Principal>,
    request_id: RequestId,
    address: Option<IpAddr>,
}

impl Caller {
    /// A caller; `None` is nobody known. For the middleware and for tests.
    #[must_use]
    pub fn new(principal: Option<Principal>, request_id: RequestId, address: Option<IpAddr>) -> Self {
        Self { principal, request_id, address }
    }

    /// The user, if they are signed in.
    #[must_use]
    pub fn user(&self) -> Option<&SignedIn> {
        match &self.principal {
            Some(Principal::User(user)) => Some(user),
            Some(Principal::Service(_)) | None => None,
        }
    }

    /// The user, where a sign-in is needed.
    ///
    /// # Errors
    /// 401 if nobody is signed in.
    pub fn require_user(&self) -> Result<&SignedIn, Problem> {
        self.user().ok_or_else(|| Access::SignedIn.unauthenticated(Refusal::Missing))
    }

    /// The service, if one asks.
    #[must_use]
    pub fn service(&self) -> Option<ServiceId> {
        match self.principal {
            Some(Principal::Service(id)) => Some(id),
            Some(Principal::User(_)) | None => None,
        }
    }

    /// The service, where one is needed.
    ///
    /// # Errors
    /// 401 if none asks.
    pub fn require_service(&self) -> Result<ServiceId, Problem> {
        self.service().ok_or_else(|| Access::Service.unauthenticated(Refusal::Missing))
    }

    /// The session that the caller is signed in by, where one is needed.
    ///
    /// # Errors
    /// 401 if nobody is signed in, or somebody by an API key. A route with
    /// [`Access::Session`] never gets there.
    pub fn require_session(&self) -> Result<Uuid, Problem> {
        let session = self.require_user()?.session_id();
        session.ok_or_else(|| Access::Session.unauthenticated(Refusal::Refused))
    }

    /// The id of the request.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// Whether nobody is known to ask: what such a caller gets, everybody may have.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.principal.is_none()
    }

    /// Who acts, for the database.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let kind = match &self.principal {
            None => ActorKind::Anonymous,
            Some(Principal::User(user)) => ActorKind::User(user.user_id),
            Some(Principal::Service(id)) => ActorKind::Service(*id),
        };
        Actor { kind, request_id: Some(self.request_id.clone()), address: self.address }
    }
}

impl<S: Send + Sync> axum_core::extract::FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Problem> {
        // A route that was added past the router's access rules has no caller, and must not work.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::internal("this route has no access rule"))
    }
}

/// How every API key begins, so that it is told from an access token (and found
/// by whoever looks for leaked secrets).
pub const API_KEY_PREFIX: &str = "mst_";

/// What a request brought along to prove who makes it. Never printed.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Credentials<'a> {
    /// `Authorization: Bearer …` with an access token.
    Bearer(&'a str),
    /// `Authorization: Bearer mst_…` or `X-Api-Key: mst_…`.
    ApiKey(&'a str),
    /// `Authorization: Basic …` with a service credential.
    Basic {
        /// Its public half, `svc_…`.
        id: &'a str,
        /// Its secret half.
        secret: &'a str,
    },
    /// The cookie of a browser's session. Taken by pages only, never by the API: a browser sends it
    /// along with whatever another site makes it send.
    Cookie(&'a str),
}

impl<'a> Credentials<'a> {
    /// What stands behind `Bearer`: an API key if it begins like one, else an access token.
    #[must_use]
    pub fn bearer(token: &'a str) -> Self {
        if token.starts_with(API_KEY_PREFIX) { Self::ApiKey(token) } else { Self::Bearer(token) }
    }

    /// Their kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bearer(_) => Kind::Bearer,
            Self::ApiKey(_) => Kind::ApiKey,
            Self::Basic { .. } => Kind::Basic,
            Self::Cookie(_) => Kind::Cookie,
        }
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.kind())
    }
}

/// Why credentials are refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// They are not valid, or no longer. Why is nobody's business.
    #[error("the credentials are not valid")]
    Refused,
    /// They could not be checked.
    #[error("the credentials could not be checked")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AuthError {
    /// What a client hears on a route with this access rule.
    #[must_use]
    pub fn on(self, access: Access) -> Problem {
        match self {
            Self::Refused => access.unauthenticated(Refusal::Refused),
            Self::Unavailable(_) => {
                let detail = "The credentials can't be checked at the moment.";
                Problem::retry_later(&UNAVAILABLE, detail, 2).caused_by(self)
            }
        }
    }
}

/// Turns credentials into a user or a service. Implemented by the identity app.
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync {
    /// Who these credentials belong to.
    ///
    /// # Errors
    /// [`AuthError`].
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, AuthError>;

    /// Whether these were made here, whether or not they still count: told by themselves, without
    /// asking anybody. `false` if that would take a look-up.
    ///
    /// An address that has sent too many that are none is still heard with those that were.
    fn made_here(&self, credentials: Credentials<'_>) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_beginning_and_credentials_are_never_printed() {
        assert_eq!(Credentials::bearer("mst_abc").kind(), Kind::ApiKey);
        assert_eq!(Credentials::bearer("eyJ.mst_").kind(), Kind::Bearer);
        let all = [
            Credentials::bearer("mst_hidden"),
            Credentials::bearer("hidden"),
            Credentials::Basic { id: "hidden", secret: "hidden" },
            Credentials::Cookie("hidden"),
        ];
        assert!(!format!("{all:?}").contains("hidden"));
    }
}
