//! The blog as a part of a backend.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Platform};
use mainstay_core::ProblemKind;
use mainstay_db::Migration;
use mainstay_http::ApiRouter;

use crate::authors::authors;
use crate::hook::Hook;
use crate::service::Blogging;
use crate::{demo, error, http, migrations};

/// The blog: `Backend::new(config)?.with(Identity::new).with(Blog::new)`.
#[derive(Clone, Debug)]
pub struct Blog {
    blogging: Blogging,
}

impl Blog {
    /// A blog on this platform. It tells others what people wrote from here on.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        platform.authors.fill(authors(platform.db.clone()));
        platform.account_hooks.add(Arc::new(Hook));
        Self { blogging: Blogging::new(platform) }
    }

    /// Its service, for programs that go past HTTP.
    #[must_use]
    pub fn blogging(&self) -> &Blogging {
        &self.blogging
    }
}

impl App for Blog {
    fn name(&self) -> &'static str {
        "blog"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes().with_state(self.blogging.clone())
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        demo::seed(&self.blogging).boxed()
    }
}
