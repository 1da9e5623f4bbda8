//! What the databases do differently, beyond the words' own index.

/// PostgreSQL: the long columns leave the row, so that a search that looks at the
/// names of a thousand products reads a tenth of the pages.
pub(crate) const KEEP_WORDS_NARROW: &[&str] = &[
    "ALTER TABLE product_words ALTER COLUMN description_words SET STORAGE EXTERNAL",
    "ALTER TABLE product_words ALTER COLUMN words SET STORAGE EXTERNAL",
    "ALTER TABLE product_words SET (toast_tuple_target = 128)",
];
