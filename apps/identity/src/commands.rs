//! `mainstay users …`, `mainstay keys …`

mod api_keys;
mod services;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches};
use mainstay_app::Command;
use mainstay_auth::{Role, Roles};
use mainstay_core::{Actor, Invalid};

use crate::domain::{Email, NewPassword, Username};
use crate::keys::{KeyInfo, Rotation};
use crate::service::{Accounts, NewUser};

pub(crate) use api_keys::api_keys;
pub(crate) use services::services;

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
    let unlock = clap::Command::new("unlock")
        .about("End the lock of an account after too many failed sign-ins")
        .arg(Arg::new("name").value_name("NAME").required(true).help("Its e-mail address or username"));
    let arguments = clap::Command::new("users")
        .about("Manage accounts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(create_admin)
        .subcommand(unlock);
    let accounts = accounts.clone();
    Command::new(arguments, move |matches| {
        let accounts = accounts.clone();
        async move {
            match matches.subcommand() {
                Some(("create-admin", matches)) => create(&accounts, matches).await,
                Some(("unlock", matches)) => unlock_user(&accounts, matches).await,
                _ => bail!("no such command"),
            }
        }
    })
}

async fn unlock_user(accounts: &Accounts, matches: &ArgMatches) -> anyhow::Result<()> {
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    match accounts.unlock(&Actor::system("cli"), name).await.map_err(mainstay_core::Problem::from)? {
        None => bail!("no account has the address or username {name:?}"),
        Some((user, true)) => println!("{} ({}) can sign in again.", user.username, user.email),
        Some((user, false)) => println!("{} ({}) was not locked.", user.username, user.email),
    }
    Ok(())
}

pub(crate) fn keys(accounts: &Accounts) -> Command {
    let rotate = clap::Command::new("rotate")
        .about("Sign access tokens with a new key")
        .long_about(
            "Sign access tokens with a new key. It is published at once and signs some minutes later, when \
             everybody who keeps the public keys has it. The old key verifies until the tokens that it signed have \
             expired. Nobody is signed out.",
        )
        .arg(Arg::new("now").long("now").action(ArgAction::SetTrue).help(
            "The new key signs at once; other programs may not know it for five minutes",
        ))
        .arg(Arg::new("revoke-old").long("revoke-old").action(ArgAction::SetTrue).help(
            "Somebody else may have the old keys: what they signed is refused within a minute, and the new key \
             signs at once. Clients go on with their refresh tokens",
        ));
    let list = clap::Command::new("list").about("List the keys that count");
    let arguments = clap::Command::new("keys")
        .about("Manage the keys that sign access tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(rotate)
        .subcommand(list);
    let accounts = accounts.clone();
    Command::new(arguments, move |matches| {
        let accounts = accounts.clone();
        async move {
            match matches.subcommand() {
                Some(("rotate", matches)) => {
                    let rotation =
                        Rotation { now: matches.get_flag("now"), revoke: matches.get_flag("revoke-old") };
                    let key = accounts.rotate_keys(&Actor::system("cli"), rotation).await?;
                    println!("The key {} signs from {} on.", key.kid, key.active_from);
                }
                Some(("list", _)) => {
                    for KeyInfo { kid, created_at, active_from, retired_at } in accounts.keys.list().await? {
                        let ends = retired_at.map_or_else(String::new, |at| format!(", verifies until {at}"));
                        println!("{kid}  made {created_at}, signs from {active_from}{ends}");
                    }
                }
                _ => bail!("no such command"),
            }
            Ok(())
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
