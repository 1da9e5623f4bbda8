//! Queries. They take a connection and never begin a transaction.

pub(crate) mod api_keys;
pub(crate) mod keys;
pub(crate) mod login_locks;
pub(crate) mod one_time;
pub(crate) mod refresh_tokens;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod users;

pub(crate) use api_keys::*;
pub(crate) use keys::*;
pub(crate) use login_locks::*;
pub(crate) use one_time::*;
pub(crate) use refresh_tokens::*;
pub(crate) use services::*;
pub(crate) use sessions::*;
pub(crate) use users::*;
