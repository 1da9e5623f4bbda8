//! The catalog's endpoints, under `/api/v1/products` and `/api/v1/categories`.

mod categories;
mod export;
mod products;
mod views;

use axum::extract::FromRef;
use mainstay_auth::Access;
use mainstay_http::{ApiRouter, Tag, routes};

use crate::error::{
    CATEGORY_CYCLE, CATEGORY_IN_USE, CATEGORY_LIMIT, CATEGORY_NOT_FOUND, INSUFFICIENT_STOCK,
    PRODUCT_NOT_FOUND, SKU_TAKEN, SLUG_TAKEN,
};
use crate::service::{Categories, Products};

/// What the handlers see: each asks for the one it needs.
#[derive(Clone, FromRef)]
struct Services {
    products: Products,
    categories: Categories,
}

pub(crate) fn routes(products: Products, categories: Categories) -> ApiRouter {
    const TAG: Tag = Tag {
        name: "Catalog",
        about: "Products in a tree of categories: everybody reads and searches, staff add and change.",
    };
    ApiRouter::new(TAG)
        .route(routes!(products::list_products), Access::Public, &[])
        .route(routes!(products::create_product), Access::Staff, &[&SKU_TAKEN])
        .route(routes!(export::export_products), Access::Public, &[])
        // All products at once.
        .at_cost(10)
        .route(routes!(products::get_product), Access::Public, &[&PRODUCT_NOT_FOUND])
        .route(routes!(products::replace_product), Access::Staff, &[&PRODUCT_NOT_FOUND, &SKU_TAKEN])
        .route(routes!(products::update_product), Access::Staff, &[&PRODUCT_NOT_FOUND, &SKU_TAKEN])
        .route(routes!(products::delete_product), Access::Staff, &[&PRODUCT_NOT_FOUND])
        .route(routes!(products::change_stock), Access::Staff, &[&PRODUCT_NOT_FOUND, &INSUFFICIENT_STOCK])
        .route(routes!(categories::list_categories), Access::Public, &[&CATEGORY_NOT_FOUND])
        .route(routes!(categories::create_category), Access::Staff, &[&SLUG_TAKEN, &CATEGORY_LIMIT])
        .route(routes!(categories::get_category), Access::Public, &[&CATEGORY_NOT_FOUND])
        .route(
            routes!(categories::replace_category),
            Access::Staff,
            &[&CATEGORY_NOT_FOUND, &SLUG_TAKEN, &CATEGORY_CYCLE, &CATEGORY_LIMIT],
        )
        .route(
            routes!(categories::update_category),
            Access::Staff,
            &[&CATEGORY_NOT_FOUND, &SLUG_TAKEN, &CATEGORY_CYCLE, &CATEGORY_LIMIT],
        )
        .route(routes!(categories::delete_category), Access::Staff, &[&CATEGORY_NOT_FOUND, &CATEGORY_IN_USE])
        .with_state(Services { products, categories })
}
