//! Proving an address, and passwords that were forgotten or are changed.

use axum::extract::State;
use axum::http::StatusCode;
use mainstay_auth::{Access, Caller, Via};
use mainstay_core::Problem;
use mainstay_http::{ApiRouter, RouteGroup, Valid, routes};

use crate::domain::{Email, NewPassword, Password};
use crate::error::{LOGIN_LOCKED, TOKEN_INVALID};
use crate::service::Accounts;

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .route(routes!(verify_email), Access::Anybody, &[&TOKEN_INVALID])
        .in_group(RouteGroup::Auth)
        .route(routes!(resend_verification), Access::Anybody, &[])
        .in_group(RouteGroup::Auth)
        .route(routes!(forgot_password), Access::Anybody, &[])
        .in_group(RouteGroup::Auth)
        .route(routes!(reset_password), Access::Anybody, &[&TOKEN_INVALID])
        .in_group(RouteGroup::Auth)
        .route(routes!(change_password), Access::Session, &[&LOGIN_LOCKED])
        .in_group(RouteGroup::Auth)
}

mainstay_core::text_type! {
    /// A token from a mail.
    pub struct MailedToken(1..=200);
}

mainstay_core::input! {
    /// The proof that an address is one's own.
    pub struct VerifyEmail {
        /// The token from the mail.
        token: MailedToken,
    }
}

mainstay_core::input! {
    /// An address.
    pub struct EmailAddress {
        /// E-mail address.
        email: Email,
    }
}

mainstay_core::input! {
    /// A new password, for somebody who forgot the old one.
    pub struct ResetPassword {
        /// The token from the mail.
        token: MailedToken,
        /// 8 to 256 characters of any kind. Not among the most common passwords, not your address or name.
        new_password: NewPassword,
    }
}

mainstay_core::input! {
    /// A new password, for somebody who knows the old one.
    pub struct ChangePassword {
        /// The password as it is.
        current_password: Password,
        /// 8 to 256 characters of any kind. Not among the most common passwords, not your address or name.
        new_password: NewPassword,
    }
}

/// Verify an e-mail address.
///
/// With the token from the mail that registering sends. It works once, for 24 hours.
#[utoipa::path(post, path = "/auth/verify-email", request_body = VerifyEmail, responses(
    (status = 204, description = "The address is verified"),
))]
async fn verify_email(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<VerifyEmail>,
) -> Result<StatusCode, Problem> {
    accounts.verify_email(&caller.actor(), body.token.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ask for another verification mail.
///
/// The answer is the same whether an account has this address or not. At most one
/// mail a minute is sent.
#[utoipa::path(post, path = "/auth/verify-email/resend", request_body = EmailAddress, responses(
    (status = 202, description = "If an unverified account has this address, a mail is on its way"),
))]
async fn resend_verification(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<EmailAddress>,
) -> Result<StatusCode, Problem> {
    accounts.resend_verification(&caller.actor(), &body.email).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Ask for a mail to choose another password.
///
/// The answer is the same whether an account has this address or not. At most one
/// mail a minute is sent.
#[utoipa::path(post, path = "/auth/password/forgot", request_body = EmailAddress, responses(
    (status = 202, description = "If an account has this address, a mail is on its way"),
))]
async fn forgot_password(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<EmailAddress>,
) -> Result<StatusCode, Problem> {
    accounts.forgot_password(&caller.actor(), &body.email).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Choose another password with a token from a mail.
///
/// Ends every session of the account, and a lock after failed sign-ins. Sign in afterwards.
#[utoipa::path(post, path = "/auth/password/reset", request_body = ResetPassword, responses(
    (status = 204, description = "The password is the new one"),
))]
async fn reset_password(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<ResetPassword>,
) -> Result<StatusCode, Problem> {
    accounts.reset_password(&caller.actor(), body.token.as_str(), &body.new_password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change the caller's password.
///
/// Ends every other session of the account. A wrong present password is a 422, and
/// counts like a failed sign-in.
#[utoipa::path(post, path = "/auth/password/change", request_body = ChangePassword, responses(
    (status = 204, description = "The password is the new one"),
))]
async fn change_password(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let user = caller.require_user()?;
    let session = match &user.via {
        Via::Session(session) => Some((*session).into()),
        Via::ApiKey { .. } => None,
    };
    let ChangePassword { current_password, new_password } = body;
    let actor = caller.actor();
    accounts.change_password(&actor, user.user_id, session, &current_password, &new_password).await?;
    Ok(StatusCode::NO_CONTENT)
}
