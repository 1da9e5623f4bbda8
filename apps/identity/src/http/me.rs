//! The caller's own account.

use axum::extract::State;
use mainstay_auth::{Access, Caller, Role, Roles};
use mainstay_core::{Patch, Problem, Timestamp};
use mainstay_http::{ApiRouter, IfMatch, Tagged, Valid, routes};
use serde::Serialize;
use utoipa::ToSchema;

use super::register::PersonName;
use crate::domain::{User, Username};
use crate::error::USERNAME_TAKEN;
use crate::service::{Accounts, ProfilePatch};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router.route(routes!(get_me), Access::SignedIn, &[]).route(
        routes!(update_me),
        Access::SignedIn,
        &[&USERNAME_TAKEN],
    )
}

mainstay_core::input! {
    /// What to change of one's own account.
    pub struct UpdateMe {
        /// The name the account goes by.
        username: Patch<Username>,
        /// Your name; `null` removes it.
        name: Patch<Option<PersonName>>,
    }
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    #[schema(inline)]
    pub(super) id: mainstay_core::UserId,
    /// E-mail address.
    email: String,
    /// The name the account goes by.
    username: String,
    /// The person's name.
    name: Option<String>,
    /// System roles.
    #[schema(value_type = Vec<Role>, inline)]
    roles: Roles,
    /// Whether the address was proven.
    email_verified: bool,
    /// Whether the account may sign in.
    is_active: bool,
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let User { id, email, username, name, roles, email_verified, is_active, version: _, created_at } =
            user;
        Self { id, email, username, name, roles, email_verified, is_active, created_at }
    }
}

/// The caller's own account.
#[utoipa::path(get, path = "/auth/me", responses(
    (status = 200, description = "The account", body = UserView, headers(("ETag" = String, description = "Its version"))),
    (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
))]
async fn get_me(State(accounts): State<Accounts>, caller: Caller) -> Result<Tagged<UserView>, Problem> {
    let user = accounts.get(caller.require_user()?.user_id).await?;
    let version = user.version;
    Ok(Tagged::changed(user.into(), version))
}

/// Change the caller's own account.
#[utoipa::path(patch, path = "/auth/me", request_body = UpdateMe,
    params(("If-Match" = Option<String>, Header, description = "The ETag of the state to change")),
    responses((status = 200, description = "The account", body = UserView, headers(("ETag" = String, description = "Its new version"))))
)]
async fn update_me(
    State(accounts): State<Accounts>,
    caller: Caller,
    condition: IfMatch,
    Valid(body): Valid<UpdateMe>,
) -> Result<Tagged<UserView>, Problem> {
    let UpdateMe { username, name } = body;
    let name = match name {
        Patch::Keep => Patch::Keep,
        Patch::Set(name) => Patch::Set(name.map(PersonName::into_string)),
    };
    let id = caller.require_user()?.user_id;
    let user =
        accounts.update_profile(&caller.actor(), id, ProfilePatch { username, name }, &condition).await?;
    let version = user.version;
    Ok(Tagged::changed(user.into(), version))
}
