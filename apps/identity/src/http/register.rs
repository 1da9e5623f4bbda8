//! New accounts.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mainstay_auth::{Access, Caller, Role, Roles};
use mainstay_core::{Problem, ProblemKind};
use mainstay_http::{ApiRouter, Created, ETag, RouteGroup, Valid, routes};

use super::me::UserView;
use super::recovery::MailedToken;
use crate::domain::{Email, NewPassword, User, Username};
use crate::error::{EMAIL_TAKEN, INVITATION_REQUIRED, TOKEN_INVALID, USERNAME_TAKEN};
use crate::service::{Accounts, Brought, NewUser, Registered};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    const TAKEN: [&ProblemKind; 3] = [&TOKEN_INVALID, &EMAIL_TAKEN, &USERNAME_TAKEN];
    router
        .route(routes!(register), Access::Anybody, &[&[&INVITATION_REQUIRED], &TAKEN[..]].concat())
        .in_group(RouteGroup::Auth)
        .route(routes!(setup), Access::Anybody, &TAKEN)
        .in_group(RouteGroup::Auth)
}

mainstay_core::text_type! {
    /// A person's name: 1 to 100 characters.
    pub struct PersonName(1..=100);
}

mainstay_core::text_type! {
    /// An organization's name: 1 to 100 characters.
    pub struct OrganizationName(1..=100);
}

mainstay_core::input! {
    /// An account to make.
    pub struct Register {
        /// E-mail address. Unique, whatever its case.
        email: Email,
        /// 8 to 256 characters of any kind. Not among the most common passwords, not your address or name.
        password: NewPassword,
        /// The name the account goes by: 3 to 50 letters, digits, `.`, `_` and `-`. Made from the address if absent.
        username: Option<Username>,
        /// Your name.
        name: Option<PersonName>,
        /// The name of your organization, made together with the account. One is made from your name if absent.
        organization_name: Option<OrganizationName>,
        /// The token from an invitation's mail. Needed where accounts are made by invitation only; it proves the
        /// address, too.
        invitation_token: Option<MailedToken>,
    }
}

mainstay_core::input! {
    /// The first administrator.
    pub struct Setup {
        /// The token that the server printed when it started.
        token: String,
        /// E-mail address.
        email: Email,
        /// Password.
        password: NewPassword,
    }
}

/// Create an account.
///
/// The account has the role `user`, and its address gets a mail with a link that verifies it. Where
/// `identity.conceal_accounts` is set, the answer is 202 whether the address was free or not: what came of it
/// stands in the mail.
#[utoipa::path(post, path = "/auth/register", request_body = Register, responses(
    (status = 201, description = "The account", body = UserView, headers(("Location" = String, description = "Where the account's owner finds it"), ("ETag" = String, description = "Its version"))),
    (status = 202, description = "What came of it stands in the mail (identity.conceal_accounts)"),
))]
async fn register(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<Register>,
) -> Result<Response, Problem> {
    let Register { email, password, username, name, organization_name, invitation_token } = body;
    let new = NewUser {
        email,
        password,
        username,
        name: name.map(PersonName::into_string),
        roles: Roles::of(&[Role::User]),
        email_verified: false,
    };
    let invitation = invitation_token.map(MailedToken::into_string);
    let organization = organization_name.map(OrganizationName::into_string);
    match accounts.sign_up(&caller.actor(), new, Brought { invitation, organization }).await? {
        Registered::Account(user) => Ok(created(user).into_response()),
        Registered::Concealed => Ok(StatusCode::ACCEPTED.into_response()),
    }
}

fn created(user: User) -> Created<UserView> {
    Created { location: "/api/v1/auth/me".to_owned(), etag: Some(ETag(user.version)), body: user.into() }
}

/// Create the first administrator.
///
/// Takes the one-time token that `mainstay serve` prints while there is none.
#[utoipa::path(post, path = "/setup", request_body = Setup, responses(
    (status = 201, description = "The administrator", body = UserView, headers(("Location" = String, description = "Where the account's owner finds it"), ("ETag" = String, description = "Its version"))),
))]
async fn setup(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<Setup>,
) -> Result<impl IntoResponse, Problem> {
    let Setup { token, email, password } = body;
    let new = NewUser {
        email,
        password,
        username: None,
        name: None,
        roles: Roles::default(),
        email_verified: true,
    };
    let user = accounts.setup(&caller.actor(), &token, new).await?;
    Ok(created(user))
}
