//! What accounts are made of. Knows neither HTTP nor the database.

mod api_key;
mod common_passwords;
mod device;
mod password;
mod purpose;
mod service;
mod session;
mod user;
mod username;

pub(crate) use api_key::{
    ApiKey, ApiKeyId, CredentialName, LimitPolicy, MOST_API_KEYS, SERVICE_PREFIX, Secret, is_api_key,
};
pub(crate) use device::describe_device;
pub use mainstay_app::Email;
pub use password::{NewPassword, Password};
pub(crate) use purpose::Purpose;
pub(crate) use service::{Service, is_client_id, new_client_id};
pub(crate) use session::{Session, SessionOrder};
pub(crate) use user::UserOrder;
pub use user::{SessionId, User};
pub use username::Username;
