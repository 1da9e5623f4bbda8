//! The feed as a part of a backend.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Platform};
use mainstay_db::Migration;
use mainstay_http::ApiRouter;

use crate::settings::FeedSettings;
use crate::{Posts, demo, http, migrations};

/// The feed: `Backend::new(config)?.with(Feed::new)`.
#[derive(Clone, Debug)]
pub struct Feed {
    posts: Posts,
    settings: Arc<FeedSettings>,
}

impl Feed {
    /// A feed on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let settings = Arc::new(platform.section::<FeedSettings>());
        Self { posts: Posts::new(platform.db.clone()), settings }
    }

    /// Its posts, for programs that go past HTTP.
    #[must_use]
    pub fn posts(&self) -> &Posts {
        &self.posts
    }
}

impl App for Feed {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes(&self.settings).with_state(self.posts.clone())
    }

    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        demo::seed(&self.posts).boxed()
    }
}
