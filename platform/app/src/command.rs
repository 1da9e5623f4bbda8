use std::fmt;
use std::future::Future;
use std::sync::Arc;

use clap::ArgMatches;
use futures_util::future::BoxFuture;

type Run = Arc<dyn Fn(ArgMatches) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// A command that an app adds to the program: `mainstay library import FILE`.
#[derive(Clone)]
pub struct Command {
    /// Its arguments and help.
    pub arguments: clap::Command,
    run: Run,
}

impl Command {
    /// A command with these arguments, carried out by `run` on a database that is up to date.
    pub fn new<F>(arguments: clap::Command, run: impl Fn(ArgMatches) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self { arguments, run: Arc::new(move |matches| Box::pin(run(matches))) }
    }

    /// Carries it out.
    ///
    /// # Errors
    /// Whatever went wrong, for the terminal.
    pub async fn run(&self, matches: ArgMatches) -> anyhow::Result<()> {
        (self.run)(matches).await
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.arguments.get_name())
    }
}
