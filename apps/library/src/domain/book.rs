//! Books, and what may be said of one.
//!
//! [`NewBook`] and [`BookPatch`] are checked when they are read, so that a
//! [`Book`] made from them keeps every rule. A stored book is not checked again:
//! a rule that grows stricter must not make older books unreadable.

use chrono::NaiveDate;
use mainstay_core::input::Text;
use mainstay_core::{Invalid, Patch, Timestamp};
use serde_json::{Value, json};

use super::isbn::Isbn;

mainstay_core::number_ids! {
    /// Names a book: 1 and up, in the order they were added.
    pub struct BookId;
}

mainstay_core::text_type! {
    /// A book's title: one line of 1 to 150 characters.
    pub struct Title(1..=150);
}

mainstay_core::text_type! {
    /// Who wrote a book: one line of 1 to 100 characters.
    pub struct Author(1..=100);
}

impl Text for Isbn {
    fn schema() -> Value {
        json!({
            "type": "string",
            // No pattern could tell what the parser accepts: labels, dashes of every
            // width. The shortest number has ten characters.
            "format": "isbn",
            "minLength": 10,
            "examples": ["978-0-14-143951-8", "0306406152"],
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::parse(text).map_err(|error| Invalid::new(error.code(), error.to_string()))
    }
}

mainstay_core::input! {
    /// A book to add, or what a book is to become.
    pub struct NewBook {
        /// The title: 1 to 150 characters.
        title: Title,
        /// Who wrote it: 1 to 100 characters.
        author: Author,
        /// The day it was published. Unknown if absent or `null`.
        published_date: Option<NaiveDate>,
        /// ISBN-10 or ISBN-13 with a right check digit; hyphens and spaces are
        /// fine. Kept as the 13 digits of the ISBN-13; no two books share one.
        isbn: Isbn,
    }
}

mainstay_core::input! {
    /// What is to change about a book. What is absent stays as it is.
    pub struct BookPatch {
        /// The title: 1 to 150 characters.
        title: Patch<Title>,
        /// Who wrote it: 1 to 100 characters.
        author: Patch<Author>,
        /// The day it was published; `null` if it is not known after all.
        published_date: Patch<Option<NaiveDate>>,
        /// ISBN-10 or ISBN-13 with a right check digit.
        isbn: Patch<Isbn>,
    }
}

impl From<NewBook> for BookPatch {
    /// Replacing a book is a change that leaves nothing as it is.
    fn from(new: NewBook) -> Self {
        let NewBook { title, author, published_date, isbn } = new;
        Self {
            title: Patch::Set(title),
            author: Patch::Set(author),
            published_date: Patch::Set(published_date),
            isbn: Patch::Set(isbn),
        }
    }
}

/// A book that the library has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    /// Names it.
    pub id: BookId,
    /// Its title.
    pub title: String,
    /// Who wrote it.
    pub author: String,
    /// When it was published. `None` if that is not known.
    pub published_date: Option<NaiveDate>,
    /// The 13 digits of its ISBN-13.
    pub isbn: String,
    /// Counts its changes, from 1: the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What is said of a book, apart from where and when we keep it: equal details
/// mean that there is nothing to change. Import takes these, export gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Details<'a> {
    /// Its title.
    pub title: &'a str,
    /// Who wrote it.
    pub author: &'a str,
    /// When it was published. `None` if that is not known.
    pub published_date: Option<NaiveDate>,
    /// The 13 digits of its ISBN-13.
    pub isbn: &'a str,
}

impl NewBook {
    /// What it says of the book.
    #[must_use]
    pub fn details(&self) -> Details<'_> {
        let Self { title, author, published_date, isbn } = self;
        Details {
            title: title.as_str(),
            author: author.as_str(),
            published_date: *published_date,
            isbn: isbn.hyphenless(),
        }
    }
}

impl Book {
    /// What is said of it.
    #[must_use]
    pub fn details(&self) -> Details<'_> {
        let Self { id: _, title, author, published_date, isbn, version: _, created_at: _, updated_at: _ } =
            self;
        Details { title, author, published_date: *published_date, isbn }
    }

    /// The book as it is after this change.
    #[must_use]
    pub fn patched(&self, patch: BookPatch) -> Self {
        let BookPatch { title, author, published_date, isbn } = patch;
        let mut book = self.clone();
        if let Patch::Set(title) = title {
            book.title = title.into_string();
        }
        if let Patch::Set(author) = author {
            book.author = author.into_string();
        }
        if let Patch::Set(isbn) = isbn {
            book.isbn = isbn.to_string();
        }
        book.published_date = published_date.over(book.published_date);
        book
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::input::from_json;

    fn book() -> Book {
        Book {
            id: BookId::new(7),
            title: "Emma".to_owned(),
            author: "Jane Austen".to_owned(),
            published_date: NaiveDate::from_ymd_opt(1815, 12, 23),
            isbn: "9780306406157".to_owned(),
            version: 3,
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(2),
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!("7".parse::<BookId>().unwrap(), BookId::new(7));
        for bad in ["", "0", "07", "+7", "-7", "7.0", " 7", "abc", "9223372036854775808", "７"] {
            assert!(bad.parse::<BookId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_isbn_that_is_none_says_why() {
        let body = json!({"title": "Emma", "author": "Jane Austen", "isbn": "9780306406158"});

        let faults = from_json::<NewBook>(&body).unwrap_err();

        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert_eq!((fault.field.as_str(), &*fault.code), ("isbn", "isbn_check_digit"));
        assert!(fault.message.contains("call for 7"), "{fault:?}");
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_clears() {
        let patch = |body| book().patched(from_json(&body).unwrap());

        assert_eq!(patch(json!({})), book());
        assert_eq!(patch(json!({"published_date": null})), Book { published_date: None, ..book() });
        assert_eq!(
            patch(json!({"title": " Emma  Brown "})),
            Book { title: "Emma Brown".to_owned(), ..book() }
        );
        assert!(from_json::<BookPatch>(&json!({"isbn": null})).is_err());
    }

    #[test]
    fn a_replacement_forgets_what_it_does_not_say() {
        let new = json!({"title": "Emma", "author": "Jane Austen", "isbn": "0-306-40615-2"});

        let replaced = book().patched(from_json::<NewBook>(&new).unwrap().into());

        assert_eq!(replaced, Book { published_date: None, ..book() });
    }
}
