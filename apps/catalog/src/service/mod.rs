//! What can be done with the catalog. Owns the transactions; knows neither routes nor commands.

mod audit;
mod categories;
mod import;
mod products;

use std::future::Future;

use sea_orm::DbErr;

use crate::error::CatalogError;

pub use categories::Categories;
pub use import::Importer;
pub use products::{Found, FoundFacets, PriceBand, Products};

/// Rows that an import writes in one transaction, and an export reads at once.
pub const BATCH_ROWS: usize = 1_000;

/// How often a change is begun that has to give way to another.
const TRIES: u32 = 6;

/// Runs `change`, again from the start where the database's error says that it had to give way.
async fn again<T, F>(
    mut change: impl FnMut() -> F + Send,
    gave_way: fn(&DbErr) -> bool,
) -> Result<T, CatalogError>
where
    F: Future<Output = Result<T, CatalogError>> + Send,
{
    for _ in 1..TRIES {
        match change().await {
            Err(CatalogError::Db(error)) if gave_way(&error) => {}
            outcome => return outcome,
        }
    }
    change().await
}
