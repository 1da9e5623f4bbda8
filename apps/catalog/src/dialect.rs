//! What the databases do differently, beyond the words' own index.

use mainstay_db::Dialect;
use sea_orm::sea_query::LockType;

/// How rows are kept from others' changes until a unit ends. `None`: a unit that writes is alone anyway.
/// PostgreSQL's weaker lock lets those pass who only refer to the row.
pub(crate) fn row_lock(dialect: Dialect) -> Option<LockType> {
    dialect.pick(None, Some(LockType::NoKeyUpdate))
}

/// PostgreSQL: the long columns leave the row, so that a search that looks at the
/// names of a thousand products reads a tenth of the pages.
pub(crate) const KEEP_WORDS_NARROW: &[&str] = &[
    "ALTER TABLE product_words ALTER COLUMN description_words SET STORAGE EXTERNAL",
    "ALTER TABLE product_words ALTER COLUMN words SET STORAGE EXTERNAL",
    "ALTER TABLE product_words SET (toast_tuple_target = 128)",
];
