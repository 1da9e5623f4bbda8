//! `mainstay services …`

use clap::{FromArgMatches as _, Subcommand};
use mainstay_app::Command;
use mainstay_core::{Actor, Problem};

use crate::domain::CredentialName;
use crate::repo::ServiceName;
use crate::service::{Accounts, Services};

/// `mainstay services …`.
pub(crate) fn services(accounts: &Accounts) -> Command {
    let arguments = clap::Command::new("services")
        .about("Manage the credentials of other programs")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let services = accounts.services.clone();
    Command::new(Action::augment_subcommands(arguments), move |matches| {
        let services = services.clone();
        async move { Action::from_arg_matches(&matches)?.run(&services).await }
    })
}

#[derive(Subcommand)]
enum Action {
    /// Make a service and print its credential
    ///
    /// With it another program may ask what tokens are worth
    /// (POST /api/v1/auth/introspect). The secret is printed this once.
    Create {
        /// What it is called
        name: String,
    },
    /// List the services
    List,
    /// Revoke a service's credential
    Revoke {
        /// The service's client id, svc_…
        client_id: String,
    },
}

impl Action {
    async fn run(self, services: &Services) -> anyhow::Result<()> {
        let actor = Actor::system("services");
        match self {
            Self::Create { name } => {
                let name = CredentialName::parse(&name)
                    .map_err(|invalid| anyhow::anyhow!("the name {}", invalid.message))?;
                let unit = services.begin(&actor).await?;
                let made = services.create(&unit, name).await.map_err(Problem::from)?;
                unit.commit().await?;
                println!("client_id      {}", made.service.client_id);
                println!("client_secret  {}", made.secret.expose());
                eprintln!("The secret is not shown again.");
            }
            Self::List => {
                for service in services.all().await.map_err(Problem::from)? {
                    println!("{}  {}  {}", service.client_id, service.created_at, service.name);
                }
            }
            Self::Revoke { client_id } => {
                let name = ServiceName::ClientId(client_id);
                let service = services.revoke(&actor, &name).await.map_err(Problem::from)?;
                println!(
                    "Revoked {} ({}); running servers refuse it within a second.",
                    service.client_id, service.name
                );
            }
        }
        Ok(())
    }
}
