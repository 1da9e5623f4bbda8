//! What the catalog is about. Knows neither HTTP nor the database.

pub mod attributes;
pub mod category;
pub mod listing;
pub mod product;
pub mod values;
