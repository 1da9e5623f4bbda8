//! Bringing a file of books into the library, batch by batch.

use std::io::BufRead;

use mainstay_core::{Actor, Faults};

use crate::domain::book::NewBook;
use crate::error::LibraryError;
use crate::service::{BATCH_ROWS, Books, ImportCounts};
use crate::transfer::{ReadError, Records};

/// Refused rows that a report describes; the others it only counts.
pub const MAX_REPORTED: usize = 50;

/// Whether an import writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Write,
    /// It checks and counts. An ISBN that comes again more than a batch later
    /// counts as created again: remembering all would take memory without bound.
    DryRun,
}

/// How an import goes, or went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What became of the good rows.
    pub counts: ImportCounts,
    /// How many rows were refused.
    pub failed: u64,
    /// The first 50 of them.
    pub refused: Vec<RefusedRow>,
}

/// A row that is no book.
#[derive(Clone, Debug)]
pub struct RefusedRow {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// Everything that is wrong with it.
    pub faults: Faults,
}

impl Report {
    /// Rows read so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let ImportCounts { created, updated, unchanged } = self.counts;
        created + updated + unchanged + self.failed
    }

    fn refuse(&mut self, row: RefusedRow) {
        self.failed += 1;
        if self.refused.len() < MAX_REPORTED {
            self.refused.push(row);
        }
    }

    fn add(&mut self, batch: ImportCounts) {
        let ImportCounts { created, updated, unchanged } = batch;
        self.counts.created += created;
        self.counts.updated += updated;
        self.counts.unchanged += unchanged;
    }
}

/// Why an import stopped before the end of its file. What was counted until
/// then stays imported.
#[derive(Debug, thiserror::Error)]
#[error("the import stopped after {} rows", .report.rows())]
pub struct Stopped {
    /// How far it got.
    pub report: Report,
    /// Why.
    pub source: Cause,
}

/// What stops an import.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The file can't be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database failed.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// Imports `records`, 500 rows in a transaction: books whose ISBN is new are
/// added, the others changed. Rows that are no book are refused one by one.
/// Calls `progress` after each batch with the report so far and the bytes read.
///
/// # Errors
/// [`Stopped`], with the report of the batches before.
pub async fn import<R: BufRead + Send + 'static>(
    books: &Books,
    actor: &Actor,
    mut records: Records<R>,
    mode: Mode,
    mut progress: impl FnMut(&Report, u64),
) -> Result<Report, Box<Stopped>> {
    let mut report = Report::default();
    loop {
        let mut batch = Batch::default();
        // A file may be a pipe that waits for somebody: not on a thread that others need.
        (records, batch) = tokio::task::spawn_blocking(move || {
            batch.fill(&mut records);
            (records, batch)
        })
        .await
        .expect("reading does not panic and is not cancelled");
        let written = match mode {
            Mode::Write => books.import(actor, &batch.good).await,
            Mode::DryRun => books.try_import(&batch.good).await,
        };
        match written {
            Ok(counts) => report.add(counts),
            Err(error) => return Err(Box::new(Stopped { report, source: error.into() })),
        }
        batch.refused.into_iter().for_each(|row| report.refuse(row));
        progress(&report, records.bytes_read());
        match batch.end {
            None => {}
            Some(Ok(())) => return Ok(report),
            Some(Err(error)) => return Err(Box::new(Stopped { report, source: error.into() })),
        }
    }
}

/// Rows that are imported together.
#[derive(Default)]
struct Batch {
    good: Vec<NewBook>,
    refused: Vec<RefusedRow>,
    /// Whether the file ended in it, and how.
    end: Option<Result<(), ReadError>>,
}

impl Batch {
    fn fill<R: BufRead>(&mut self, records: &mut Records<R>) {
        while self.good.len() + self.refused.len() < BATCH_ROWS {
            match records.next() {
                Some(Ok(record)) => match record.book {
                    Ok(book) => self.good.push(book),
                    Err(faults) => self.refused.push(RefusedRow { line: record.line, faults }),
                },
                Some(Err(error)) => {
                    self.end = Some(Err(error));
                    return;
                }
                None => {
                    self.end = Some(Ok(()));
                    return;
                }
            }
        }
    }
}
