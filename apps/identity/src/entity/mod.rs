//! Rows. Private to the crate: everybody else sees the domain's types.

pub(crate) mod api_key;
pub(crate) mod login_lock;
pub(crate) mod one_time_token;
pub(crate) mod refresh_token;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod user;
