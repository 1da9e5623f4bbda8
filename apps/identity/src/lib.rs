#![doc = include_str!("../README.md")]

mod authenticator;
mod believed;
mod commands;
mod demo;
mod domain;
mod entity;
mod error;
pub mod events;
mod gate;
mod http;
mod keys;
mod letters;
mod lockout;
mod migrations;
mod mint;
mod notices;
mod pages;
mod people;
mod refresh;
mod repo;
mod service;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Command, Platform};
use mainstay_auth::Authenticator;
use mainstay_core::ProblemKind;
use mainstay_db::Migration;
use mainstay_events::{Consumer, Job, Schedule};
use mainstay_http::ApiRouter;
use mainstay_mail::Mails;
use mainstay_web::Web;
use notices::{Notices, TokenLives};
use pages::Pages;

pub use domain::{Email, NewPassword, User, Username};
pub use error::AccountError;
pub use service::{Accounts, NewUser};
pub use settings::IdentitySettings;

/// The identity app.
#[derive(Clone, Debug)]
pub struct Identity {
    accounts: Accounts,
    mails: Mails,
    web: Web,
}

impl Identity {
    /// The app on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let settings = platform.section::<IdentitySettings>();
        platform.people.fill(Arc::new(people::Directory { db: platform.db.clone() }));
        pages::links(&platform.web);
        let accounts = Accounts::new(platform, settings);
        Self { accounts, mails: platform.mails.clone(), web: platform.web.clone() }
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

    fn pages(&self) -> ApiRouter {
        pages::routes().with_state(Pages { accounts: self.accounts.clone(), web: self.web.clone() })
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn consumers(&self) -> Vec<Consumer> {
        let (accounts, mails) = (self.accounts.clone(), self.mails.clone());
        vec![
            Consumer::new("identity.notices", notices::KINDS, Notices { accounts: accounts.clone(), mails }),
            Consumer::new("identity.token_lives", &["mail.sent"], TokenLives { accounts }),
        ]
    }

    fn jobs(&self) -> Vec<Job> {
        let accounts = self.accounts.clone();
        let hourly = Schedule::Every(Duration::from_secs(3600));
        let sweep = move || {
            let accounts = accounts.clone();
            async move {
                accounts.sweep().await?;
                Ok(())
            }
        };
        vec![Job::new("identity.sweep", hourly, sweep)]
    }

    fn commands(&self) -> Vec<Command> {
        vec![
            commands::users(&self.accounts),
            commands::keys(&self.accounts),
            commands::services(&self.accounts),
            commands::api_keys(&self.accounts),
        ]
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
