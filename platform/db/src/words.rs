//! Rows found by the beginnings of their words, and the order of what is found.
//!
//! Words are folded and split by the program (`mainstay_core::text::words`) and
//! kept beside the text, padded with spaces. The database's own full-text index
//! only finds the candidates: FTS5 on SQLite, a GIN over a `tsvector` on
//! PostgreSQL that no parser of its own ever saw. The order is an expression over
//! the same columns, not `bm25` or `ts_rank`: both databases give the same, and a
//! reader can tell why a row stands where it does.

use mainstay_core::text;
use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::sea_query::extension::sqlite::SqliteExpr;
use sea_orm::sea_query::{
    Alias, Asterisk, CaseStatement, Expr, ExprTrait as _, Func, IntoColumnRef, LikeExpr, Query,
    SelectStatement, Table,
};

use crate::dialect::{fts5_index, gin_of_words, like_prefix};
use crate::{Dialect, PgTerms, Steps};

/// The folded words of a line as a column holds them, padded with spaces.
///
/// An entry of a PostgreSQL index takes 2,700 bytes. No line that anybody would
/// write comes near it, but a few single characters fold to whole sentences
/// (U+FDFA), and a hundred of those must not fail: the last ones are not kept.
#[must_use]
pub fn line_of_words(line: &str) -> String {
    const MOST_BYTES: usize = 2_000;
    let mut words = text::words(line);
    let mut length = 1;
    let fitting = words.iter().take_while(|word| {
        length += word.len() + 1;
        length <= MOST_BYTES
    });
    words.truncate(fitting.count());
    text::padded(&words)
}

/// An index over all words of some columns of a table.
#[derive(Clone, Copy, Debug)]
pub struct WordIndex {
    table: &'static str,
    id: &'static str,
    columns: &'static [&'static str],
}

impl WordIndex {
    /// Over `columns` of `table`, each [`padded`](text::padded) words, whose rows `id` numbers.
    #[must_use]
    pub const fn new(table: &'static str, id: &'static str, columns: &'static [&'static str]) -> Self {
        Self { table, id, columns }
    }

    /// Makes it, behind the table. Released migrations hold what this says: it never changes.
    pub fn create(&self, steps: &mut Steps) {
        let statements = match steps.dialect() {
            Dialect::Sqlite => fts5_index(self.table, self.id, self.columns),
            Dialect::Postgres => gin_of_words(self.table, self.columns),
        };
        for sql in statements {
            steps.raw(sql);
        }
    }

    /// Removes what does not go with the table. Comes before its removal.
    pub fn drop(&self, steps: &mut Steps) {
        if steps.dialect() == Dialect::Sqlite {
            steps.run(Table::drop().table(self.fts5_table()));
        }
    }

    /// Rows in whose columns each of `words` begins a word. No words match no row.
    #[must_use]
    pub fn matches(&self, dialect: Dialect, words: &[String]) -> Expr {
        if words.is_empty() {
            return Expr::Constant(false.into());
        }
        let table = Alias::new(self.table);
        match dialect {
            Dialect::Sqlite => {
                let rowids = self.fts5_matches(words).column(Alias::new("rowid")).take();
                Expr::col((table, Alias::new(self.id))).in_subquery(rowids)
            }
            Dialect::Postgres => {
                let query = Expr::val(PgTerms::prefixes(words).0).cast_as("tsquery");
                PgExpr::matches(Expr::col((table, Alias::new("words"))), query)
            }
        }
    }

    /// How many rows [`WordIndex::matches`] finds.
    #[must_use]
    pub fn count(&self, dialect: Dialect, words: &[String]) -> SelectStatement {
        let all = Func::count(Expr::col(Asterisk));
        match dialect {
            // The index alone: an eighth of the time that looking up each row takes.
            Dialect::Sqlite if !words.is_empty() => self.fts5_matches(words).expr(all).take(),
            Dialect::Sqlite | Dialect::Postgres => Query::select()
                .expr(all)
                .from(Alias::new(self.table))
                .and_where(self.matches(dialect, words))
                .take(),
        }
    }

    fn fts5_table(&self) -> Alias {
        Alias::new(format!("{}_fts", self.table))
    }

    fn fts5_matches(&self, words: &[String]) -> SelectStatement {
        let index = self.fts5_table();
        let matches = SqliteExpr::matches(Expr::col(index.clone()), fts5_prefixes(words));
        Query::select().from(index).and_where(matches).take()
    }
}

/// Folded words as an FTS5 query for all of them, each as a prefix. In quotes
/// nothing is an operator, and a word holds no quote.
fn fts5_prefixes(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"*")).collect::<Vec<_>>().join(" ")
}

/// How well a line answers to `words`, the best first:
///
/// 0. it is the line,
/// 1. the line begins with it (the last word may go on),
/// 2. every word is a word of the line,
/// 3. every word begins a word of the line.
#[must_use]
pub fn tiers_of(column: impl IntoColumnRef, words: &[String]) -> [Expr; 4] {
    let (column, line) = (column.into_column_ref(), text::padded(words));
    [
        Expr::col(column.clone()).eq(line.as_str()),
        like(column.clone(), like_prefix(line.trim_end())),
        all(words.iter().map(|word| like(column.clone(), contains(&format!(" {word} "))))),
        begins_words(column, words),
    ]
}

/// The place of the first of `tiers` that holds, from 0; their number if none does.
#[must_use]
pub fn rank(tiers: impl IntoIterator<Item = Expr>) -> Expr {
    let constant = |place: i32| Expr::Constant(place.into());
    let (case, worst) = tiers.into_iter().fold((CaseStatement::new(), 0), |(case, place), holds| {
        (case.case(holds, constant(place)), place + 1)
    });
    case.finally(constant(worst)).into()
}

/// Each of `words` begins a word in this column.
#[must_use]
pub fn begins_words(column: impl IntoColumnRef, words: &[String]) -> Expr {
    let column = column.into_column_ref();
    all(words.iter().map(|word| like(column.clone(), contains(&format!(" {word}")))))
}

/// At least one of `words` begins a word in this column.
#[must_use]
pub fn begins_a_word(column: impl IntoColumnRef, words: &[String]) -> Expr {
    let column = column.into_column_ref();
    let any = words.iter().map(|word| like(column.clone(), contains(&format!(" {word}"))));
    any.reduce(Expr::or).unwrap_or(Expr::Constant(false.into()))
}

fn all(conditions: impl Iterator<Item = Expr>) -> Expr {
    conditions.reduce(Expr::and).unwrap_or(Expr::Constant(true.into()))
}

fn like(column: impl IntoColumnRef, pattern: String) -> Expr {
    Expr::col(column).like(LikeExpr::new(pattern).escape('\\'))
}

fn contains(text: &str) -> String {
    format!("%{}", like_prefix(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_fold_to_sentences_do_not_overflow_the_index() {
        let words = line_of_words(&"\u{FDFA}".repeat(150));
        assert!(words.len() <= 2_000 && words.len() > 1_900, "{}", words.len());
        assert_eq!(line_of_words("Émile %_ Zola"), " emile zola ");
        assert_eq!(line_of_words("!?"), " ");
    }
}
