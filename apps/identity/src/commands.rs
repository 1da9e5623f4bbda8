//! `mainstay users …`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches};
use mainstay_app::Command;
use mainstay_auth::{Role, Roles};
use mainstay_core::{Actor, Invalid};

use crate::domain::{Email, NewPassword, Username};
use crate::service::{Accounts, NewUser};

pub(crate) fn users(accounts: &Accounts) -> Command {
    let create_admin = clap::Command::new("create-admin")
        .about("Create an account with the role admin")
        .arg(Arg::new("email").long("email").value_name("E").required(true).help("Its e-mail address"))
        .arg(
            Arg::new("username")
                .long("username")
                .value_name("U")
                .help("The name it goes by [default: made from the address]"),
        )
        .arg(
            Arg::new("password")
                .long("password")
                .value_name("P")
                .conflicts_with("password-stdin")
                .help("Its password; other users of this machine may see it in the list of processes"),
        )
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Read the password from standard input"),
        );
    let arguments = clap::Command::new("users")
        .about("Manage accounts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(create_admin);
    let accounts = accounts.clone();
    Command::new(arguments, move |matches| {
        let accounts = accounts.clone();
        async move {
            match matches.subcommand() {
                Some(("create-admin", matches)) => create(&accounts, matches).await,
                _ => bail!("no such command"),
            }
        }
    })
}

async fn create(accounts: &Accounts, matches: &ArgMatches) -> anyhow::Result<()> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let told = |field: &'static str| move |invalid: Invalid| anyhow::anyhow!("{field} {}", invalid.message);
    let email = Email::parse(text("email").unwrap_or_default()).map_err(told("--email"))?;
    let username = text("username").map(Username::parse).transpose().map_err(told("--username"))?;
    let typed = match text("password") {
        Some(password) => password.to_owned(),
        None => read_password()?,
    };
    let password = NewPassword::parse(&typed).map_err(told("the password"))?;
    let roles = Roles::of(&[Role::Admin]);
    let new = NewUser { email, password, username, name: None, roles, email_verified: true };
    let user = accounts.register(&Actor::system("cli"), new).await.map_err(mainstay_core::Problem::from)?;
    println!("Created the administrator {} ({}).", user.username, user.email);
    Ok(())
}

fn read_password() -> anyhow::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("Password (it will be visible; pipe it in with --password-stdin to avoid that): ");
        std::io::stderr().flush()?;
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).context("reading the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password was given: use --password or --password-stdin");
    }
    Ok(password.to_owned())
}
