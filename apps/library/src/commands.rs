//! `mainstay library import` and `mainstay library export`.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::builder::PossibleValue;
use clap::{FromArgMatches as _, Subcommand, ValueEnum};
use futures_util::{TryStreamExt as _, pin_mut};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use mainstay_app::Command;
use mainstay_core::{Actor, Faults};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

use crate::Books;
use crate::import::{self, Mode, Report, Stopped};
use crate::transfer::{Format, Records};

/// `mainstay library …`.
pub(crate) fn library(books: Books) -> Command {
    let arguments = clap::Command::new("library")
        .about("Bring books in and out as files")
        .subcommand_required(true)
        .arg_required_else_help(true);
    Command::new(Action::augment_subcommands(arguments), move |matches| {
        let books = books.clone();
        async move { Action::from_arg_matches(&matches)?.run(&books).await }
    })
}

#[derive(Subcommand)]
enum Action {
    /// Add the books of a file, and change those whose ISBN is here already
    ///
    /// CSV needs a header row with title, author and isbn, and published_date if
    /// there is one, in any order. NDJSON has an object with these fields on each
    /// line. Rows that break a rule are reported with their line and left out; the
    /// others are imported, 500 in a transaction, and the exit code is not 0. Where
    /// an ISBN comes twice, the later row wins.
    Import {
        /// The file; - is the standard input
        file: PathBuf,
        /// What it holds; by the ending of its name if absent
        #[arg(long)]
        format: Option<Format>,
        /// Check everything, write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Write all books, in the form that import takes
    Export {
        /// The file to write; the standard output if absent
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// csv or ndjson; by the ending of the file's name if absent, else csv
        #[arg(long)]
        format: Option<Format>,
    },
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Csv, Self::Ndjson]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl Action {
    async fn run(self, books: &Books) -> anyhow::Result<()> {
        match self {
            Self::Import { file, format, dry_run } => {
                let mode = if dry_run { Mode::DryRun } else { Mode::Write };
                import_file(books, &file, format, mode).await
            }
            Self::Export { output, format } => export_file(books, output.as_deref(), format).await,
        }
    }
}

fn format_of(file: &Path) -> Option<Format> {
    Format::of_file(&file.to_string_lossy())
}

async fn import_file(books: &Books, file: &Path, format: Option<Format>, mode: Mode) -> anyhow::Result<()> {
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
    let outcome = import::import(books, &Actor::system("library import"), records, mode, |report, bytes| {
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

async fn export_file(books: &Books, output: Option<&Path>, format: Option<Format>) -> anyhow::Result<()> {
    let format = format.or_else(|| format_of(output?)).unwrap_or(Format::Csv);
    let (count, place) = match output {
        None => (write_all(books, tokio::io::stdout(), format).await?, "the standard output".to_owned()),
        Some(path) => {
            let file = tokio::fs::File::create(path)
                .await
                .with_context(|| format!("can't write {}", path.display()))?;
            (write_all(books, file, format).await?, path.display().to_string())
        }
    };
    eprintln!("{} books written to {place}", HumanCount(count));
    Ok(())
}

async fn write_all(books: &Books, output: impl AsyncWrite + Unpin, format: Format) -> anyhow::Result<u64> {
    let mut output = BufWriter::new(output);
    output.write_all(format.head()).await?;
    let batches = books.export(Actor::system("library export"));
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
