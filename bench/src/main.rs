//! `make bench`: Mainstay under load, beside a bare axum server, in one run.
//!
//! Everything is seen from outside: the release binary is started, seeded
//! through its own commands and asked over HTTP. Nothing is asserted; figures
//! are printed. `README.md` tells how to read them.

mod bare;
mod books;
mod client;
mod faults;
mod histogram;
mod load;
mod postgres;
mod process;
mod products;
mod random;
mod redis;
mod report;
mod response;
mod run;
mod seed;
mod server;
mod soak;
mod workload;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Measures Mainstay beside a bare axum server and prints one table.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

/// What to measure, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The binary to measure [default: `mainstay` beside this program]
    #[arg(long, value_name = "FILE", env = "MAINSTAY_BIN")]
    pub(crate) bin: Option<PathBuf>,
    /// Measure on SQLite alone; neither PostgreSQL nor Redis is needed
    #[arg(long)]
    pub(crate) sqlite_only: bool,
    /// Only this workload; may be repeated (the bare server always runs)
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Rounds; each runs every workload once, and medians are printed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Measured seconds of a workload in a round
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seconds of load before each of them
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) warmup: f64,
    /// Keep-alive connections, each with one request at a time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// Books to seed, at least 2,000
    #[arg(long, default_value_t = 10_000, value_parser = book_count)]
    pub(crate) books: usize,
    /// Products to seed, at least 2,000
    #[arg(long, default_value_t = 100_000, value_parser = product_count)]
    pub(crate) products: usize,
    /// People to register, each with 20 posts
    #[arg(long, default_value_t = 1_000, value_parser = user_count)]
    pub(crate) users: usize,
    /// After the rounds, minutes of all reading workloads at once on each database, to watch memory
    #[arg(long, value_name = "MINUTES", default_value_t = 0.0, value_parser = minutes)]
    pub(crate) soak: f64,
    /// After the rounds, seconds under load in each state of a Redis that is harmed: what do clients notice?
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds_or_none)]
    pub(crate) faults: f64,
    /// A setting for the server's environment; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the load generator: plan on standard input, tally on standard output
    #[command(hide = true)]
    Load,
    /// Be the bare server on a port of the loopback address
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        port: u16,
    },
}

fn main() -> ExitCode {
    match start(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes in one line; a backtrace would bury it.
            eprintln!("mainstay-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli) -> Result<()> {
    match &cli.command {
        // As many threads as `mainstay serve` has.
        Some(Command::Bare { port }) => {
            Builder::new_multi_thread().enable_all().build()?.block_on(bare::serve(*port))
        }
        // One thread: it must not take more of the shared cores than it needs.
        Some(Command::Load) => Builder::new_current_thread().enable_all().build()?.block_on(load::main()),
        None => Builder::new_current_thread().enable_all().build()?.block_on(until_interrupted(&cli.options)),
    }
}

/// Interrupted or not, dropping the run ends its servers and removes its data.
async fn until_interrupted(options: &Options) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = run::run(options) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("0.1 to 3600 seconds".to_owned()) }
}

fn seconds_or_none(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { seconds(text) }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=600.0).contains(&minutes) { Ok(minutes) } else { Err("0 to 600 minutes".to_owned()) }
}

fn book_count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    // Below, 1 % of the books does not fill the first page of a search.
    if (2_000..=books::MOST).contains(&count) {
        Ok(count)
    } else {
        Err(format!("2000 to {} books", books::MOST))
    }
}

fn product_count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    if (2_000..=160_000).contains(&count) { Ok(count) } else { Err("2000 to 160000 products".to_owned()) }
}

fn user_count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    // Below, there are fewer posts than the pages that are asked for.
    if (100..=100_000).contains(&count) { Ok(count) } else { Err("100 to 100000 people".to_owned()) }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
