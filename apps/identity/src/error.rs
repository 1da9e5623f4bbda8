//! What can go wrong with accounts.

use mainstay_auth::{PasswordsError, TokenError};
use mainstay_core::problem::STALE;
use mainstay_core::{Faults, Problem};
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

mainstay_core::problems! {
    /// Wrong name or wrong password; which of them is not told.
    pub INVALID_CREDENTIALS = 401 "invalid_credentials", "Wrong name or password",
        "No active account has this name (or e-mail address) with this password. Which of the two is wrong is not told.";
    /// Somebody has this address.
    pub EMAIL_TAKEN = 409 "email_taken", "E-mail address taken",
        "An account with this e-mail address exists already. Sign in, or use another address.";
    /// Somebody has this name.
    pub USERNAME_TAKEN = 409 "username_taken", "Username taken",
        "An account with this username exists already. Choose another.";
    /// A one-time token that is expired, used, revoked or was never given.
    pub TOKEN_INVALID = 410 "token_invalid", "The link is not valid any more",
        "The token has expired, was used or revoked, or never existed. Ask for a new one.";
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
    /// The one-time token opens nothing.
    #[error("the token is not valid any more")]
    TokenInvalid,
    /// The client's condition does not hold.
    #[error("the request's condition does not hold")]
    Precondition(Problem),
    /// Passwords could not be hashed or checked.
    #[error("the password could not be processed")]
    Passwords(#[from] PasswordsError),
    /// No token could be signed.
    #[error("no token could be signed")]
    Token(#[from] TokenError),
    /// The database failed.
    #[error("account storage failed")]
    Db(#[from] DbErr),
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Invalid(faults) => faults.into(),
            AccountError::InvalidCredentials => INVALID_CREDENTIALS.because("Wrong name or password."),
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
            AccountError::TokenInvalid => {
                TOKEN_INVALID.because("The token has expired, was used, or never existed.")
            }
            AccountError::Precondition(problem) => problem,
            AccountError::Passwords(error) => error.into(),
            AccountError::Token(error) => Self::internal(error),
            AccountError::Db(error) => error.into_problem(),
        }
    }
}
