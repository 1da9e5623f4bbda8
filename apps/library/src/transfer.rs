//! Books as rows of files.

use std::borrow::Cow;

use mainstay_core::Actor;
use mainstay_transfer::{Import, Mode, Row, Written};
use serde::Serialize;

use crate::domain::book::{Book, Details, NewBook};
use crate::error::LibraryError;
use crate::service::{BATCH_ROWS, Books};

impl Row for Book {
    type New = NewBook;
    const MANY: &'static str = "books";
    const COLUMNS: &'static [&'static str] = &["title", "author", "published_date", "isbn"];

    fn cells(&self) -> Vec<Cow<'_, str>> {
        let Details { title, author, published_date, isbn } = self.details();
        let published_date = published_date.map(|date| date.to_string()).unwrap_or_default();
        vec![title.into(), author.into(), published_date.into(), isbn.into()]
    }

    fn object(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Object<'a> {
            title: &'a str,
            author: &'a str,
            published_date: Option<String>,
            isbn: &'a str,
        }
        let Details { title, author, published_date, isbn } = self.details();
        let published_date = published_date.map(|date| date.to_string());
        Object { title, author, published_date, isbn }
    }
}

impl Import for Books {
    type New = NewBook;
    type Error = LibraryError;
    const BATCH_ROWS: usize = BATCH_ROWS;

    async fn take(&self, actor: &Actor, rows: &[NewBook], mode: Mode) -> Result<Written, LibraryError> {
        let counts = match mode {
            Mode::Write => self.import(actor, rows).await?,
            Mode::DryRun => self.try_import(rows).await?,
        };
        Ok(counts.into())
    }
}
