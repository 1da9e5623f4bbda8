//! The endpoints, under `/api/v1/organizations`, `/api/v1/websites` and `/api/v1/invitations`.
//!
//! Every one is open to whoever is signed in; what they may do there says the
//! [matrix](crate::domain::matrix).

mod invitations;
mod members;
mod organizations;
mod websites;

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use mainstay_auth::{Caller, Role};
use mainstay_core::Problem;
use mainstay_core::problem::NOT_FOUND;
use mainstay_http::{ApiRouter, Tag};

use crate::repo::access::Asker;
use crate::service::{Tenancy, Who};

pub(crate) const TAG: Tag = Tag {
    name: "Organizations",
    about: "Organizations, their websites, who belongs to them and who is invited.",
};

/// What a call counts that sends a mail to whomever one names, by API and by page.
pub(crate) const A_MAIL: u32 = 10;

pub(crate) fn routes() -> ApiRouter<Tenancy> {
    let router = organizations::routes(ApiRouter::new(TAG));
    let router = members::routes(router);
    let router = websites::routes(router);
    invitations::routes(router)
}

/// The one who asks.
pub(crate) fn who(caller: &Caller) -> Result<Who, Problem> {
    let user = caller.require_user()?;
    let asker = Asker { user_id: user.user_id, is_system_admin: user.roles.grants(Role::Admin) };
    Ok(Who { actor: caller.actor(), asker })
}

/// The two ids in the path: of a thing, and of the thing that it is in first. Ones that can't be ids name
/// nothing: 404.
#[derive(Debug)]
pub(crate) struct Within<A, B>(pub(crate) A, pub(crate) B);

impl<S: Send + Sync, A: FromStr, B: FromStr> FromRequestParts<S> for Within<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = || NOT_FOUND.because("Nothing has this id.");
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| missing())?;
        let mut texts = params.iter().map(|(_, text)| text);
        let (outer, inner) = texts.next().zip(texts.next()).ok_or_else(missing)?;
        outer.parse().ok().zip(inner.parse().ok()).map(|(a, b)| Self(a, b)).ok_or_else(missing)
    }
}
