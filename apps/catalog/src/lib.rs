#![doc = include_str!("../README.md")]

mod app;
mod commands;
pub mod demo;
mod dialect;
pub mod domain;
mod entity;
mod error;
pub mod events;
mod http;
mod kept;
pub mod migrations;
mod repo;
mod service;
mod transfer;

pub use app::Catalog;
pub use error::{
    CATEGORY_CYCLE, CATEGORY_IN_USE, CATEGORY_LIMIT, CATEGORY_NOT_FOUND, CatalogError, INSUFFICIENT_STOCK,
    PRODUCT_NOT_FOUND, SKU_TAKEN, SLUG_TAKEN,
};
pub use service::{BATCH_ROWS, Categories, Found, FoundFacets, Importer, PriceBand, Products};
