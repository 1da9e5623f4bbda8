#![doc = include_str!("../README.md")]

mod access;
mod caller;
mod password;
mod scope;
mod token;

pub use access::{Access, Kind, Refusal, Role, Roles, insufficient_scope};
pub use caller::{API_KEY_PREFIX, AuthError, Authenticator, Caller, Credentials, Principal, SignedIn, Via};
pub use password::{Passwords, PasswordsError};
pub use scope::{NoScope, Scope, Scopes};
pub use token::{Claims, ScheduledKey, SigningKey, TokenError, TokenSettings, Tokens};
