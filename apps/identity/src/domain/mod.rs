//! What accounts are made of. Knows neither HTTP nor the database.

mod email;
mod password;
mod user;
mod username;

pub use email::Email;
pub use password::{NewPassword, Password};
pub use user::{SessionId, User};
pub use username::Username;
