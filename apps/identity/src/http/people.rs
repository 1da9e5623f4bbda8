//! Accounts, for those who run the installation, and their removal.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mainstay_app::{Authored, EmbeddedPost};
use mainstay_auth::{Access, Caller, Role, Roles};
use mainstay_core::input::Text;
use mainstay_core::{Invalid, Page, Paging, Patch, Problem, UserId};
use mainstay_http::{
    ApiRouter, Id, IdempotencyKey, Idempotent, IfMatch, IfNoneMatch, Listing, RouteGroup, Tagged, Valid,
    ValidQuery, routes,
};

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::me::UserView;
use crate::domain::{Email, Password, User, UserOrder};
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

/// What else to show of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// The blog posts that its owner wrote.
    Posts,
}

impl Text for Include {
    fn schema() -> Value {
        json!({"type": "string", "enum": ["posts"]})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text == "posts" { Ok(Self::Posts) } else { Err(Invalid::new("not_allowed", "must be posts")) }
    }
}

/// An account, and what its owner wrote if that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserWithPosts)]
pub(crate) struct PersonView {
    #[serde(flatten)]
    user: UserView,
    /// With `include=posts`: how many blog posts there are, drafts included. A key without a scope for the
    /// blog is told of published posts alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    post_count: Option<u64>,
    /// With `include=posts`: the newest 100 of them, the newest first. Their text is at `/api/v1/blog/posts/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    posts: Option<Vec<EmbeddedPost>>,
}

impl PersonView {
    fn of(user: User, authored: Option<&mut HashMap<UserId, Authored>>) -> Self {
        let user = UserView::from(user);
        let theirs = authored.map(|authored| authored.remove(&user.id).unwrap_or_default());
        let (post_count, posts) = theirs.map(|Authored { post_count, posts }| (post_count, posts)).unzip();
        Self { user, post_count, posts }
    }
}

/// Staff see everybody's drafts, but a key shows them only to whom it lets into the blog.
fn may_see_drafts(caller: &Caller) -> bool {
    let scopes = caller.user().and_then(|user| user.scopes());
    scopes.is_none_or(|scopes| scopes.allow("blog", &Method::GET))
}

mainstay_core::input! {
    /// Which accounts to list.
    pub(crate) struct ListUsers {
        /// Paging.
        paging: Paging<UserOrder>,
        /// Only accounts whose address or username begins with this, whatever its case.
        q: Option<Beginning>,
        /// Only accounts that were given this role.
        role: Option<Role>,
        /// Only accounts that may sign in, or that may not.
        is_active: Option<bool>,
        /// `posts` adds `posts` and `post_count` to each account.
        include: Option<Include>,
    }
}

/// List accounts.
#[utoipa::path(get, path = "/users", params(ListUsers), responses(
    (status = 200, description = "A page of accounts", body = Page<PersonView>),
))]
async fn list_users(
    State(accounts): State<Accounts>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListUsers>,
) -> Result<Listing<PersonView>, Problem> {
    let ListUsers { paging, q, role, is_active, include } = query;
    let filter = PeopleFilter { q: q.map(Beginning::into_string), role, is_active };
    let actor = caller.actor();
    let page = accounts.list_users(&actor, filter, &paging).await?;
    let mut authored = match include {
        None => None,
        Some(Include::Posts) => {
            let ids: Vec<_> = page.items.iter().map(|user| user.id).collect();
            Some(accounts.written_by(&actor, &ids, may_see_drafts(&caller)).await?)
        }
    };
    Ok(Listing { page: page.map(|user| PersonView::of(user, authored.as_mut())), cache: None })
}

mainstay_core::input! {
    /// What to show of an account.
    pub(crate) struct GetUser {
        /// `posts` adds `posts` and `post_count`. The answer then has no ETag.
        include: Option<Include>,
    }
}

/// Get an account.
#[utoipa::path(get, path = "/users/{id}",
    params(("id" = String, Path, description = "Names it", format = "uuid"), GetUser),
    responses(
        (status = 200, description = "The account", body = PersonView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
    )
)]
async fn get_user(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<UserId>,
    ValidQuery(GetUser { include }): ValidQuery<GetUser>,
    seen: IfNoneMatch,
) -> Result<Response, Problem> {
    let actor = caller.actor();
    let user = accounts.get_user(&actor, id).await?;
    let version = user.version;
    match include {
        None => {
            let body = PersonView::of(user, None);
            Ok(Tagged { seen: Some(seen), ..Tagged::changed(body, version) }.into_response())
        }
        // Posts come and go without the account's version.
        Some(Include::Posts) => {
            let mut authored = accounts.written_by(&actor, &[id], may_see_drafts(&caller)).await?;
            Ok(Json(PersonView::of(user, Some(&mut authored))).into_response())
        }
    }
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
