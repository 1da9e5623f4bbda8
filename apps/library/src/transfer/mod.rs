//! Books as files: CSV and NDJSON, written and read. A file that was exported
//! can be imported as it is.

mod csv;
mod lines;
mod ndjson;

use std::io::{self, BufRead};

use axum::http::{HeaderMap, header};
use mainstay_core::input::Text;
use mainstay_core::{Faults, Invalid};
use serde_json::{Value, json};

use crate::domain::book::{Book, NewBook};

pub use lines::MAX_RECORD_BYTES;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180 with a header row, UTF-8.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 2] = [Self::Csv, Self::Ndjson];

    /// Its name in commands and requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// The first form that an `Accept` header names; CSV if it names neither.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let mut kinds = values
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default());
        let named = kinds.find_map(|kind| match kind.trim().to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => None,
        });
        named.unwrap_or(Self::Csv)
    }

    /// Guesses by the file's name. `None` if its ending says nothing.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// What proposes a file name to a browser.
    #[must_use]
    pub const fn disposition(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"books.csv\"",
            Self::Ndjson => "attachment; filename=\"books.ndjson\"",
        }
    }

    /// What stands before the first book.
    #[must_use]
    pub const fn head(self) -> &'static [u8] {
        match self {
            Self::Csv => b"title,author,published_date,isbn\r\n",
            Self::Ndjson => b"",
        }
    }

    /// These books as they stand in the file.
    #[must_use]
    pub fn rows(self, books: &[Book]) -> Vec<u8> {
        match self {
            Self::Csv => csv::rows(books),
            Self::Ndjson => ndjson::rows(books),
        }
    }
}

impl Text for Format {
    fn schema() -> Value {
        json!({"type": "string", "enum": Self::ALL.map(Self::name)})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| Invalid::new("not_allowed", "must be csv or ndjson"))
    }
}

/// One record of a file.
#[derive(Debug)]
pub struct Record {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// The book that it describes, or everything that is wrong with it.
    pub book: Result<NewBook, Faults>,
}

/// Why a file can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system, a record without end, or a CSV file whose quotes do not match.
    #[error("line {line}: {source}")]
    Io {
        /// How far it was read.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// The header row of a CSV file is not one of ours.
    #[error("the header row {0}")]
    Header(String),
}

/// Reads the records of a file, one after the other, in memory for one of them.
#[derive(Debug)]
pub struct Records<R>(Kind<R>);

#[derive(Debug)]
enum Kind<R> {
    Csv(csv::Records<R>),
    Ndjson(ndjson::Records<R>),
}

impl<R: BufRead> Records<R> {
    /// The records of a file in this form. Reads the header row, if it has one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(format: Format, file: R) -> Result<Self, ReadError> {
        let lines = lines::Lines::new(file);
        Ok(Self(match format {
            Format::Csv => Kind::Csv(csv::Records::open(lines)?),
            Format::Ndjson => Kind::Ndjson(ndjson::Records::new(lines)),
        }))
    }

    /// How many bytes of the file have been read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match &self.0 {
            Kind::Csv(records) => records.lines().bytes_read(),
            Kind::Ndjson(records) => records.lines().bytes_read(),
        }
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Csv(records) => records.next(),
            Kind::Ndjson(records) => records.next(),
        }
    }
}
