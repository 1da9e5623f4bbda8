//! What the tests share.

use std::sync::Arc;

use mainstay_cache::Cache;
use mainstay_catalog::domain::listing::{Filter, ProductOrder};
use mainstay_catalog::domain::product::{NewProduct, Product};
use mainstay_catalog::{BATCH_ROWS, Categories, Importer, Products, demo, migrations};
use mainstay_core::input::{from_json, from_pairs};
use mainstay_core::{Actor, OsRng, Page, Paging, SystemClock};
use mainstay_db::Db;
use mainstay_db::testing::TestDatabase;
use mainstay_telemetry::Metrics;
use mainstay_transfer::{Import as _, Mode};
use serde_json::{Value, json};

pub const ACTOR: Actor = Actor::system("test");

/// A catalog of its own.
pub struct Fixture {
    pub products: Products,
    pub categories: Categories,
    pub db: Db,
    // Last: dropped when nothing uses it any more.
    _database: TestDatabase,
}

pub async fn catalog() -> Fixture {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let db = database.open();
    let cache = Cache::local(Arc::new(SystemClock), Arc::new(OsRng), &Metrics::new());
    let categories = Categories::new(db.clone(), &cache);
    let products = Products::new(db.clone(), &cache, categories.clone());
    Fixture { products, categories, db, _database: database }
}

pub async fn catalog_of(count: usize) -> Fixture {
    let fixture = catalog().await;
    for category in demo::categories() {
        fixture.categories.create(&ACTOR, &category).await.unwrap();
    }
    let products: Vec<NewProduct> = demo::products(count).collect();
    for batch in products.chunks(BATCH_ROWS) {
        fixture.importer().take(&ACTOR, batch, Mode::Write).await.unwrap();
    }
    fixture
}

impl Fixture {
    pub fn importer(&self) -> Importer {
        Importer::new(self.products.clone(), false)
    }

    /// Adds a category at a place.
    pub async fn category(&self, slug: &str, parent: Option<&str>) {
        let new = from_json(&json!({"slug": slug, "name": slug, "parent": parent})).unwrap();
        self.categories.create(&ACTOR, &new).await.unwrap();
    }

    /// Adds a product that differs from others in what `more` says.
    pub async fn add(&self, sku: &str, more: Value) -> Product {
        self.products.create(&ACTOR, product(sku, more)).await.unwrap()
    }

    pub async fn list(&self, pairs: &[(&str, &str)]) -> Page<Product> {
        let (filter, paging) = query(pairs);
        self.products.list(&filter, Default::default(), &paging).await.unwrap().page
    }

    /// The SKUs of a list.
    pub async fn skus(&self, pairs: &[(&str, &str)]) -> Vec<String> {
        let page = self.list(pairs).await;
        assert!(page.total.is_none_or(|total| total == page.items.len() as u64), "{page:?}");
        page.items.into_iter().map(|product| product.sku).collect()
    }
}

pub fn product(sku: &str, more: Value) -> NewProduct {
    let mut body = json!({"sku": sku, "name": "Thing", "price": "10.00", "currency": "EUR"});
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    from_json(&body).unwrap()
}

mainstay_core::input! {
    /// The parameters of the list.
    pub struct Query {
        /// Paging.
        paging: Paging<ProductOrder>,
        /// Words.
        q: Option<mainstay_core::text::SearchText>,
        /// A category.
        category: Option<mainstay_catalog::domain::values::Slug>,
        /// The lowest and the highest price.
        prices: mainstay_catalog::domain::listing::PriceRange,
        /// A currency.
        currency: Option<mainstay_core::Currency>,
        /// Whether there are any.
        in_stock: Option<bool>,
        /// Tags.
        tags: mainstay_core::Many<mainstay_catalog::domain::values::Tag>,
    }
}

/// A filter and a paging out of the parameters of a request.
pub fn query(pairs: &[(&str, &str)]) -> (Filter, Paging<ProductOrder>) {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let Query { paging, q, category, prices, currency, in_stock, tags } = from_pairs(&pairs).unwrap();
    let (min_price, max_price) = (prices.min, prices.max);
    let filter = Filter { q, category, min_price, max_price, currency, in_stock, tags: tags.0 };
    let paging = filter.order(paging);
    (filter, paging)
}
