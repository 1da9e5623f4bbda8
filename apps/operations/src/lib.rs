#![doc = include_str!("../README.md")]

mod commands;
mod error;
mod http;
mod pages;

use mainstay_app::{App, Command, Platform};
use mainstay_core::ProblemKind;
use mainstay_db::{Db, Migration};
use mainstay_events::{AuditLog, DeadLetters};
use mainstay_http::ApiRouter;
use mainstay_mail::Mails;
use mainstay_web::Web;

/// The operations app.
#[derive(Clone, Debug)]
pub struct Operations {
    desk: Desk,
    web: Web,
}

/// What its handlers and commands work with.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    db: Db,
    audit: AuditLog,
    dead_letters: DeadLetters,
    mails: Mails,
    /// Whether staff may read mails that hold somebody's secret link.
    on_a_laptop: bool,
}

impl Operations {
    /// The app on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let desk = Desk {
            db: platform.db.clone(),
            audit: AuditLog::new(platform.db.clone(), platform.root_key.clone()),
            dead_letters: DeadLetters::new(platform.db.clone()),
            mails: platform.mails.clone(),
            on_a_laptop: platform.environment == mainstay_app::Environment::Development,
        };
        pages::links(&platform.web);
        Self { desk, web: platform.web.clone() }
    }
}

impl App for Operations {
    fn name(&self) -> &'static str {
        "operations"
    }

    fn migrations(&self) -> Vec<Migration> {
        Vec::new()
    }

    fn routes(&self) -> ApiRouter {
        http::routes().with_state(self.desk.clone())
    }

    fn pages(&self) -> ApiRouter {
        pages::routes().with_state(pages::Pages { desk: self.desk.clone(), web: self.web.clone() })
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn commands(&self) -> Vec<Command> {
        vec![commands::events(&self.desk), commands::audit(&self.desk)]
    }
}
