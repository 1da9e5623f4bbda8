//! The one who makes a request.

use std::net::IpAddr;

use mainstay_core::problem::UNAVAILABLE;
use mainstay_core::{Actor, ActorKind, Problem, RequestId, UserId};
use uuid::Uuid;

use crate::Roles;
use crate::access::unauthenticated;

/// A signed-in user, as a request sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub user_id: UserId,
    /// What they may do.
    pub roles: Roles,
    /// The session that the token belongs to.
    pub session_id: Uuid,
}

/// The one who makes a request: in its extensions, put there when the route's
/// access rule was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Option<SignedIn>,
    request_id: RequestId,
    address: Option<IpAddr>,
}

impl Caller {
    /// A caller. For the middleware and for tests.
    #[must_use]
    pub fn new(user: Option<SignedIn>, request_id: RequestId, address: Option<IpAddr>) -> Self {
        Self { user, request_id, address }
    }

    /// The user, if they are signed in.
    #[must_use]
    pub fn user(&self) -> Option<&SignedIn> {
        self.user.as_ref()
    }

    /// The user, where a sign-in is needed.
    ///
    /// # Errors
    /// 401 if nobody is signed in.
    pub fn require_user(&self) -> Result<&SignedIn, Problem> {
        self.user().ok_or_else(|| unauthenticated("This needs a sign-in.", None))
    }

    /// The id of the request.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// Who acts, for the database.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let kind = self.user.as_ref().map_or(ActorKind::Anonymous, |user| ActorKind::User(user.user_id));
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

/// What a request brought along to prove who makes it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Credentials<'a> {
    /// `Authorization: Bearer …`.
    Bearer(&'a str),
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

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused => unauthenticated(
                "The access token is not valid, has expired or was revoked.",
                Some("invalid_token"),
            ),
            AuthError::Unavailable(_) => {
                Self::retry_later(&UNAVAILABLE, "The access token can't be checked at the moment.", 2)
                    .caused_by(error)
            }
        }
    }
}

/// Turns credentials into a user. Implemented by the identity app.
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync {
    /// Who these credentials belong to.
    ///
    /// # Errors
    /// [`AuthError`].
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<SignedIn, AuthError>;
}
