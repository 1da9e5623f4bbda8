//! What the answers look like.

use mainstay_core::{Currency, Page, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::category::{Category, CategoryTree};
use crate::domain::product::{Product, ProductId};
use crate::service::{FoundFacets, PriceBand};

/// A product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductView {
    /// Names it.
    #[schema(value_type = i64, minimum = 1)]
    id: ProductId,
    /// The shop's own number of it.
    #[schema(min_length = 1, max_length = 64)]
    sku: String,
    /// What it is called.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What is said of it; may be empty and have several lines.
    #[schema(max_length = 5000)]
    description: String,
    /// The slug of the category it is in; `null` if it is in none.
    #[schema(required)]
    category: Option<String>,
    /// What it costs: a decimal number with all decimals of the currency.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "12.50")]
    price: String,
    /// The currency of the price (ISO 4217).
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: Currency,
    /// How many there are.
    #[schema(minimum = 0)]
    stock: i64,
    /// Words that products share.
    tags: Vec<String>,
    /// Further facts by name: texts, numbers, true and false.
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// When it was added.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

impl From<Product> for ProductView {
    fn from(product: Product) -> Self {
        let Product {
            id,
            sku,
            name,
            description,
            category,
            price,
            stock,
            tags,
            attributes,
            version: _,
            created_at,
            updated_at,
        } = product;
        Self {
            id,
            sku,
            name,
            description,
            category: category.map(|category| category.slug),
            price: price.amount(),
            currency: price.currency(),
            stock,
            tags,
            attributes,
            created_at,
            updated_at,
        }
    }
}

/// A page of products, and how all that was found spreads.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductPage {
    #[serde(flatten)]
    page: Page<ProductView>,
    #[serde(flatten)]
    more: More,
}

/// What the list says beside its page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct More {
    /// The counts that `facets` asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    facets: Option<FacetsView>,
    /// Other words to look for, where nothing was found.
    suggestions: Vec<String>,
}

/// Counts over everything that was found, not only this page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FacetsView {
    /// How many are in each category itself, the fullest first. Those below it are counted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Vec<CategoryCount>>,
    /// How many have each of the 50 most frequent tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<TagCount>>,
    /// How many are in each price band; those without any are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Vec<PriceCount>>,
}

/// Products of one category.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CategoryCount {
    /// The slug of the category.
    value: String,
    /// What it is called.
    name: String,
    /// How many.
    count: u64,
}

/// Products with one tag.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagCount {
    /// The tag.
    value: String,
    /// How many.
    count: u64,
}

/// Products of one price band. The numbers are in the currency of each product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PriceCount {
    /// The lowest price of the band.
    from: &'static str,
    /// The first price above it; `null` if the band has no end.
    #[schema(required)]
    to: Option<&'static str>,
    /// How many.
    count: u64,
}

impl More {
    pub(super) fn of(facets: FoundFacets) -> Self {
        let FoundFacets { category, tags, price } = facets;
        let asked = category.is_some() || tags.is_some() || price.is_some();
        let category_count = |(value, name, count)| CategoryCount { value, name, count };
        let tag_count = |(value, count)| TagCount { value, count };
        let price_count = |PriceBand { from, to, count }| PriceCount { from, to, count };
        let facets = FacetsView {
            category: category.map(|counts| counts.into_iter().map(category_count).collect()),
            tags: tags.map(|counts| counts.into_iter().map(tag_count).collect()),
            price: price.map(|counts| counts.into_iter().map(price_count).collect()),
        };
        Self { facets: asked.then_some(facets), suggestions: Vec::new() }
    }
}

/// A category.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CategoryView {
    /// Names it in addresses.
    #[schema(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", example = "garden-chairs")]
    slug: String,
    /// What it is called.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The slug of the category above it; `null` at the top.
    #[schema(required)]
    parent: Option<String>,
    /// The slugs of all categories above it, from the top down.
    ancestors: Vec<String>,
    /// When it was added.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

impl CategoryView {
    pub(super) fn of(tree: &CategoryTree, category: Category) -> Self {
        let ancestors: Vec<String> =
            tree.ancestors(&category).iter().map(|above| above.slug.clone()).collect();
        let Category { id: _, slug, name, parent: _, version: _, created_at, updated_at } = category;
        Self { slug, name, parent: ancestors.last().cloned(), ancestors, created_at, updated_at }
    }
}
