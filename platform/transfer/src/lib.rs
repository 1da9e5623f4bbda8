#![doc = include_str!("../README.md")]

mod answer;
mod commands;
mod csv;
mod format;
pub mod import;
mod lines;
mod ndjson;
mod records;

use std::borrow::Cow;

use mainstay_core::Input;
use serde::Serialize;

pub use answer::export;
pub use commands::{ExportFile, ImportFile};
pub use format::Format;
pub use import::{Import, ImportCounts, Mode, Written};
pub use lines::MAX_RECORD_BYTES;
pub use records::{ReadError, Record, Records};

/// Something that stands in a file as a row.
pub trait Row: Send {
    /// What a row is read as: its properties are the columns that a file may have.
    type New: Input + Send + Sync + 'static;

    /// What many of them are called: `books`. Names the file.
    const MANY: &'static str;

    /// The columns that are written, in order; some of those of [`Row::New`].
    const COLUMNS: &'static [&'static str];

    /// Its cells in a CSV file, one for each column. What is not known is empty.
    fn cells(&self) -> Vec<Cow<'_, str>>;

    /// Its object in an NDJSON file: the columns, in order.
    fn object(&self) -> impl Serialize;
}
