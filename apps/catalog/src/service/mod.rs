//! What can be done with the catalog. Owns the transactions; knows neither routes nor commands.

mod audit;
mod categories;
mod import;
mod products;

pub use categories::Categories;
pub use import::Importer;
pub use products::{Found, FoundFacets, PriceBand, Products};

/// Rows that an import writes in one transaction, and an export reads at once.
pub const BATCH_ROWS: usize = 1_000;
