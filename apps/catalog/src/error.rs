//! What can go wrong in the catalog, and what a client hears of it.

use mainstay_core::{Faults, Problem};
use mainstay_db::DbProblem as _;
use sea_orm::DbErr;

use crate::domain::category::{MAX_CATEGORIES, MAX_DEPTH};
use crate::domain::product::ProductId;
use crate::domain::values::Stock;

mainstay_core::problems! {
    /// No product has this id.
    pub PRODUCT_NOT_FOUND = 404 "product_not_found", "Product not found",
        "No product has this id. It may have been deleted.";
    /// Another product has this SKU.
    pub SKU_TAKEN = 409 "sku_taken", "SKU taken",
        "Another product has this SKU already. Change that one, or choose another SKU.";
    /// There are fewer than were to be taken.
    pub INSUFFICIENT_STOCK = 409 "insufficient_stock", "Not enough in stock",
        "There are fewer of the product than the change would take away; nothing was changed. `available` says how many there are.";
    /// No category has this slug.
    pub CATEGORY_NOT_FOUND = 404 "category_not_found", "Category not found",
        "No category has this slug. It may have been deleted or renamed.";
    /// Another category has this slug.
    pub SLUG_TAKEN = 409 "slug_taken", "Slug taken",
        "Another category has this slug already. Choose another one.";
    /// A category under itself.
    pub CATEGORY_CYCLE = 409 "category_cycle", "A category can't be below itself",
        "The category that is to be the parent is this one, or below it. Move that one first.";
    /// Something is in the category, or below it.
    pub CATEGORY_IN_USE = 409 "category_in_use", "The category is not empty",
        "There are products in the category, or categories below it. Move or delete them first.";
    /// The tree is as large as it can be.
    pub CATEGORY_LIMIT = 409 "category_limit", "Too many categories",
        "There are as many categories as there can be, or as many levels. `detail` names the limit.";
}

/// Why the catalog could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such product.
    #[error("product {0} does not exist")]
    NotFound(ProductId),
    /// Another product has this SKU.
    #[error("another product has the SKU {0}")]
    SkuTaken(String),
    /// So many are not there to be taken.
    #[error("there are only {available} of product {id}")]
    InsufficientStock {
        /// Of which product.
        id: ProductId,
        /// How many there are.
        available: i64,
    },
    /// There is no such category.
    #[error("category {0} does not exist")]
    CategoryNotFound(String),
    /// Another category has this slug.
    #[error("another category has the slug {0}")]
    SlugTaken(String),
    /// The category would be below itself.
    #[error("{parent} is {slug} or below it")]
    Cycle {
        /// What was to be moved.
        slug: String,
        /// Where to.
        parent: String,
    },
    /// Products or categories are in it.
    #[error("category {0} is not empty")]
    InUse(String),
    /// There are too many levels.
    #[error("there can be at most {MAX_DEPTH} levels of categories")]
    TooDeep,
    /// There are too many categories.
    #[error("there can be at most {MAX_CATEGORIES} categories")]
    TooMany,
    /// The request names something that is not there, or contradicts itself.
    #[error("the request breaks a rule")]
    Faulty(Faults),
    /// The request contradicts the present state: a stale `If-Match`, a foreign cursor.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The database failed.
    #[error("the catalog's storage failed")]
    Db(#[from] DbErr),
}

impl CatalogError {
    /// A product or a category names a category that is not there.
    pub(crate) fn unknown_category(field: &'static str, slug: &str) -> Self {
        Self::Faulty(unknown_category(field, slug))
    }

    pub(crate) fn stock_out_of_range() -> Self {
        let message = format!("the stock can be at most {}", Stock::MOST);
        Self::Faulty(Faults::one("delta", "out_of_range", message))
    }
}

pub(crate) fn unknown_category(field: &'static str, slug: &str) -> Faults {
    Faults::one(field, "unknown_category", format!("there is no category {slug}"))
}

impl From<Faults> for CatalogError {
    fn from(faults: Faults) -> Self {
        Self::Faulty(faults)
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound(id) => PRODUCT_NOT_FOUND.because(format!("Product {id} does not exist.")),
            CatalogError::SkuTaken(sku) => SKU_TAKEN
                .because(format!("Another product has the SKU {sku}."))
                .with_fault("sku", SKU_TAKEN.code, "belongs to another product"),
            CatalogError::InsufficientStock { id, available } => INSUFFICIENT_STOCK
                .because(format!("There are only {available} of product {id}."))
                .with_extra("available", available.into()),
            CatalogError::CategoryNotFound(slug) => {
                CATEGORY_NOT_FOUND.because(format!("Category {slug} does not exist."))
            }
            CatalogError::SlugTaken(slug) => SLUG_TAKEN
                .because(format!("Another category has the slug {slug}."))
                .with_fault("slug", SLUG_TAKEN.code, "belongs to another category"),
            CatalogError::Cycle { slug, parent } => CATEGORY_CYCLE
                .because(format!("{parent} is {slug} itself or below it."))
                .with_fault("parent", CATEGORY_CYCLE.code, "is the category itself or below it"),
            CatalogError::InUse(slug) => {
                CATEGORY_IN_USE.because(format!("There are products or categories in {slug}."))
            }
            CatalogError::TooDeep => CATEGORY_LIMIT
                .because(format!("There can be at most {MAX_DEPTH} levels of categories."))
                .with_fault("parent", CATEGORY_LIMIT.code, "is too deep"),
            CatalogError::TooMany => {
                CATEGORY_LIMIT.because(format!("There can be at most {MAX_CATEGORIES} categories."))
            }
            CatalogError::Faulty(faults) => faults.into(),
            CatalogError::Refused(problem) => problem,
            CatalogError::Db(error) => error.into_problem(),
        }
    }
}
