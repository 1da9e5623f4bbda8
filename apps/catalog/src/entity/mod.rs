//! The rows. Private: the rest of the crate sees the domain's types.

pub(crate) mod categories;
pub(crate) mod category_tree;
pub(crate) mod product_tags;
pub(crate) mod product_words;
pub(crate) mod products;
