#![doc = include_str!("../README.md")]

mod access;
mod caller;
mod password;
mod token;

pub use access::{Access, Role, Roles};
pub use caller::{AuthError, Authenticator, Caller, Credentials, SignedIn};
pub use password::{Passwords, PasswordsError};
pub use token::{Claims, SigningKey, TokenError, TokenSettings, Tokens};
