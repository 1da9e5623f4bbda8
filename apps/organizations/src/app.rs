//! Organizations as a part of a backend.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Platform};
use mainstay_core::ProblemKind;
use mainstay_db::Migration;
use mainstay_events::Consumer;
use mainstay_http::ApiRouter;
use mainstay_mail::Mails;
use mainstay_web::Web;

use crate::hook::Hook;
use crate::notices::{self, Notices};
use crate::pages::{self, Pages};
use crate::service::Tenancy;
use crate::{demo, error, http, migrations};

/// The app: `Backend::new(config)?.with(Identity::new).with(Organizations::new)`.
#[derive(Clone, Debug)]
pub struct Organizations {
    tenancy: Tenancy,
    mails: Mails,
    web: Web,
}

impl Organizations {
    /// The app on this platform. It takes part in the life of accounts from here on.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let tenancy = Tenancy::new(platform);
        pages::links(&platform.web);
        platform.account_hooks.add(Arc::new(Hook { tenancy: tenancy.clone() }));
        Self { tenancy, mails: platform.mails.clone(), web: platform.web.clone() }
    }
}

impl App for Organizations {
    fn name(&self) -> &'static str {
        "organizations"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes().with_state(self.tenancy.clone())
    }

    fn pages(&self) -> ApiRouter {
        pages::routes().with_state(Pages { tenancy: self.tenancy.clone(), web: self.web.clone() })
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn consumers(&self) -> Vec<Consumer> {
        let notices = Notices { tenancy: self.tenancy.clone(), mails: self.mails.clone() };
        vec![Consumer::new("organizations.notices", notices::KINDS, notices)]
    }

    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        demo::seed(&self.tenancy).boxed()
    }
}
