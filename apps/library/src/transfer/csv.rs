//! CSV (RFC 4180) with a header row that names the columns, in any order.

use std::io::BufRead;

use ::csv::{ByteRecord, QuoteStyle, Reader, ReaderBuilder, Terminator, WriterBuilder};
use mainstay_core::Faults;
use mainstay_core::input::{self, Input as _};

use super::lines::Lines;
use super::{ReadError, Record};
use crate::domain::book::{Book, Details, NewBook};

pub(super) fn rows(books: &[Book]) -> Vec<u8> {
    let bytes = Vec::with_capacity(books.len() * 100);
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .terminator(Terminator::CRLF)
        .from_writer(bytes);
    for Details { title, author, published_date, isbn } in books.iter().map(Book::details) {
        let published_date = published_date.map(|date| date.to_string()).unwrap_or_default();
        writer.write_record([title, author, &published_date, isbn]).expect("memory takes every row");
    }
    writer.into_inner().expect("memory takes every row")
}

#[derive(Debug)]
pub(super) struct Records<R> {
    reader: Reader<Lines<R>>,
    columns: Vec<String>,
    record: ByteRecord,
}

impl<R: BufRead> Records<R> {
    pub(super) fn open(lines: Lines<R>) -> Result<Self, ReadError> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            // A row with too few or too many cells is that row's fault, not the file's.
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(lines);
        let mut records = Self { reader, columns: Vec::new(), record: ByteRecord::new() };
        if !records.read()? {
            return Err(ReadError::Header("is missing: the file is empty".to_owned()));
        }
        records.columns = columns(&records.record).map_err(ReadError::Header)?;
        Ok(records)
    }

    pub(super) fn lines(&self) -> &Lines<R> {
        self.reader.get_ref()
    }

    /// False at the end of the file.
    fn read(&mut self) -> Result<bool, ReadError> {
        self.reader.get_mut().begin_record();
        let read = self.reader.read_byte_record(&mut self.record);
        read.map_err(|error| ReadError::Io { line: self.lines().count(), source: error.into() })
    }

    /// The line on which the record begins. The parser's own count is a line
    /// behind where blank lines precede the record.
    fn line(&self) -> u64 {
        let breaks_inside = self.record.iter().flatten().filter(|byte| **byte == b'\n').count();
        self.lines().count() - breaks_inside as u64
    }

    fn book(&self) -> Result<NewBook, Faults> {
        let (cells, columns) = (self.record.len(), self.columns.len());
        if cells != columns {
            let message = format!("the row has {cells} cells, the header row {columns}");
            return Err(Faults::one("", "cell_count", message));
        }
        let mut pairs = Vec::with_capacity(columns);
        for (column, cell) in self.columns.iter().zip(&self.record) {
            let Ok(text) = std::str::from_utf8(cell) else {
                return Err(Faults::one(column, "not_utf8", "is not UTF-8; save the file in that encoding"));
            };
            // An empty cell is the only way in which CSV can say that there is nothing.
            if !text.trim().is_empty() {
                pairs.push((column.clone(), text.to_owned()));
            }
        }
        input::from_pairs(&pairs)
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(true) => Some(Ok(Record { line: self.line(), book: self.book() })),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// The columns that a header row names, or what is wrong with it.
fn columns(header: &ByteRecord) -> Result<Vec<String>, String> {
    let known = NewBook::properties();
    let names: Vec<String> =
        header.iter().map(|cell| String::from_utf8_lossy(cell.trim_ascii()).into_owned()).collect();
    let allowed = known.iter().map(|property| property.name).collect::<Vec<_>>().join(", ");
    for (place, name) in names.iter().enumerate() {
        if !known.iter().any(|property| property.name == name) {
            return Err(format!("names the unknown column {name:?}; there are {allowed}"));
        }
        if names[..place].contains(name) {
            return Err(format!("names the column {name} twice"));
        }
    }
    match known.iter().find(|property| property.required && !names.iter().any(|name| property.name == name)) {
        Some(missing) => Err(format!("lacks the column {}", missing.name)),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Result<String, Vec<String>>)> {
        let records = Records::open(Lines::new(text.as_bytes())).unwrap();
        let codes =
            |faults: Faults| faults.as_slice().iter().map(|f| format!("{}:{}", f.field, f.code)).collect();
        records
            .map(|record| record.unwrap())
            .map(|record| (record.line, record.book.map(|book| book.title.into_string()).map_err(codes)))
            .collect()
    }

    #[test]
    fn each_record_knows_the_line_it_begins_on() {
        for end in ["\n", "\r\n"] {
            let text =
                "isbn,title,author\n0306406152,One,A\n\n\n080442957X,\"Two\nlines\",B\n0306406152,Three,C";
            let read = read(&text.replace('\n', end));
            assert_eq!(
                read,
                [
                    (2, Ok("One".to_owned())),
                    (5, Err(vec!["title:control_characters".to_owned()])),
                    (7, Ok("Three".to_owned())),
                ],
                "{end:?}"
            );
        }
    }

    #[test]
    fn every_fault_of_a_row_is_told_and_the_next_row_is_read() {
        let read = read("title,author,isbn,published_date\n,A,123,2020-02-30\nonly\nTwo,B,0306406152,\n");
        let faults = ["title:required", "isbn:isbn_length", "published_date:invalid_date"];
        let mut found = read[0].1.clone().unwrap_err();
        found.sort_unstable();
        let mut wanted = faults.map(str::to_owned);
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        assert_eq!(read[1], (3, Err(vec![":cell_count".to_owned()])));
        assert_eq!(read[2], (4, Ok("Two".to_owned())));
    }

    #[test]
    fn a_header_row_must_be_ours() {
        for (header, reason) in [
            ("", "is missing"),
            ("title,author,isbn,colour", "\"colour\""),
            ("title,author,isbn,title", "twice"),
            ("title,author", "lacks the column isbn"),
        ] {
            let error = Records::open(Lines::new(header.as_bytes())).unwrap_err().to_string();
            assert!(error.contains(reason), "{header}: {error}");
        }
    }

    #[test]
    fn a_quotation_mark_left_open_does_not_fill_the_memory() {
        let text = format!("title,author,isbn\n\"Open,A,0306406152\n{}", "x,y,z\n".repeat(100_000));
        let mut records = Records::open(Lines::new(text.as_bytes())).unwrap();
        assert!(records.next().unwrap().unwrap_err().to_string().contains("quotation mark"));
    }
}
