//! The catalog as a part of a backend.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Command, Platform};
use mainstay_core::{Actor, ProblemKind};
use mainstay_db::Migration;
use mainstay_http::ApiRouter;
use mainstay_transfer::{Import as _, Mode};

use crate::service::{BATCH_ROWS, Categories, Importer, Products};
use crate::{commands, demo, error, http, migrations};

/// The catalog: `Backend::new(config)?.with(Catalog::new)`.
#[derive(Clone, Debug)]
pub struct Catalog {
    products: Products,
    categories: Categories,
}

impl Catalog {
    /// A catalog on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        let (db, cache) = (platform.db.clone(), &platform.cache);
        let categories = Categories::new(db.clone(), cache);
        Self { products: Products::new(db, cache, categories.clone()), categories }
    }

    /// Its products, for programs that go past HTTP.
    #[must_use]
    pub fn products(&self) -> &Products {
        &self.products
    }

    /// Its categories.
    #[must_use]
    pub fn categories(&self) -> &Categories {
        &self.categories
    }
}

impl App for Catalog {
    fn name(&self) -> &'static str {
        "catalog"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes(self.products.clone(), self.categories.clone())
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn commands(&self) -> Vec<Command> {
        vec![commands::catalog(self.products.clone())]
    }

    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        const PRODUCTS: usize = 400;
        async {
            let actor = Actor::system("catalog demo");
            if !self.products.is_empty(&actor).await? {
                return Ok(Vec::new());
            }
            let tree = self.categories.tree().await?;
            for category in demo::categories().filter(|category| tree.find(category.slug.as_str()).is_none())
            {
                self.categories.create(&actor, &category).await?;
            }
            let importer = Importer::new(self.products.clone(), false);
            let products: Vec<_> = demo::products(PRODUCTS).collect();
            for batch in products.chunks(BATCH_ROWS) {
                importer.take(&actor, batch, Mode::Write).await?;
            }
            Ok(vec![format!("{PRODUCTS} demo products in the catalog")])
        }
        .boxed()
    }
}
