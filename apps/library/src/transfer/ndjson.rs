//! NDJSON: a JSON object on each line.

use std::io::BufRead;

use mainstay_core::{Faults, input};
use serde::Serialize;

use super::lines::Lines;
use super::{ReadError, Record};
use crate::domain::book::{Book, Details, NewBook};

#[derive(Serialize)]
struct Row<'a> {
    title: &'a str,
    author: &'a str,
    published_date: Option<String>,
    isbn: &'a str,
}

pub(super) fn rows(books: &[Book]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(books.len() * 160);
    for Details { title, author, published_date, isbn } in books.iter().map(Book::details) {
        let published_date = published_date.map(|date| date.to_string());
        serde_json::to_writer(&mut bytes, &Row { title, author, published_date, isbn })
            .expect("memory takes every row");
        bytes.push(b'\n');
    }
    bytes
}

#[derive(Debug)]
pub(super) struct Records<R> {
    lines: Lines<R>,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        Self { lines }
    }

    pub(super) fn lines(&self) -> &Lines<R> {
        &self.lines
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.lines.begin_record();
            let book = match self.lines.next_line() {
                Ok(None) => return None,
                Ok(Some(line)) if line.trim_ascii().is_empty() => continue,
                Ok(Some(line)) => book(line),
                Err(source) => return Some(Err(ReadError::Io { line: self.lines.count(), source })),
            };
            return Some(Ok(Record { line: self.lines.count(), book }));
        }
    }
}

fn book(line: &[u8]) -> Result<NewBook, Faults> {
    let value = serde_json::from_slice(line)
        .map_err(|error| Faults::one("", "malformed", format!("is not JSON: {error}")))?;
    input::from_json(&value)
}
