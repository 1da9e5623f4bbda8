//! `mainstay migrate …`

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command};
use mainstay_core::{Clock as _, SystemClock};
use mainstay_db::migrate::{DownTo, State};

use super::text;
use crate::Backend;

pub(super) fn arguments() -> Command {
    let version = |help: &'static str| {
        Arg::new("to").long("to").value_name("V").value_parser(clap::value_parser!(u64)).help(help)
    };
    Command::new("migrate")
        .about("Bring the database's schema forward or back")
        .subcommand_required(true)
        .subcommand(
            Command::new("up")
                .about("Apply what is pending")
                .arg(version("Up to and including this version [default: all]")),
        )
        .subcommand(
            Command::new("down")
                .about("Undo migrations; the data they hold is lost")
                .arg(
                    version("Until this version is the last one applied; 0 undoes everything")
                        .conflicts_with("steps"),
                )
                .arg(
                    Arg::new("steps")
                        .long("steps")
                        .value_name("N")
                        .value_parser(clap::value_parser!(u64).range(1..))
                        .default_value("1")
                        .help("How many"),
                ),
        )
        .subcommand(Command::new("status").about("List every migration and whether it is applied"))
        .subcommand(Command::new("history").about("List everything that ever ran on this database"))
        .subcommand(
            Command::new("new")
                .about("Write the file of a new migration (in a checkout of the source)")
                .arg(Arg::new("app").value_name("APP").required(true).help("The app it belongs to"))
                .arg(Arg::new("name").value_name("NAME").required(true).help("What it does, in snake_case")),
        )
}

pub(super) async fn run(backend: &Backend, matches: &ArgMatches) -> anyhow::Result<()> {
    let migrator = backend.migrator();
    let to = |matches: &ArgMatches| matches.get_one::<u64>("to").copied();
    match matches.subcommand() {
        Some(("up", given)) => {
            let count = migrator
                .up(to(given), |step| println!("up    {} {}/{}", step.version, step.app, step.name))
                .await?;
            println!(
                "{}",
                if count == 0 { "Nothing to do.".to_owned() } else { format!("{count} applied.") }
            );
        }
        Some(("down", given)) => {
            let steps = given.get_one::<u64>("steps").copied().unwrap_or(1);
            let target = to(given).map_or(DownTo::Steps(usize::try_from(steps)?), DownTo::Version);
            let count = migrator
                .down(target, |step| println!("down  {} {}/{}", step.version, step.app, step.name))
                .await?;
            println!("{}", if count == 0 { "Nothing to do.".to_owned() } else { format!("{count} undone.") });
        }
        Some(("status", _)) => {
            for line in migrator.status().await? {
                let state = match line.state {
                    State::Applied(at) => format!("applied {at}"),
                    State::Pending => "pending".to_owned(),
                    State::Changed(at) => format!("applied {at}, but CHANGED since"),
                    State::Unknown(at) => format!("applied {at} by a newer version of the program"),
                };
                println!("{}  {:<40} {state}", line.version, format!("{}/{}", line.app, line.name));
            }
        }
        Some(("history", _)) => {
            for event in migrator.history().await? {
                let what = format!("{}/{}", event.app, event.name);
                println!(
                    "{}  {:<4}  {}  {what:<40} {} ms",
                    event.at, event.direction, event.version, event.took_ms
                );
            }
        }
        _ => bail!("no such command"),
    }
    backend.platform.db.close().await;
    Ok(())
}

/// Writes the file of a new migration and its two lines in the list.
pub(super) fn new(matches: &ArgMatches) -> anyhow::Result<()> {
    let given = matches.subcommand_matches("new").context("no such command")?;
    let (app, name) = (text(given, "app").unwrap_or_default(), text(given, "name").unwrap_or_default());
    let snake = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !snake(app) || !snake(name) {
        bail!("APP and NAME are snake_case: lower-case letters, digits and _");
    }
    let folder = ["apps", "examples"]
        .iter()
        .map(|root| Path::new(root).join(app).join("src/migrations"))
        .find(|path| path.is_dir());
    let folder = folder.with_context(|| {
        format!("there is no apps/{app}/src/migrations here; run this in the project's folder")
    })?;
    let stamp: String = SystemClock.now().to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    let module = format!("m{stamp}_{name}");
    let file = folder.join(format!("{module}.rs"));
    if file.exists() {
        bail!("{} exists already", file.display());
    }
    let grouped = [&stamp[..2], &stamp[2..5], &stamp[5..8], &stamp[8..11], &stamp[11..]].join("_");
    let inside = folder.starts_with("apps");
    let db = if inside { "mainstay_db" } else { "mainstay::db" };
    let source = TEMPLATE
        .replace("{db}", db)
        .replace("{app}", app)
        .replace("{name}", name)
        .replace("{version}", &grouped);
    std::fs::write(&file, source).with_context(|| format!("writing {}", file.display()))?;

    let list = folder.join("mod.rs");
    let old = std::fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    match listed(&old, &module) {
        Some(new) => {
            std::fs::write(&list, new).with_context(|| format!("writing {}", list.display()))?;
            println!("Wrote {} and listed it in {}.", file.display(), list.display());
        }
        None => println!(
            "Wrote {}. Add `mod {module};` and `{module}::migration()` to {}.",
            file.display(),
            list.display()
        ),
    }
    Ok(())
}

/// The list of migrations with one more at its end. `None` if it does not look as expected.
fn listed(source: &str, module: &str) -> Option<String> {
    let last = source.lines().rfind(|line| line.starts_with("mod m"))?;
    let with_module = source.replacen(last, &format!("{last}\nmod {module};"), 1);
    let start = with_module.find("vec![")?;
    let end = start + with_module[start..].find(']')?;
    let head = with_module[..end].trim_end().trim_end_matches(',');
    Some(format!("{head}, {module}::migration(){}", &with_module[end..]))
}

const TEMPLATE: &str = r#"//! What this changes, and why. The old code still runs while it is applied:
//! expand, move, contract.

use {db}::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "{app}", version: {version}, name: "{name}", up, down }
}

fn up(steps: &mut Steps) {
    steps.run(Table::alter().table(Alias::new("table")).add_column(ColumnDef::new(Alias::new("column")).text()));
}

fn down(steps: &mut Steps) {
    steps.run(Table::alter().table(Alias::new("table")).drop_column(Alias::new("column")));
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_migration_is_listed_behind_the_last() {
        let source = "mod m1_one;\n\nfn all() -> Vec<Migration> {\n    vec![m1_one::migration()]\n}\n";
        let expected = "mod m1_one;\nmod m2_two;\n\nfn all() -> Vec<Migration> {\n    vec![m1_one::migration(), m2_two::migration()]\n}\n";
        assert_eq!(listed(source, "m2_two").as_deref(), Some(expected));
        assert_eq!(listed("nothing of the kind", "m2_two"), None);
    }
}
