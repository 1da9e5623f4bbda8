//! Accounts, for those who run the installation, and their removal.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use mainstay_auth::{Access, Caller, Role, Roles};
use mainstay_core::{Page, Paging, Patch, Problem, UserId};
use mainstay_http::{
    ApiRouter, Id, IdempotencyKey, Idempotent, IfMatch, IfNoneMatch, Listing, RouteGroup, Tagged, Valid,
    ValidQuery, routes,
};

use super::me::UserView;
use crate::domain::{Email, Password, UserOrder};
use crate::error::{AccountError, LAST_ADMIN, LOGIN_LOCKED, USER_NOT_FOUND};
use crate::repo::PeopleFilter;
use crate::service::{AccountPatch, Accounts};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .route(routes!(list_users), Access::Staff, &[])
        .route(routes!(get_user), Access::Staff, &[&USER_NOT_FOUND])
        .route(routes!(update_user), Access::AdminSession, &[&USER_NOT_FOUND, &LAST_ADMIN])
        .route(routes!(delete_user), Access::AdminSession, &[&USER_NOT_FOUND, &LAST_ADMIN])
        .route(routes!(delete_me), Access::Session, &[&LAST_ADMIN, &LOGIN_LOCKED])
        .in_group(RouteGroup::Auth)
        .route(routes!(invite_user), Access::Admin, &[])
        // A mail to whomever one names.
        .at_cost(10)
}

mainstay_core::text_type! {
    /// What a name or an address begins with.
    pub struct Beginning(1..=254);
}

mainstay_core::input! {
    /// Which accounts to list.
    pub struct ListUsers {
        /// Paging.
        paging: Paging<UserOrder>,
        /// Only accounts whose address or username begins with this, whatever its case.
        q: Option<Beginning>,
        /// Only accounts that were given this role.
        role: Option<Role>,
        /// Only accounts that may sign in, or that may not.
        is_active: Option<bool>,
    }
}

/// List accounts.
#[utoipa::path(get, path = "/users", params(ListUsers), responses(
    (status = 200, description = "A page of accounts", body = Page<UserView>),
))]
async fn list_users(
    State(accounts): State<Accounts>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListUsers>,
) -> Result<Listing<UserView>, Problem> {
    let ListUsers { paging, q, role, is_active } = query;
    let filter = PeopleFilter { q: q.map(Beginning::into_string), role, is_active };
    let page = accounts.list_users(&caller.actor(), filter, &paging).await?;
    Ok(Listing { page: page.map(UserView::from), cache: None })
}

/// Get an account.
#[utoipa::path(get, path = "/users/{id}",
    params(("id" = String, Path, description = "Names it", format = "uuid")),
    responses(
        (status = 200, description = "The account", body = UserView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
    )
)]
async fn get_user(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<UserId>,
    seen: IfNoneMatch,
) -> Result<Tagged<UserView>, Problem> {
    let user = accounts.get_user(&caller.actor(), id).await?;
    let version = user.version;
    Ok(Tagged { seen: Some(seen), ..Tagged::changed(user.into(), version) })
}

mainstay_core::input! {
    /// What to change of an account.
    pub struct UpdateUser {
        /// System roles.
        roles: Patch<Vec<Role>>,
        /// Whether the account may sign in. Switching it off ends its sessions.
        is_active: Patch<bool>,
    }
}

/// Change an account's roles or state.
///
/// Takes effect everywhere within a second, and at once on the node that answers.
#[utoipa::path(patch, path = "/users/{id}", request_body = UpdateUser,
    params(
        ("id" = String, Path, description = "Names it", format = "uuid"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state to change"),
    ),
    responses((status = 200, description = "The account", body = UserView, headers(("ETag" = String, description = "Its new version"))))
)]
async fn update_user(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<UserId>,
    condition: IfMatch,
    Valid(body): Valid<UpdateUser>,
) -> Result<Tagged<UserView>, Problem> {
    let UpdateUser { roles, is_active } = body;
    let roles = match roles {
        Patch::Keep => Patch::Keep,
        // Everybody with an account is a user.
        Patch::Set(roles) => Patch::Set(Roles::of(&[&roles[..], &[Role::User]].concat())),
    };
    let user =
        accounts.update_user(&caller.actor(), id, AccountPatch { roles, is_active }, &condition).await?;
    let version = user.version;
    Ok(Tagged::changed(user.into(), version))
}

/// Remove an account.
///
/// Its sessions and keys die; name, address and username are erased; what the
/// person wrote stays under "deleted user".
#[utoipa::path(delete, path = "/users/{id}",
    params(("id" = String, Path, description = "Names it", format = "uuid")),
    responses((status = 204, description = "It is gone"))
)]
async fn delete_user(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<UserId>,
) -> Result<StatusCode, Problem> {
    accounts.delete_user(&caller.actor(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

mainstay_core::input! {
    /// The proof that it is the owner who asks.
    pub struct DeleteMe {
        /// Your password.
        password: Password,
    }
}

/// Remove the caller's own account.
///
/// Your sessions and keys die; name, address and username are erased; what you
/// wrote stays under "deleted user".
#[utoipa::path(delete, path = "/auth/me", request_body = DeleteMe, responses(
    (status = 204, description = "It is gone"),
))]
async fn delete_me(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<DeleteMe>,
) -> Result<StatusCode, Problem> {
    let id = caller.require_user()?.user_id;
    accounts.delete_oneself(&caller.actor(), id, &body.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

mainstay_core::input! {
    /// Somebody to invite.
    pub struct InviteUser {
        /// Their e-mail address.
        email: Email,
    }
}

/// Invite somebody to make an account.
///
/// They get a mail with a token that works once, for seven days, and only for this
/// address. Registering with it needs no further proof of the address.
#[utoipa::path(post, path = "/users/invitations", request_body = InviteUser,
    params(IdempotencyKey),
    responses((status = 202, description = "The mail is on its way"))
)]
async fn invite_user(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Idempotent<InviteUser>,
) -> Result<Response, Problem> {
    request
        .run(async |body| {
            let unit = accounts.db.write(&caller.actor()).await?;
            accounts.invite(&unit, &body.email);
            Ok::<_, AccountError>((unit, StatusCode::ACCEPTED))
        })
        .await
}
