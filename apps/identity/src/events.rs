//! What identity tells the other apps.

use mainstay_auth::Scopes;
use mainstay_core::event::EventData;
use mainstay_core::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::domain::{ApiKeyId, SessionId};

/// Somebody signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCreated {
    /// The session: one sign-in on one device.
    pub session_id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// How they signed in.
    pub method: SignInMethod,
    /// What they signed in with, as far as it tells: `Firefox on Linux`.
    pub device: String,
    /// The address they came from. `None` if they did not come over a socket.
    pub address: Option<String>,
    /// When the session ends at the latest.
    pub expires_at: Timestamp,
}

impl EventData for SessionCreated {
    const KIND: &'static str = "session.created";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// A session was ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// The session.
    pub session_id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// Why.
    pub reason: RevokeReason,
}

impl EventData for SessionRevoked {
    const KIND: &'static str = "session.revoked";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// How somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    /// With the password, in the API's own JSON.
    Password,
    /// With the password, by the OAuth 2 form.
    OauthPassword,
    /// With the password, on the page for it.
    Browser,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReason {
    /// Its owner signed out there.
    Logout,
    /// Its owner signed out everywhere.
    LogoutAll,
    /// Its owner ended it from the list of sessions.
    Ended,
    /// A refresh token was used a second time: it may have been stolen.
    RefreshReused,
    /// The password was changed.
    PasswordChanged,
    /// The password was reset.
    PasswordReset,
    /// The account was switched off.
    Deactivated,
    /// The account was removed.
    Deleted,
}

/// Somebody made an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRegistered {
    /// The account.
    pub user_id: UserId,
    /// Whether its address is proven already, as after an invitation.
    pub email_verified: bool,
}

impl EventData for UserRegistered {
    const KIND: &'static str = "user.registered";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// Somebody tried to make an account with an address that has one. Told only where
/// accounts are concealed: the owner hears of it by mail, the other one hears nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationRepeated {
    /// The account that has the address.
    pub user_id: UserId,
}

impl EventData for RegistrationRepeated {
    const KIND: &'static str = "user.registration_repeated";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// An administrator invited somebody to make an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationInvited {
    /// Their address.
    pub email: String,
}

impl EventData for RegistrationInvited {
    const KIND: &'static str = "user.invited";

    fn subject(&self) -> String {
        address_subject(&self.email)
    }
}

/// Somebody proved that an account's address is theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailVerified {
    /// The account.
    pub user_id: UserId,
}

impl EventData for EmailVerified {
    const KIND: &'static str = "user.email_verified";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// Somebody asked for another mail to prove an address. Whether it has an account
/// is not looked at before the mail is made, so that nobody can tell from the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationRequested {
    /// The address.
    pub email: String,
}

impl EventData for VerificationRequested {
    const KIND: &'static str = "user.verification_requested";

    fn subject(&self) -> String {
        address_subject(&self.email)
    }
}

/// Somebody asked for a mail to reset a password. Whether the address has an
/// account is not looked at before the mail is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordForgotten {
    /// The address.
    pub email: String,
}

impl EventData for PasswordForgotten {
    const KIND: &'static str = "user.password_forgotten";

    fn subject(&self) -> String {
        address_subject(&self.email)
    }
}

/// An account has a new password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// The account.
    pub user_id: UserId,
    /// How.
    pub via: PasswordChange,
}

impl EventData for PasswordChanged {
    const KIND: &'static str = "user.password_changed";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// How a password came to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordChange {
    /// By its owner, who knew the old one.
    Change,
    /// By a link in a mail.
    Reset,
}

/// An account's name, roles or state changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserUpdated {
    /// The account.
    pub user_id: UserId,
}

impl EventData for UserUpdated {
    const KIND: &'static str = "user.updated";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// An account was removed: what belonged to the person is erased, what they wrote
/// stays under "deleted user".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDeleted {
    /// The account.
    pub user_id: UserId,
}

impl EventData for UserDeleted {
    const KIND: &'static str = "user.deleted";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// An API key was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// The key.
    pub api_key_id: ApiKeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it ends. `None`: it does not.
    pub expires_at: Option<Timestamp>,
}

impl EventData for ApiKeyCreated {
    const KIND: &'static str = "api_key.created";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// An API key was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {
    /// The key.
    pub api_key_id: ApiKeyId,
    /// Whose it was.
    pub user_id: UserId,
    /// What it was for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
}

impl EventData for ApiKeyRevoked {
    const KIND: &'static str = "api_key.revoked";

    fn subject(&self) -> String {
        format!("user/{}", self.user_id)
    }
}

/// An address as a subject: not the address itself, which subjects are not the place for.
pub(crate) fn address_subject(email: &str) -> String {
    format!("address/{}", crate::lockout::name_hash(&email.to_lowercase()))
}
