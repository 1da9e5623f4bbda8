#![doc = include_str!("../README.md")]

mod authenticator;
mod commands;
mod demo;
mod domain;
mod entity;
mod error;
mod http;
mod keys;
mod migrations;
mod repo;
mod service;
mod settings;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Command, Platform};
use mainstay_auth::Authenticator;
use mainstay_core::ProblemKind;
use mainstay_db::Migration;
use mainstay_http::ApiRouter;

pub use domain::{Email, NewPassword, User, Username};
pub use error::AccountError;
pub use service::{Accounts, NewUser};
pub use settings::IdentitySettings;

/// The identity app.
#[derive(Clone, Debug)]
pub struct Identity {
    accounts: Accounts,
}

impl Identity {
    /// The app on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let settings = platform.section::<IdentitySettings>();
        Self { accounts: Accounts::new(platform, settings) }
    }

    /// Its service, for tests and tools that make accounts directly.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }
}

impl App for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes().with_state(self.accounts.clone())
    }

    fn root_routes(&self) -> ApiRouter {
        http::root_routes().with_state(self.accounts.clone())
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn commands(&self) -> Vec<Command> {
        vec![commands::users(&self.accounts)]
    }

    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        Some(Arc::new(authenticator::TokenAuthenticator::new(&self.accounts)))
    }

    fn start(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        self.accounts.start().boxed()
    }

    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        demo::seed(&self.accounts).boxed()
    }
}
