#![doc = include_str!("../README.md")]

mod command;
mod platform;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_auth::Authenticator;
use mainstay_core::ProblemKind;
use mainstay_db::Migration;
use mainstay_http::ApiRouter;

pub use command::Command;
pub use platform::{Environment, Platform, PlatformParts};

/// An app: a vertical slice of the backend.
pub trait App: Send + Sync + 'static {
    /// Its name, in snake_case: the first part of its migrations and metrics.
    fn name(&self) -> &'static str;

    /// The steps of its schema.
    fn migrations(&self) -> Vec<Migration>;

    /// Its routes, mounted under `/api/v1`.
    fn routes(&self) -> ApiRouter;

    /// Routes at the root, for paths that a standard fixes (`/.well-known/…`).
    fn root_routes(&self) -> ApiRouter {
        ApiRouter::none()
    }

    /// The error codes of its domain.
    fn problems(&self) -> &'static [&'static ProblemKind] {
        &[]
    }

    /// Commands that it adds to the program's.
    fn commands(&self) -> Vec<Command> {
        Vec::new()
    }

    /// Who turns tokens into users, if this app does.
    fn authenticator(&self) -> Option<Arc<dyn Authenticator>> {
        None
    }

    /// Runs once before the first request, on a database that is up to date.
    /// Returns lines for the operator to read.
    fn start(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    /// Fills an empty database with data to look at. Returns lines for the operator to read.
    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        async { Ok(Vec::new()) }.boxed()
    }
}
