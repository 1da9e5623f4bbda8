//! The order of search results. It is ours, not `bm25` or `ts_rank`: both
//! databases give the same, and a reader can tell why a book stands where it does.

use mainstay_core::text::padded;
use mainstay_db::like_prefix;
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait as _, LikeExpr};

use crate::entity::Column;

/// How well a book matches that has every one of `words` somewhere; 0 is best:
///
/// 0. it is the title,
/// 1. the title begins with it (the last word may go on),
/// 2. every word is a word of the title,
/// 3. every word begins a word of the title,
/// 4. every word begins a word of the author,
/// 5. the words are spread over title and author.
pub(super) fn rank(words: &[String]) -> Expr {
    let line = padded(words);
    let tiers = [
        Expr::col(Column::TitleWords).eq(line.as_str()),
        like(Column::TitleWords, like_prefix(line.trim_end())),
        all(words.iter().map(|word| like(Column::TitleWords, contains(&format!(" {word} "))))),
        begins_words(Column::TitleWords, words),
        begins_words(Column::AuthorWords, words),
    ];
    let worst = tier(tiers.len());
    let case = tiers
        .into_iter()
        .enumerate()
        .fold(CaseStatement::new(), |case, (place, holds)| case.case(holds, tier(place)));
    case.finally(worst).into()
}

/// Each of `words` begins a word in this column.
pub(super) fn begins_words(column: Column, words: &[String]) -> Expr {
    all(words.iter().map(|word| like(column, contains(&format!(" {word}")))))
}

fn tier(place: usize) -> Expr {
    Expr::Constant(i32::try_from(place).unwrap_or(i32::MAX).into())
}

fn all(conditions: impl Iterator<Item = Expr>) -> Expr {
    conditions.reduce(Expr::and).unwrap_or(Expr::Constant(true.into()))
}

fn like(column: Column, pattern: String) -> Expr {
    Expr::col(column).like(LikeExpr::new(pattern).escape('\\'))
}

fn contains(text: &str) -> String {
    format!("%{}", like_prefix(text))
}
