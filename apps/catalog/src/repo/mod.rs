//! The catalog's queries. Each takes the connection or the unit it runs in, and begins none.

pub(crate) mod categories;
pub(crate) mod facets;
pub(crate) mod import;
pub(crate) mod list;
#[cfg(test)]
mod plan_tests;
pub(crate) mod products;

use mainstay_db::WordIndex;

/// Finds products by the words of name and description.
pub(crate) const WORDS: WordIndex =
    WordIndex::new("product_words", "product_id", &["name_words", "description_words"]);
