//! The records of a file, one after the other.

use std::io::{self, BufRead};
use std::marker::PhantomData;

use mainstay_core::{Faults, Input};

use crate::csv::Csv;
use crate::format::Format;
use crate::lines::Lines;
use crate::ndjson;

/// One record of a file.
#[derive(Debug)]
pub struct Record<N> {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// What it describes, or everything that is wrong with it.
    pub row: Result<N, Faults>,
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

/// Reads the records of a file, in memory for one of them.
#[derive(Debug)]
pub struct Records<N, R>(Kind<R>, PhantomData<fn() -> N>);

#[derive(Debug)]
enum Kind<R> {
    Csv(Csv<R>),
    Ndjson(Lines<R>),
}

impl<N: Input, R: BufRead> Records<N, R> {
    /// The records of a file in this form. Reads the header row, if it has one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(format: Format, file: R) -> Result<Self, ReadError> {
        let lines = Lines::new(file);
        let kind = match format {
            Format::Csv => Kind::Csv(Csv::open::<N>(lines)?),
            Format::Ndjson => Kind::Ndjson(lines),
        };
        Ok(Self(kind, PhantomData))
    }

    /// How many bytes of the file have been read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match &self.0 {
            Kind::Csv(records) => records.lines().bytes_read(),
            Kind::Ndjson(lines) => lines.bytes_read(),
        }
    }
}

impl<N: Input, R: BufRead> Iterator for Records<N, R> {
    type Item = Result<Record<N>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Kind::Csv(records) => records.next(),
            Kind::Ndjson(lines) => ndjson::next(lines),
        }
    }
}
