//! What the cache keeps of the catalog, and what makes it stale.
//!
//! A product for an hour, a list for a minute, the tree for an hour; products and
//! lists ready to be sent. Every change names what it makes stale before its
//! commit, so that this node has it at once and every other within a second.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mainstay_cache::{Cache, Cached, LoadError, Namespace};
use mainstay_core::page::Start;
use mainstay_core::text::SearchText;
use mainstay_core::{Currency, Decimal, Paging, Problem, Sorting as _};
use mainstay_db::WriteUnit;
use mainstay_http::{WrittenListing, WrittenResource};
use serde::Serialize;
use serde_json::Value;

use crate::domain::category::CategoryTree;
use crate::domain::listing::{Facets, Filter, ProductOrder};
use crate::domain::product::ProductId;
use crate::domain::values::{Slug, Tag};

const PRODUCT: Namespace<ProductId, WrittenResource> = Namespace::new("catalog.product", 1)
    .ttl(Duration::from_secs(3_600))
    .stale(Duration::from_secs(60))
    .stale_if_error(Duration::from_secs(600));

const LIST: Namespace<ListKey, WrittenListing> = Namespace::new("catalog.list", 1)
    .ttl(Duration::from_secs(60))
    .stale(Duration::from_secs(10))
    .stale_if_error(Duration::from_secs(600));

const TREE: Namespace<(), CategoryTree> = Namespace::new("catalog.tree", 1)
    .ttl(Duration::from_secs(3_600))
    .stale(Duration::from_secs(60))
    .stale_if_error(Duration::from_secs(600));

/// The catalog's part of the cache. Cheap to clone: a router clones its state several times a request.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Arc<Parts>);

impl Deref for Kept {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What [`Kept`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    cache: Cache,
    /// Products, as they are sent.
    pub(crate) products: Cached<ProductId, WrittenResource>,
    /// Lists and searches, as they are sent.
    pub(crate) lists: Cached<ListKey, WrittenListing>,
    /// All categories.
    pub(crate) tree: Cached<(), CategoryTree>,
}

impl Kept {
    pub(crate) fn new(cache: &Cache) -> Self {
        Self(Arc::new(Parts {
            products: cache.namespace(&PRODUCT),
            lists: cache.namespace(&LIST),
            tree: cache.namespace(&TREE),
            cache: cache.clone(),
        }))
    }

    /// With the commit of `unit`, for a product that was added, changed or deleted: it may be in any list.
    pub(crate) fn product_changes(&self, unit: &WriteUnit, id: ProductId) {
        self.cache.stale().key(&self.products, &id).namespace(&self.lists).with(unit);
    }

    /// With the commit of `unit`, for many products.
    pub(crate) fn products_change(&self, unit: &WriteUnit) {
        self.cache.stale().namespace(&self.products).namespace(&self.lists).with(unit);
    }

    /// With the commit of `unit`, for the tree: products and lists show its slugs.
    pub(crate) fn tree_changes(&self, unit: &WriteUnit) {
        let stale = self.cache.stale().namespace(&self.tree);
        stale.namespace(&self.products).namespace(&self.lists).with(unit);
    }
}

/// What a loader's failure means to a client.
pub(crate) fn problem(error: LoadError<Problem>) -> Problem {
    match error {
        LoadError::Loader(problem) => Arc::unwrap_or_clone(problem),
        LoadError::Abandoned => Problem::internal("loading a value for the cache panicked or took too long"),
    }
}

/// A request for a list, such that requests for the same have the same key.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ListKey {
    words: Option<Vec<String>>,
    category: Option<String>,
    prices: [Option<i64>; 2],
    currency: Option<&'static str>,
    in_stock: Option<bool>,
    tags: BTreeSet<String>,
    facets: [bool; 3],
    sort: (&'static str, bool),
    page: Option<u32>,
    after: Option<(Value, Value)>,
    page_size: u16,
}

impl ListKey {
    pub(crate) fn of(filter: &Filter, facets: Facets, paging: &Paging<ProductOrder>) -> Self {
        let Filter { q, category, min_price, max_price, currency, in_stock, tags } = filter;
        let Paging { start, page_size, sort, descending } = paging;
        let (page, after) = match start {
            Start::Page(page) => (Some(*page), None),
            Start::After { key, id } => (None, Some((key.clone(), id.clone()))),
        };
        let Facets { category: by_category, tags: by_tag, price: by_price } = facets;
        Self {
            words: q.as_ref().map(SearchText::words),
            category: category.clone().map(Slug::into_string),
            prices: [min_price, max_price].map(|price| price.map(Decimal::ten_thousandths)),
            currency: currency.map(Currency::code),
            in_stock: *in_stock,
            tags: tags.iter().map(Tag::norm).collect(),
            facets: [by_category, by_tag, by_price],
            sort: (sort.name(), *descending),
            page,
            after,
            page_size: *page_size,
        }
    }
}
