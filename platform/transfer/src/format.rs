//! The forms of a file.

use axum::http::{HeaderMap, header};
use mainstay_core::Invalid;
use mainstay_core::input::Text;
use serde_json::{Value, json};

use crate::{Row, csv, ndjson};

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
    pub fn disposition<T: Row>(self) -> String {
        format!("attachment; filename=\"{}.{}\"", T::MANY, self.name())
    }

    /// What stands before the first row.
    #[must_use]
    pub fn head<T: Row>(self) -> Vec<u8> {
        match self {
            Self::Csv => (T::COLUMNS.join(",") + "\r\n").into_bytes(),
            Self::Ndjson => Vec::new(),
        }
    }

    /// These rows as they stand in the file.
    #[must_use]
    pub fn rows<T: Row>(self, rows: &[T]) -> Vec<u8> {
        match self {
            Self::Csv => csv::rows(rows),
            Self::Ndjson => ndjson::rows(rows),
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
