//! `mainstay events …` and `mainstay audit …`.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{FromArgMatches as _, Subcommand};
use indicatif::ProgressBar;
use mainstay_app::Command;
use mainstay_core::{Actor, Paging};
use mainstay_events::{DeadLetter, DeadLetterId};

use crate::Desk;
use crate::http::ByTime;

/// `mainstay events …`.
pub(crate) fn events(desk: &Desk) -> Command {
    let arguments = clap::Command::new("events")
        .about("Look after events")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let desk = desk.clone();
    Command::new(EventsAction::augment_subcommands(arguments), move |matches| {
        let desk = desk.clone();
        async move {
            let EventsAction::Dead { action } = EventsAction::from_arg_matches(&matches)?;
            action.run(&desk).await
        }
    })
}

#[derive(Subcommand)]
enum EventsAction {
    /// Events that a consumer gave up on
    Dead {
        #[command(subcommand)]
        action: DeadAction,
    },
}

#[derive(Subcommand)]
enum DeadAction {
    /// List them, the newest first
    List {
        /// Only those of this consumer
        #[arg(long)]
        consumer: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
        limit: u16,
    },
    /// Deliver them again, as if they had just come; the running server does the rest
    Replay {
        /// Which ones
        #[arg(required_unless_present = "all")]
        ids: Vec<DeadLetterId>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// With --all: only those of this consumer
        #[arg(long, requires = "all")]
        consumer: Option<String>,
    },
    /// Throw them away
    Discard {
        /// Which ones
        #[arg(required = true)]
        ids: Vec<DeadLetterId>,
    },
}

const CLI: Actor = Actor::system("cli");

impl DeadAction {
    async fn run(self, desk: &Desk) -> anyhow::Result<()> {
        let dead = &desk.dead_letters;
        match self {
            Self::List { consumer, limit } => {
                let paging = Paging::<ByTime>::first(limit);
                let page = dead.list(&paging, consumer.as_deref()).await.map_err(anyhow::Error::new)?;
                page.items.iter().for_each(print);
                println!("{} of {} dead letters", page.items.len(), page.total.unwrap_or_default());
            }
            Self::Replay { all: true, consumer, .. } => {
                let count = dead.replay_all(&CLI, consumer.as_deref()).await?;
                println!("{count} dead letters will be delivered again");
            }
            Self::Replay { ids, .. } => {
                let mut missing = 0;
                for id in ids {
                    if !dead.replay(&CLI, id).await? {
                        eprintln!("{id}: there is no such dead letter");
                        missing += 1;
                    }
                }
                ensure!(missing == 0, "{missing} of them could not be replayed");
            }
            Self::Discard { ids } => {
                let mut missing = 0;
                for id in ids {
                    if !dead.discard(&CLI, id).await? {
                        eprintln!("{id}: there is no such dead letter");
                        missing += 1;
                    }
                }
                ensure!(missing == 0, "{missing} of them were not there");
            }
        }
        Ok(())
    }
}

fn print(letter: &DeadLetter) {
    let DeadLetter { id, consumer, kind, subject, error, attempts, died_at, .. } = letter;
    println!("{id}  {died_at}  {consumer}  {kind}  {subject}  ({attempts} tries)");
    println!("    {error}");
}

/// `mainstay audit …`.
pub(crate) fn audit(desk: &Desk) -> Command {
    let arguments = clap::Command::new("audit")
        .about("Look after the audit log")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let desk = desk.clone();
    Command::new(AuditAction::augment_subcommands(arguments), move |matches| {
        let desk = desk.clone();
        async move {
            let AuditAction::Verify = AuditAction::from_arg_matches(&matches)?;
            verify(&desk).await
        }
    })
}

#[derive(Subcommand)]
enum AuditAction {
    /// Check every entry against the chain: names what was changed, removed or moved
    ///
    /// The last line holds the newest position and seal. Written down somewhere else, they prove
    /// later that nothing before them was rewritten.
    Verify,
}

async fn verify(desk: &Desk) -> anyhow::Result<()> {
    const SHOWN: usize = 100;
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.enable_steady_tick(Duration::from_millis(120));
    let verdict = desk.audit.verify(|checked| bar.set_message(format!("{checked} entries checked"))).await?;
    bar.finish_and_clear();
    println!("{} entries are as they were sealed", verdict.good);
    if verdict.erased > 0 {
        println!("  of these, {} had the values of their fields erased", verdict.erased);
    }
    if let Some((seq, at)) = verdict.first_unsealed {
        println!("{} entries are not sealed yet, from number {seq} of {at} on", verdict.unsealed);
    }
    for fault in verdict.faults.iter().take(SHOWN) {
        println!("FAULT  {fault}");
    }
    if verdict.faults.len() > SHOWN {
        println!("and {} more", verdict.faults.len() - SHOWN);
    }
    if let Some((position, hash)) = &verdict.head {
        println!("head   {position} {hash}");
    }
    if verdict.faults.is_empty() {
        return Ok(());
    }
    bail!("the audit log is not as it was sealed; faults: {}", verdict.faults.len())
}
