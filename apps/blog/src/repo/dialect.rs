//! What the databases do differently: finding words by an index. As the library does it, over one
//! column; the two want to become one.

use mainstay_db::{Dialect, PgTerms};
use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::sea_query::extension::sqlite::SqliteExpr;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};

use crate::entity::{Column, Entity, words};

/// Posts in which each of `words` begins a word. No words match no post.
pub(super) fn has_words(dialect: Dialect, words: &[String]) -> Expr {
    if words.is_empty() {
        return Expr::Constant(false.into());
    }
    let found = match dialect {
        Dialect::Sqlite => {
            let index = Alias::new("blog_words_fts");
            let matches = SqliteExpr::matches(Expr::col(index.clone()), fts5_prefixes(words));
            Query::select().column(Alias::new("rowid")).from(index).and_where(matches).take()
        }
        Dialect::Postgres => {
            let query = Expr::val(PgTerms::prefixes(words).0).cast_as("tsquery");
            let matches = PgExpr::matches(Expr::col(Alias::new("vector")), query);
            Query::select().column(words::Column::PostId).from(words::Entity).and_where(matches).take()
        }
    };
    Expr::col((Entity, Column::Id)).in_subquery(found)
}

/// Folded words as an FTS5 query for all of them, each as a prefix. In quotes nothing is an operator,
/// and a word holds no quote.
fn fts5_prefixes(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"*")).collect::<Vec<_>>().join(" ")
}
