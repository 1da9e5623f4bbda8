//! CSV (RFC 4180) with a header row that names the columns, in any order.

use std::io::BufRead;

use ::csv::{ByteRecord, QuoteStyle, Reader, ReaderBuilder, Terminator, WriterBuilder};
use mainstay_core::{Faults, Input, input};

use crate::Row;
use crate::lines::Lines;
use crate::records::{ReadError, Record};

pub(crate) fn rows<T: Row>(rows: &[T]) -> Vec<u8> {
    let bytes = Vec::with_capacity(rows.len() * 100);
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .terminator(Terminator::CRLF)
        .from_writer(bytes);
    for row in rows {
        writer.write_record(row.cells().iter().map(|cell| cell.as_bytes())).expect("memory takes every row");
    }
    writer.into_inner().expect("memory takes every row")
}

#[derive(Debug)]
pub(crate) struct Csv<R> {
    reader: Reader<Lines<R>>,
    columns: Vec<String>,
    record: ByteRecord,
}

impl<R: BufRead> Csv<R> {
    pub(crate) fn open<N: Input>(lines: Lines<R>) -> Result<Self, ReadError> {
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
        records.columns = columns::<N>(&records.record).map_err(ReadError::Header)?;
        Ok(records)
    }

    pub(crate) fn lines(&self) -> &Lines<R> {
        self.reader.get_ref()
    }

    pub(crate) fn next<N: Input>(&mut self) -> Option<Result<Record<N>, ReadError>> {
        match self.read() {
            Ok(true) => Some(Ok(Record { line: self.line(), row: self.row() })),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
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

    fn row<N: Input>(&self) -> Result<N, Faults> {
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

/// The columns that a header row names, or what is wrong with it.
fn columns<N: Input>(header: &ByteRecord) -> Result<Vec<String>, String> {
    let known = N::properties();
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
    use crate::Format;
    use crate::records::Records;
    use mainstay_core::Many;

    mainstay_core::text_type! {
        /// A name.
        pub struct Name(1..=10);
    }
    mainstay_core::input! {
        /// A thing.
        pub struct Thing {
            /// What it is called.
            title: Name,
            /// Who made it.
            author: Name,
            /// How many.
            count: Option<i64>,
            /// Never in a file of ours.
            others: Many<Name>,
        }
    }

    fn open(text: &str) -> Result<Records<Thing, &[u8]>, ReadError> {
        Records::open(Format::Csv, text.as_bytes())
    }

    fn read(text: &str) -> Vec<(u64, Result<String, Vec<String>>)> {
        let codes =
            |faults: Faults| faults.as_slice().iter().map(|f| format!("{}:{}", f.field, f.code)).collect();
        open(text)
            .unwrap()
            .map(|record| record.unwrap())
            .map(|record| (record.line, record.row.map(|thing| thing.title.into_string()).map_err(codes)))
            .collect()
    }

    #[test]
    fn each_record_knows_the_line_it_begins_on() {
        for end in ["\n", "\r\n"] {
            let text = "count,title,author\n1,One,A\n\n\n2,\"Two\nlines\",B\n3,Three,C";
            assert_eq!(
                read(&text.replace('\n', end)),
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
        let read = read("title,author,count\n,A,x\nonly\nTwo,B,\n");
        assert_eq!(read[0].1, Err(vec!["title:required".to_owned(), "count:wrong_type".to_owned()]));
        assert_eq!(read[1], (3, Err(vec![":cell_count".to_owned()])));
        assert_eq!(read[2], (4, Ok("Two".to_owned())));
    }

    #[test]
    fn a_header_row_must_be_ours() {
        for (header, reason) in [
            ("", "is missing"),
            ("title,author,colour", "\"colour\""),
            ("title,author,title", "twice"),
            ("title,count", "lacks the column author"),
        ] {
            let error = open(header).unwrap_err().to_string();
            assert!(error.contains(reason), "{header}: {error}");
        }
    }

    #[test]
    fn a_quotation_mark_left_open_does_not_fill_the_memory() {
        let text = format!("title,author\n\"Open,A\n{}", "x,y\n".repeat(100_000));
        let mut records = open(&text).unwrap();
        assert!(records.next().unwrap().unwrap_err().to_string().contains("quotation mark"));
    }
}
