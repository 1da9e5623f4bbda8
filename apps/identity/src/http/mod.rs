//! Accounts over HTTP.

mod api_keys;
mod keys;
mod me;
mod people;
mod recovery;
mod register;
mod services;
mod sessions;
mod sign_in;

use mainstay_http::{ApiRouter, Tag};

use crate::service::Accounts;

pub(crate) use register::{OrganizationName, PersonName};
pub(crate) use sign_in::{credentials, device};

pub(crate) const IDENTITY: Tag = Tag { name: "Identity", about: "Accounts and sign-ins." };

pub(crate) fn routes() -> ApiRouter<Accounts> {
    let router = ApiRouter::new(IDENTITY);
    let router = register::routes(router);
    let router = sign_in::routes(router);
    let router = recovery::routes(router);
    let router = people::routes(router);
    let router = sessions::routes(router);
    let router = api_keys::routes(router);
    let router = services::routes(router);
    me::routes(router)
}

pub(crate) fn root_routes() -> ApiRouter<Accounts> {
    keys::routes(ApiRouter::new(IDENTITY))
}
