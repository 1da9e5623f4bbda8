//! `mainstay api-keys …`

use clap::{FromArgMatches as _, Subcommand};
use mainstay_app::Command;
use mainstay_core::{Actor, Problem};

use crate::domain::ApiKeyId;
use crate::service::{Accounts, ApiKeys};

/// `mainstay api-keys …`.
pub(crate) fn api_keys(accounts: &Accounts) -> Command {
    let arguments = clap::Command::new("api-keys")
        .about("Manage the API keys of users")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let keys = accounts.api_keys.clone();
    Command::new(Action::augment_subcommands(arguments), move |matches| {
        let keys = keys.clone();
        async move { Action::from_arg_matches(&matches)?.run(&keys).await }
    })
}

#[derive(Subcommand)]
enum Action {
    /// Give a key a rate limit of its own, or put it back under that of every user
    Limit {
        /// The key's id, as its owner sees it
        id: String,
        /// The name of a policy in the settings, [limits.policies.NAME]; without it: that of every user
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
    },
}

impl Action {
    async fn run(self, keys: &ApiKeys) -> anyhow::Result<()> {
        let Self::Limit { id, policy } = self;
        let id: ApiKeyId = id.parse().map_err(|_| anyhow::anyhow!("{id:?} is no id of an API key"))?;
        let key = keys.limit(&Actor::system("cli"), id, policy.as_deref()).await.map_err(Problem::from)?;
        let limit = key.limit_policy.as_deref().unwrap_or("signed_in, as every user");
        println!(
            "{} ({}…) is limited by {limit}; running servers know within a second.",
            key.name, key.prefix
        );
        Ok(())
    }
}
