//! Bringing a file in, batch by batch.

use std::error::Error;
use std::future::Future;
use std::io::BufRead;

use mainstay_core::{Actor, Faults, Input};

use crate::records::{ReadError, Records};

/// Refused rows that a report describes; the others it only counts.
pub const MAX_REPORTED: usize = 50;

/// Whether an import writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Write,
    /// It checks and counts. What comes again more than a batch later counts as
    /// created again: remembering all would take memory without bound.
    DryRun,
}

/// What an import did, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Added: nothing had the key.
    pub created: u64,
    /// What had the key was changed.
    pub updated: u64,
    /// What has the key says the same already.
    pub unchanged: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Of the rows that were taken.
    pub counts: ImportCounts,
    /// Places in the batch of those that break a rule that only what is stored shows.
    pub refused: Vec<(usize, Faults)>,
}

impl From<ImportCounts> for Written {
    fn from(counts: ImportCounts) -> Self {
        Self { counts, refused: Vec::new() }
    }
}

/// Takes rows in.
pub trait Import: Sync {
    /// What a row is read as.
    type New: Input + Send + Sync + 'static;
    /// Why a batch could not be written.
    type Error: Error + Send + Sync + 'static;

    /// Rows that are written in one transaction.
    const BATCH_ROWS: usize;

    /// Adds `rows`, and changes what has their key already, in one transaction.
    /// With [`Mode::DryRun`] only says what that would do.
    ///
    /// # Errors
    /// If nothing could be written.
    fn take(
        &self,
        actor: &Actor,
        rows: &[Self::New],
        mode: Mode,
    ) -> impl Future<Output = Result<Written, Self::Error>> + Send;
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

/// A row that was not taken.
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
pub struct Stopped<E: Error + 'static> {
    /// How far it got.
    pub report: Report,
    /// Why.
    pub source: Cause<E>,
}

/// What stops an import.
#[derive(Debug, thiserror::Error)]
pub enum Cause<E: Error + 'static> {
    /// The file can't be read on.
    #[error(transparent)]
    Read(ReadError),
    /// The rows could not be written.
    #[error(transparent)]
    Write(E),
}

/// Imports `records`. Rows that break a rule are refused one by one. Calls
/// `progress` after each batch with the report so far and the bytes read.
///
/// # Errors
/// [`Stopped`], with the report of the batches before.
pub async fn import<I: Import, R: BufRead + Send + 'static>(
    target: &I,
    actor: &Actor,
    mut records: Records<I::New, R>,
    mode: Mode,
    mut progress: impl FnMut(&Report, u64),
) -> Result<Report, Box<Stopped<I::Error>>> {
    let mut report = Report::default();
    loop {
        let mut batch = Batch::new();
        // A file may be a pipe that waits for somebody: not on a thread that others need.
        (records, batch) = tokio::task::spawn_blocking(move || {
            batch.fill(&mut records, I::BATCH_ROWS);
            (records, batch)
        })
        .await
        .expect("reading does not panic and is not cancelled");
        let Batch { good, lines, mut refused, end } = batch;
        match target.take(actor, &good, mode).await {
            Ok(written) => {
                report.add(written.counts);
                let late = written.refused.into_iter();
                refused.extend(late.map(|(place, faults)| RefusedRow { line: lines[place], faults }));
            }
            Err(error) => return Err(Box::new(Stopped { report, source: Cause::Write(error) })),
        }
        refused.sort_by_key(|row| row.line);
        refused.into_iter().for_each(|row| report.refuse(row));
        progress(&report, records.bytes_read());
        match end {
            None => {}
            Some(Ok(())) => return Ok(report),
            Some(Err(error)) => return Err(Box::new(Stopped { report, source: Cause::Read(error) })),
        }
    }
}

/// Rows that are imported together.
struct Batch<N> {
    good: Vec<N>,
    /// The line of each good row.
    lines: Vec<u64>,
    refused: Vec<RefusedRow>,
    /// Whether the file ended in it, and how.
    end: Option<Result<(), ReadError>>,
}

impl<N: Input> Batch<N> {
    fn new() -> Self {
        Self { good: Vec::new(), lines: Vec::new(), refused: Vec::new(), end: None }
    }

    fn fill<R: BufRead>(&mut self, records: &mut Records<N, R>, rows: usize) {
        while self.good.len() + self.refused.len() < rows {
            match records.next() {
                Some(Ok(record)) => match record.row {
                    Ok(row) => {
                        self.good.push(row);
                        self.lines.push(record.line);
                    }
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
