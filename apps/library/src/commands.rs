//! `mainstay library import` and `mainstay library export`.

use clap::{FromArgMatches as _, Subcommand};
use mainstay_app::Command;
use mainstay_core::Actor;
use mainstay_transfer::{ExportFile, ImportFile};

use crate::Books;

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
    Import(ImportFile),
    /// Write all books, in the form that import takes
    Export(ExportFile),
}

impl Action {
    async fn run(self, books: &Books) -> anyhow::Result<()> {
        match self {
            Self::Import(file) => file.run(books, &Actor::system("library import")).await,
            Self::Export(file) => file.run(books.export(Actor::system("library export"))).await,
        }
    }
}
