//! The commands that read and write files.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use futures_util::{Stream, TryStreamExt as _, pin_mut};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use mainstay_core::{Actor, Faults};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

use crate::import::{self, Import, Mode, Report, Stopped};
use crate::{Format, Records, Row};

/// The arguments of an `import` command.
#[derive(Args, Clone, Debug)]
pub struct ImportFile {
    /// The file; - is the standard input
    file: PathBuf,
    /// What it holds; by the ending of its name if absent
    #[arg(long)]
    format: Option<Format>,
    /// Check everything, write nothing
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of an `export` command.
#[derive(Args, Clone, Debug)]
pub struct ExportFile {
    /// The file to write; the standard output if absent
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// csv or ndjson; by the ending of the file's name if absent, else csv
    #[arg(long)]
    format: Option<Format>,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Csv, Self::Ndjson]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl ImportFile {
    /// Imports the file, with a progress bar on a terminal, and tells what became of it.
    ///
    /// # Errors
    /// If the file can't be read, nothing more can be written, or a row was refused.
    pub async fn run<I: Import>(&self, target: &I, actor: &Actor) -> anyhow::Result<()> {
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Write };
        import_file(target, actor, &self.file, self.format, mode).await
    }
}

impl ExportFile {
    /// Writes all rows.
    ///
    /// # Errors
    /// If they can't be read or written.
    pub async fn run<T: Row, E: Error + Send + Sync + 'static>(
        &self,
        batches: impl Stream<Item = Result<Vec<T>, E>>,
    ) -> anyhow::Result<()> {
        export_file(batches, self.output.as_deref(), self.format).await
    }
}

fn format_of(file: &Path) -> Option<Format> {
    Format::of_file(&file.to_string_lossy())
}

async fn import_file<I: Import>(
    target: &I,
    actor: &Actor,
    file: &Path,
    format: Option<Format>,
    mode: Mode,
) -> anyhow::Result<()> {
    let format = format.or_else(|| format_of(file)).context("say --format csv or --format ndjson")?;
    let (source, size): (Box<dyn Read + Send>, _) = if file == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let opened = File::open(file).with_context(|| format!("can't open {}", file.display()))?;
        let size = opened.metadata().ok().filter(std::fs::Metadata::is_file).map(|about| about.len());
        (Box::new(opened), size)
    };
    let records = Records::open(format, BufReader::with_capacity(64 * 1024, source))
        .with_context(|| format!("can't read {}", file.display()))?;

    let mut progress = Progress::begin(size);
    let outcome = import::import(target, actor, records, mode, |report, bytes| {
        progress.advance(report.rows(), bytes);
    })
    .await;
    progress.end();

    let (report, stopped) = match outcome {
        Ok(report) => (report, None),
        Err(stopped) => {
            let Stopped { report, source } = *stopped;
            (report, Some(source))
        }
    };
    tell(&report, mode);
    if let Some(cause) = stopped {
        return Err(cause).with_context(|| format!("stopped after {} rows", HumanCount(report.rows())));
    }
    if report.failed > 0 {
        bail!("{} of {} rows were refused", HumanCount(report.failed), HumanCount(report.rows()));
    }
    Ok(())
}

fn tell(report: &Report, mode: Mode) {
    for row in &report.refused {
        eprintln!("line {}: {}", row.line, one_line(&row.faults));
    }
    let unsaid = report.failed - report.refused.len() as u64;
    if unsaid > 0 {
        eprintln!("… and {} more", HumanCount(unsaid));
    }
    let would = if mode == Mode::DryRun { " (dry run: nothing was written)" } else { "" };
    println!(
        "{} rows: {} created, {} updated, {} unchanged, {} refused{would}",
        HumanCount(report.rows()),
        HumanCount(report.counts.created),
        HumanCount(report.counts.updated),
        HumanCount(report.counts.unchanged),
        HumanCount(report.failed),
    );
}

fn one_line(faults: &Faults) -> String {
    let described = faults.as_slice().iter().map(|fault| format!("{} {}", fault.field, fault.message));
    described.map(|text| text.trim().to_owned()).collect::<Vec<_>>().join("; ")
}

async fn export_file<T: Row, E: Error + Send + Sync + 'static>(
    batches: impl Stream<Item = Result<Vec<T>, E>>,
    output: Option<&Path>,
    format: Option<Format>,
) -> anyhow::Result<()> {
    let format = format.or_else(|| format_of(output?)).unwrap_or(Format::Csv);
    let (count, place) = match output {
        None => (write_all(batches, tokio::io::stdout(), format).await?, "the standard output".to_owned()),
        Some(path) => {
            let file = tokio::fs::File::create(path)
                .await
                .with_context(|| format!("can't write {}", path.display()))?;
            (write_all(batches, file, format).await?, path.display().to_string())
        }
    };
    eprintln!("{} {} written to {place}", HumanCount(count), T::MANY);
    Ok(())
}

async fn write_all<T: Row, E: Error + Send + Sync + 'static>(
    batches: impl Stream<Item = Result<Vec<T>, E>>,
    output: impl AsyncWrite + Unpin,
    format: Format,
) -> anyhow::Result<u64> {
    let mut output = BufWriter::new(output);
    output.write_all(&format.head::<T>()).await?;
    pin_mut!(batches);
    let mut count = 0;
    while let Some(batch) = batches.try_next().await? {
        output.write_all(&format.rows(&batch)).await?;
        count += batch.len() as u64;
    }
    output.flush().await?;
    Ok(count)
}

/// Rows so far: a bar on a terminal, a line every 10,000 rows elsewhere.
struct Progress {
    bar: ProgressBar,
    lines: bool,
    told: u64,
}

impl Progress {
    const ROWS_A_LINE: u64 = 10_000;

    fn begin(size_bytes: Option<u64>) -> Self {
        let lines = !io::stderr().is_terminal();
        let (bar, template) = match size_bytes {
            _ if lines => (ProgressBar::hidden(), ""),
            Some(size) => {
                (ProgressBar::new(size), "{bar:40} {percent:>3} %  {msg} rows  {elapsed}, {eta} left")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {msg} rows  {elapsed}"),
        };
        if !lines {
            bar.set_style(ProgressStyle::with_template(template).expect("the template is one"));
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar, lines, told: 0 }
    }

    fn advance(&mut self, rows: u64, bytes: u64) {
        if self.lines && rows / Self::ROWS_A_LINE > self.told / Self::ROWS_A_LINE {
            eprintln!("{} rows", HumanCount(rows));
            self.told = rows;
        }
        self.bar.set_position(bytes);
        self.bar.set_message(HumanCount(rows).to_string());
    }

    fn end(self) {
        self.bar.finish_and_clear();
    }
}
