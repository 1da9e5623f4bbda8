//! The row of a book. Private: the rest of the crate sees [`Book`].

use chrono::{Datelike as _, NaiveDate};
use mainstay_core::Timestamp;
use mainstay_db::PointRow;
use mainstay_db::words::line_of_words;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::entity::prelude::*;

use crate::domain::book::{Book, BookId, Details};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "books")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) author: String,
    pub(crate) title_words: String,
    pub(crate) author_words: String,
    pub(crate) published_date: Option<Date>,
    pub(crate) published_order: i32,
    pub(crate) isbn: String,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Book {
    fn from(row: Model) -> Self {
        let Model {
            id,
            title,
            author,
            title_words: _,
            author_words: _,
            published_date,
            published_order: _,
            isbn,
            version,
            created_at,
            updated_at,
        } = row;
        Self {
            id: BookId::new(id),
            title,
            author,
            published_date,
            isbn,
            version,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        }
    }
}

impl Book {
    /// The columns that make one.
    pub(crate) const COLUMNS: [Column; 8] = [
        Column::Id,
        Column::Title,
        Column::Author,
        Column::PublishedDate,
        Column::Isbn,
        Column::Version,
        Column::CreatedAt,
        Column::UpdatedAt,
    ];
}

impl TryFrom<&PointRow> for Book {
    type Error = DbErr;

    fn try_from(row: &PointRow) -> Result<Self, DbErr> {
        Ok(Self {
            id: BookId::new(row.get("id")?),
            title: row.get("title")?,
            author: row.get("author")?,
            published_date: row.get("published_date")?,
            isbn: row.get("isbn")?,
            version: row.get("version")?,
            created_at: Timestamp::from_millis(row.get("created_at")?),
            updated_at: Timestamp::from_millis(row.get("updated_at")?),
        })
    }
}

/// The row of a book that is added now.
pub(crate) fn row(details: Details<'_>, now: Timestamp) -> ActiveModel {
    let Details { title, author, published_date, isbn } = details;
    ActiveModel {
        id: NotSet,
        title: Set(title.to_owned()),
        author: Set(author.to_owned()),
        title_words: Set(line_of_words(title)),
        author_words: Set(line_of_words(author)),
        published_date: Set(published_date),
        published_order: Set(published_date.map_or(UNKNOWN_DAY, published_order)),
        isbn: Set(isbn.to_owned()),
        version: Set(1),
        created_at: Set(now.millis()),
        updated_at: Set(now.millis()),
    }
}

/// Comes after every day that there is.
pub(crate) const UNKNOWN_DAY: i32 = 99_999_999;

/// A day as a number that orders like it: 18151223.
pub(crate) fn published_order(day: NaiveDate) -> i32 {
    (day.year() * 100 + day.month0() as i32 + 1) * 100 + day.day0() as i32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_order_as_numbers_and_the_unknown_one_comes_last() {
        let day = |text: &str| published_order(text.parse().unwrap());
        assert_eq!(day("1815-12-23"), 18_151_223);
        assert!(day("0999-12-31") < day("1000-01-01"));
        assert!(day("9999-12-31") < UNKNOWN_DAY);
    }
}
