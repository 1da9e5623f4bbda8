//! What can go wrong with accounts.

use std::time::Duration;

use mainstay_app::HookError;
pub(crate) use mainstay_app::{LAST_ADMIN, TOKEN_INVALID};
use mainstay_auth::{PasswordsError, TokenError};
use mainstay_core::problem::{NOT_FOUND, OVERLOADED, STALE, UNAVAILABLE};
use mainstay_core::{Faults, Problem};
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

use crate::keys::LookError;

mainstay_core::problems! {
    /// Wrong name or wrong password; which of them is not told.
    pub INVALID_CREDENTIALS = 401 "invalid_credentials", "Wrong name or password",
        "No active account has this name (or e-mail address) with this password. Which of the two is wrong is not told.";
    /// Too many failures; even the right password does not get through.
    pub LOGIN_LOCKED = 429 "login_locked", "Too many failed sign-ins",
        "There were too many wrong passwords for this account, or from this address. Even the right one is refused until the seconds in `Retry-After` have passed. Resetting the password ends an account's lock at once (not an address's).";
    /// The password is right, but the address was never proven.
    pub EMAIL_NOT_VERIFIED = 403 "email_not_verified", "E-mail address not verified",
        "The password is right, but the account's e-mail address must be proven first. Open the link in the mail, or ask for another.";
    /// A refresh token that opens nothing.
    pub INVALID_REFRESH_TOKEN = 401 "invalid_refresh_token", "The refresh token is not valid",
        "The refresh token has expired, was used already, or its session has ended. Sign in again.";
    /// Somebody has this address.
    pub EMAIL_TAKEN = 409 "email_taken", "E-mail address taken",
        "An account with this e-mail address exists already. Sign in, or use another address.";
    /// Somebody has this name.
    pub USERNAME_TAKEN = 409 "username_taken", "Username taken",
        "An account with this username exists already. Choose another.";
    /// A user's API keys are bounded in number.
    pub TOO_MANY_API_KEYS = 409 "too_many_api_keys", "Too many API keys",
        "One can have at most 50 API keys at a time. Revoke one that is not needed any more.";
    /// An API key that is not there, or somebody else's.
    pub API_KEY_NOT_FOUND = 404 "api_key_not_found", "API key not found",
        "You have no API key with this id. It may have been revoked.";
    /// A service that is not there.
    pub SERVICE_NOT_FOUND = 404 "service_not_found", "Service not found",
        "No service has this id. It may have been revoked.";
    /// Accounts are made by invitation here.
    pub INVITATION_REQUIRED = 403 "invitation_required", "By invitation only",
        "Accounts are made by invitation here. Send the token from the invitation's mail as `invitation_token`.";
    /// An account that is not there.
    pub USER_NOT_FOUND = 404 "user_not_found", "User not found",
        "No account has this id. It may have been removed.";
}

/// Why something could not be done with an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Fields break rules.
    #[error("the input breaks rules")]
    Invalid(Faults),
    /// Wrong name or password.
    #[error("wrong name or password")]
    InvalidCredentials,
    /// Too many failures; for how much longer.
    #[error("too many failed sign-ins")]
    Locked(Duration),
    /// Too many attempts for one account at once.
    #[error("too many sign-ins for one account at once")]
    Crowded,
    /// The password is right, but the address was never proven.
    #[error("the e-mail address is not verified")]
    EmailNotVerified,
    /// The refresh token opens nothing.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The user has no such session.
    #[error("the session does not exist or has ended")]
    SessionNotFound,
    /// Somebody has this address.
    #[error("an account with this e-mail address exists already")]
    EmailTaken,
    /// Somebody has this name.
    #[error("an account with this username exists already")]
    UsernameTaken,
    /// The account is gone.
    #[error("the account does not exist any more")]
    Gone,
    /// Somebody changed the account first.
    #[error("the account was changed in the meantime")]
    Stale,
    /// The user has as many API keys as one can have.
    #[error("there are too many API keys already")]
    TooManyApiKeys,
    /// The user has no such API key.
    #[error("the API key does not exist")]
    ApiKeyNotFound,
    /// There is no such service.
    #[error("the service does not exist")]
    ServiceNotFound,
    /// Accounts are made by invitation.
    #[error("an account takes an invitation")]
    InvitationRequired,
    /// There is no such account.
    #[error("the account does not exist")]
    NotFound,
    /// Nobody would be left to administer.
    #[error("this is the last administrator")]
    LastAdmin,
    /// The password that was to prove who asks is wrong. Names the field that it came in.
    #[error("the password is wrong")]
    WrongPassword(&'static str),
    /// The one-time token opens nothing.
    #[error("the token is not valid any more")]
    TokenInvalid,
    /// Another app does not let it happen.
    #[error("another app refuses")]
    Refused(Problem),
    /// The client's condition does not hold.
    #[error("the request's condition does not hold")]
    Precondition(Problem),
    /// Passwords could not be hashed or checked.
    #[error("the password could not be processed")]
    Passwords(#[from] PasswordsError),
    /// No token could be signed.
    #[error("no token could be signed")]
    Token(#[from] TokenError),
    /// The signing keys could not be looked up.
    #[error("the signing keys are not to be had")]
    Keys(#[from] LookError),
    /// The database failed.
    #[error("account storage failed")]
    Db(#[from] DbErr),
}

impl AccountError {
    /// A wrong password as a fault of the field that it came in: who sent it is signed in,
    /// so 401 would tell them the wrong thing.
    pub(crate) fn in_field(self, field: &'static str) -> Self {
        match self {
            Self::InvalidCredentials => Self::WrongPassword(field),
            other => other,
        }
    }
}

impl From<HookError> for AccountError {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Refused(problem) => Self::Refused(problem),
            HookError::Db(error) => Self::Db(error),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Invalid(faults) => faults.into(),
            AccountError::InvalidCredentials => INVALID_CREDENTIALS.because("Wrong name or password."),
            AccountError::Locked(remaining) => {
                Self::retry_later(&LOGIN_LOCKED, "Too many failed sign-ins.", whole_seconds(remaining))
            }
            AccountError::Crowded => {
                Self::retry_later(&OVERLOADED, "Too many sign-ins for one account at once.", 2)
            }
            AccountError::EmailNotVerified => {
                EMAIL_NOT_VERIFIED.because("The account's e-mail address must be verified before signing in.")
            }
            AccountError::InvalidRefreshToken => {
                INVALID_REFRESH_TOKEN.because("The refresh token has expired, was used, or never existed.")
            }
            AccountError::SessionNotFound => NOT_FOUND.because("You have no session with this id."),
            AccountError::EmailTaken => EMAIL_TAKEN
                .because("An account with this e-mail address exists already.")
                .with_fault("email", "email_taken", "is taken"),
            AccountError::UsernameTaken => USERNAME_TAKEN
                .because("An account with this username exists already.")
                .with_fault("username", "username_taken", "is taken"),
            AccountError::Gone => {
                mainstay_core::problem::UNAUTHENTICATED.because("The account does not exist any more.")
            }
            AccountError::Stale => STALE.because("Somebody changed the account first."),
            AccountError::TooManyApiKeys => TOO_MANY_API_KEYS.because("You have 50 API keys already."),
            AccountError::ApiKeyNotFound => API_KEY_NOT_FOUND.because("You have no API key with this id."),
            AccountError::ServiceNotFound => SERVICE_NOT_FOUND.because("No service has this id."),
            AccountError::InvitationRequired => {
                INVITATION_REQUIRED.because("An account takes an invitation here.")
            }
            AccountError::NotFound => USER_NOT_FOUND.because("No account has this id."),
            AccountError::LastAdmin => {
                LAST_ADMIN.because("The account is the last that administers the installation.")
            }
            AccountError::WrongPassword(field) => {
                Faults::one(field, "wrong_password", "is not your present password").into()
            }
            AccountError::TokenInvalid => {
                TOKEN_INVALID.because("The token has expired, was used, or never existed.")
            }
            AccountError::Refused(problem) | AccountError::Precondition(problem) => problem,
            AccountError::Passwords(error) => error.into(),
            AccountError::Token(error) => Self::internal(error),
            AccountError::Keys(LookError::Db(error)) | AccountError::Db(error) => error.into_problem(),
            AccountError::Keys(error @ LookError::Damaged(_)) => {
                Self::retry_later(&UNAVAILABLE, "Sign-ins can't be signed at the moment.", 10)
                    .caused_by(error)
            }
        }
    }
}

/// Rounded up: who comes back then is not early.
pub(crate) fn whole_seconds(remaining: Duration) -> u32 {
    u32::try_from(remaining.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}
