//! `mainstay catalog import` and `mainstay catalog export`.

use clap::{FromArgMatches as _, Subcommand};
use mainstay_app::Command;
use mainstay_core::Actor;
use mainstay_transfer::{ExportFile, ImportFile};

use crate::service::{Importer, Products};

/// `mainstay catalog …`.
pub(crate) fn catalog(products: Products) -> Command {
    let arguments = clap::Command::new("catalog")
        .about("Bring products in and out as files")
        .subcommand_required(true)
        .arg_required_else_help(true);
    Command::new(Action::augment_subcommands(arguments), move |matches| {
        let products = products.clone();
        async move { Action::from_arg_matches(&matches)?.run(products).await }
    })
}

#[derive(Subcommand)]
enum Action {
    /// Add the products of a file, and change those whose SKU is here already
    ///
    /// CSV needs a header row with sku, name, price and currency, and description,
    /// category (a slug), stock, tags (with | between) and attributes (a JSON object)
    /// if there are any, in any order. NDJSON has an object with these fields on each
    /// line. Rows that break a rule are reported with their line and left out; the
    /// others are imported, 1,000 in a transaction, and the exit code is not 0. What a
    /// row does not say of a product that is here is forgotten. Where a SKU comes
    /// twice, the later row wins.
    Import {
        #[command(flatten)]
        file: ImportFile,
        /// Make categories that are not there, at the top and called by their slugs
        #[arg(long)]
        create_categories: bool,
    },
    /// Write all products, in the form that import takes
    Export(ExportFile),
}

impl Action {
    async fn run(self, products: Products) -> anyhow::Result<()> {
        match self {
            Self::Import { file, create_categories } => {
                let importer = Importer::new(products, create_categories);
                file.run(&importer, &Actor::system("catalog import")).await
            }
            Self::Export(file) => file.run(products.export(Actor::system("catalog export"))).await,
        }
    }
}
