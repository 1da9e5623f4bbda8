//! The command line.
//!
//! Apps bring commands of their own, so the list of apps is built twice: once
//! without opening anything, to know the commands and the settings, and once for real.

mod describe;
mod doctor;
mod limits;
mod migrate;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use mainstay_core::settings::Section as _;
use mainstay_http::HttpSettings;
use mainstay_http::server::bind;

use crate::backend::Backend;
use crate::config::Config;
use crate::serve;

/// Runs the program: `compose` is its list of apps.
///
/// ```no_run
/// # use mainstay::prelude::*;
/// mainstay::run(|backend| backend.with(Identity::new).with(Library::new));
/// ```
pub fn run(compose: fn(Backend) -> Backend) -> ExitCode {
    let started = Instant::now();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(compose, started)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(compose: fn(Backend) -> Backend, started: Instant) -> anyhow::Result<()> {
    let plan = compose(Backend::new(Config::offline())?);
    let app_commands = plan.commands();
    let command =
        app_commands.iter().fold(arguments(), |command, app| command.subcommand(app.arguments.clone()));
    let matches = command.get_matches();
    let Some((name, given)) = matches.subcommand() else { bail!("no command") };

    // What only describes needs no database, no secret and no valid configuration.
    match (name, given.subcommand_name()) {
        ("routes", _) => return describe::routes(&plan, given.get_flag("markdown")),
        ("openapi", _) => return describe::openapi(&plan),
        ("errors", _) => return describe::errors(&plan),
        ("config", Some("reference")) => return describe::config_reference(&plan),
        ("healthcheck", _) => return doctor::healthcheck(given).await,
        ("migrate", Some("new")) => return migrate::new(given),
        ("limits", _) if let Some(policy) = limits::written_out(given) => {
            return limits::test_text(policy, given);
        }
        _ => {}
    }

    let aliases = describe::aliases(&plan);
    let mut config = Config::load(matches.get_one::<PathBuf>("config").map(PathBuf::as_path), &aliases)?;
    for (flag, key) in [("host", "http.host"), ("port", "http.port")] {
        if let Ok(Some(value)) = given.try_get_one::<String>(flag) {
            config = config.set(key, value, &format!("--{flag}"));
        }
    }
    let demo = name == "serve" && given.get_flag("demo");
    let throw_away =
        demo.then(tempfile::tempdir).transpose().context("making a folder for the demo database")?;
    if let Some(folder) = &throw_away {
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("demo.db").display());
        let mails = folder.path().join("mail").display().to_string();
        config = config.set("database.url", url, "--demo").set("mail.folder", mails, "--demo");
        config = config.set("database.replica_urls", "", "--demo");
    }
    let mut listener = None;
    if name == "serve" {
        // A port that the system chooses must be known before anything names the server's address.
        let wanted = HttpSettings::load(&mut config.sources.clone());
        if wanted.port == 0 {
            let bound =
                bind(wanted.address()).with_context(|| format!("listening on {}", wanted.address()))?;
            config = config.set("http.port", bound.local_addr()?.port().to_string(), "--port");
            listener = Some(bound);
        }
    }
    let backend = compose(Backend::new(config)?);
    if name == "config" {
        return describe::config(&backend, given);
    }
    backend.check_settings()?;
    mainstay_telemetry::init_logs(&backend.telemetry).map_err(anyhow::Error::msg)?;

    match name {
        "serve" => {
            let address = backend.http.address();
            let listener = match listener {
                Some(listener) => listener,
                None => bind(address).with_context(|| format!("listening on {address}"))?,
            };
            serve::run(backend, listener, demo, started).await
        }
        "migrate" => migrate::run(&backend, given).await,
        "doctor" => doctor::run(&backend).await,
        "limits" => limits::run(&backend, given),
        _ => {
            let app = app_commands.iter().position(|app| app.arguments.get_name() == name);
            let command =
                app.and_then(|index| backend.commands().into_iter().nth(index)).context("no such command")?;
            let pending = backend.migrator().pending().await.context("looking at the database")?;
            if pending > 0 {
                let none_yet = backend.platform.db.dialect() == mainstay_db::Dialect::Sqlite;
                if !none_yet {
                    bail!("the database is {pending} migration(s) behind; run `mainstay migrate up` first");
                }
                backend.migrator().up(None, |_| {}).await.context("bringing the database up to date")?;
            }
            let result = command.run(given.clone()).await;
            backend.platform.db.close().await;
            result
        }
    }
}

fn arguments() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help("Configuration file [default: mainstay.toml, if there is one]");
    let serve = Command::new("serve")
        .about("Serve the API")
        .arg(
            Arg::new("demo")
                .long("demo")
                .action(ArgAction::SetTrue)
                .help("Use a throw-away SQLite database full of lively data"),
        )
        .arg(Arg::new("host").long("host").value_name("H").help("Address to listen on [default: 127.0.0.1]"))
        .arg(Arg::new("port").long("port").value_name("N").help("Port to listen on [default: 8080]"));
    let config_command = Command::new("config")
        .about("Look at the configuration")
        .subcommand_required(true)
        .subcommand(Command::new("show").about("Print every setting as it is in force; secrets are hidden"))
        .subcommand(Command::new("check").about("Check the configuration and say what is wrong with it"))
        .subcommand(Command::new("reference").about("Print the reference of all settings as Markdown"));
    let healthcheck =
        Command::new("healthcheck").about("Ask a running server whether it is ready (for containers)").arg(
            Arg::new("address")
                .long("address")
                .value_name("HOST:PORT")
                .help("Where it listens [default: 127.0.0.1:$PORT or 8080]"),
        );
    Command::new(program_name())
        .version(env!("CARGO_PKG_VERSION"))
        .about("An application backend on Mainstay")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(config)
        .subcommand(serve)
        .subcommand(migrate::arguments())
        .subcommand(config_command)
        .subcommand(limits::arguments())
        .subcommand(Command::new("doctor").about("Check everything that the server depends on"))
        .subcommand(
            Command::new("routes").about("List every route with its access rule").arg(
                Arg::new("markdown").long("markdown").action(ArgAction::SetTrue).help("As a Markdown page"),
            ),
        )
        .subcommand(Command::new("openapi").about("Print the OpenAPI document"))
        .subcommand(Command::new("errors").about("Print the page of error codes as Markdown"))
        .subcommand(healthcheck)
}

/// What the program is called: one's own has a name of its own.
fn program_name() -> String {
    let path = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    path.file_stem().map_or_else(|| "mainstay".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The value of an optional text argument.
fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}
