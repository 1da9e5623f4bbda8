//! The one thing that the databases do differently: finding words by an index.

use mainstay_db::{Dialect, PgTerms};
use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::sea_query::extension::sqlite::SqliteExpr;
use sea_orm::sea_query::{Alias, Asterisk, Expr, ExprTrait as _, Func, Query, SelectStatement};

use super::page::count_of;
use crate::entity::Column;

/// Books in whose title or author each of `words` begins a word. No words match no book.
pub(super) fn has_words(dialect: Dialect, words: &[String]) -> Expr {
    if words.is_empty() {
        return Expr::Constant(false.into());
    }
    match dialect {
        Dialect::Sqlite => {
            let rowids = fts5_matches(words).column(Alias::new("rowid")).take();
            Expr::col(Column::Id).in_subquery(rowids)
        }
        Dialect::Postgres => {
            let query = Expr::val(PgTerms::prefixes(words).0).cast_as("tsquery");
            PgExpr::matches(Expr::col(Alias::new("words")), query)
        }
    }
}

/// How many books [`has_words`] finds.
pub(super) fn count_having_words(dialect: Dialect, words: &[String]) -> SelectStatement {
    match dialect {
        // The index alone: an eighth of the time that looking up each row takes.
        Dialect::Sqlite if !words.is_empty() => {
            fts5_matches(words).expr(Func::count(Expr::col(Asterisk))).take()
        }
        Dialect::Sqlite | Dialect::Postgres => count_of(has_words(dialect, words)),
    }
}

fn fts5_matches(words: &[String]) -> SelectStatement {
    let index = Alias::new("books_fts");
    let matches = SqliteExpr::matches(Expr::col(index.clone()), fts5_prefixes(words));
    Query::select().from(index).and_where(matches).take()
}

/// Folded words as an FTS5 query for all of them, each as a prefix. In quotes
/// nothing is an operator, and a word holds no quote.
fn fts5_prefixes(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"*")).collect::<Vec<_>>().join(" ")
}
