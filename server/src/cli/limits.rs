//! `mainstay limits …`

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use mainstay_limits::{LimitsConfig, Policy, Simulation, simulate};

use super::describe::print;
use super::text;
use crate::Backend;

pub(super) fn arguments() -> Command {
    Command::new("limits")
        .about("Look at the rate limits")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("test")
                .about("Try a policy and say what its clients get")
                .arg(
                    Arg::new("policy").value_name("POLICY").required(true).help(
                        "Such as \"100/min\" or \"20/s gcra burst=5\", or the name of one in the settings",
                    ),
                )
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As JSON")),
        )
        .subcommand(Command::new("show").about("List the limits that are in force, and what each is for"))
}

/// The policy that is written out, if one is: it needs no configuration.
pub(super) fn written_out(matches: &ArgMatches) -> Option<&str> {
    text(matches.subcommand_matches("test")?, "policy").filter(|policy| policy.contains('/'))
}

/// `mainstay limits test|show`.
pub(super) fn run(backend: &Backend, matches: &ArgMatches) -> anyhow::Result<()> {
    let config = &backend.limits_config;
    if matches.subcommand_name() == Some("show") {
        return print(&shown(config)?);
    }
    let wanted =
        matches.subcommand_matches("test").and_then(|given| text(given, "policy")).unwrap_or_default();
    let policies = policies(config)?;
    let Some(found) = policies.iter().find(|policy| policy.name == wanted) else {
        let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
        bail!(
            "{wanted:?} is neither a policy such as \"100/min\" nor one of the settings; there are {}",
            names.join(", ")
        );
    };
    test(found.policy.as_ref().with_context(|| format!("{wanted} is off"))?, matches)
}

/// Tries a policy that was written out.
pub(super) fn test_text(written: &str, matches: &ArgMatches) -> anyhow::Result<()> {
    test(&Policy::parse("policy", written)?, matches)
}

fn test(policy: &Policy, matches: &ArgMatches) -> anyhow::Result<()> {
    let found = simulate(policy);
    let as_json = matches.subcommand_matches("test").is_some_and(|given| given.get_flag("json"));
    print(&if as_json { format!("{:#}\n", json(&found)) } else { format!("{found}\n") })
}

fn json(found: &Simulation) -> serde_json::Value {
    serde_json::json!({
        "policy": found.policy.to_string(),
        "limit": found.policy.limit(),
        "window_s": found.policy.window().as_secs(),
        "burst": found.burst,
        "next_after_s": found.next_after_s,
        "full_after_s": found.full_after_s,
        "steady_per_window": found.steady_per_window,
        "flood_share": found.flood_share,
        "flood_most": found.flood_most,
    })
}

/// A policy in force, to be shown.
struct Shown {
    name: String,
    /// `None`: off.
    policy: Option<Policy>,
    applies_to: String,
    counts_by: &'static str,
}

fn policies(config: &LimitsConfig) -> anyhow::Result<Vec<Shown>> {
    use mainstay_limits::{Callers, CountBy};
    let settings = &config.settings;
    let own = [
        (
            "anonymous",
            settings.anonymous.policy("anonymous", "default")?,
            "callers who are not signed in",
            "address",
        ),
        (
            "signed_in",
            settings.signed_in.policy("signed_in", "default")?,
            "users and API keys",
            "user or key",
        ),
        ("services", settings.services.policy("services", "default")?, "other programs", "service"),
        ("auth", settings.auth.guarded_policy("auth")?, "routes of the group auth", "address"),
        ("uploads", settings.uploads.policy("uploads", "uploads")?, "routes of the group uploads", "caller"),
    ];
    let own = own.into_iter().map(|(name, policy, applies_to, counts_by)| Shown {
        name: name.to_owned(),
        policy,
        applies_to: applies_to.to_owned(),
        counts_by,
    });
    let mut all: Vec<Shown> = own.collect();
    for (name, policy) in &config.policies {
        let of = match policy.callers {
            Callers::Everybody => "",
            Callers::Anonymous => " of callers who are not signed in",
            Callers::SignedIn => " of users and API keys",
            Callers::Services => " of other programs",
        };
        let applies_to = match policy.routes.as_slice() {
            [] => "API keys that it is given to".to_owned(),
            routes => format!("{}{of}", routes.join(", ")),
        };
        let counts_by = if policy.by == CountBy::Address { "address" } else { "caller" };
        let limit = policy.limit.as_ref().map(|limit| limit.policy(name, name)).transpose()?.flatten();
        all.push(Shown { name: name.clone(), policy: limit, applies_to, counts_by });
    }
    Ok(all)
}

fn shown(config: &LimitsConfig) -> anyhow::Result<String> {
    let mut page = String::new();
    if !config.settings.enabled {
        page.push_str("Limits are switched off (limits.enabled).\n");
    }
    let policies = policies(config)?;
    let limit = |policy: &Shown| policy.policy.as_ref().map_or_else(|| "off".to_owned(), Policy::to_string);
    let names = policies.iter().map(|policy| policy.name.len()).max().unwrap_or(0);
    let limits = policies.iter().map(|policy| limit(policy).len()).max().unwrap_or(0);
    for policy in &policies {
        let Shown { name, applies_to, counts_by, .. } = policy;
        let _infallible =
            writeln!(page, "{name:<names$}  {:<limits$}  by {counts_by:<11}  {applies_to}", limit(policy));
    }
    Ok(page)
}
