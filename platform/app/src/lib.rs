#![doc = include_str!("../README.md")]

mod accounts;
mod authored;
mod command;
mod email;
mod people;
mod platform;
mod problems;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_auth::Authenticator;
use mainstay_core::ProblemKind;
use mainstay_db::Migration;
use mainstay_events::{Consumer, Job, Worker};
use mainstay_http::ApiRouter;

pub use accounts::{AccountHook, AccountHooks, HookError, NewAccount};
pub use authored::{Authored, Authors, AuthorsSlot, EmbeddedPost, MOST_EMBEDDED_POSTS};
pub use command::Command;
pub use email::Email;
pub use people::{People, PeopleSlot, Person};
pub use platform::{Environment, Platform, PlatformParts};
pub use problems::{LAST_ADMIN, PROBLEMS, TOKEN_INVALID};

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

    /// Its pages for people, at the root (`ApiRouter::console_page`).
    fn pages(&self) -> ApiRouter {
        ApiRouter::none()
    }

    /// The error codes of its domain.
    fn problems(&self) -> &'static [&'static ProblemKind] {
        &[]
    }

    /// What it does about events of its own and of others.
    fn consumers(&self) -> Vec<Consumer> {
        Vec::new()
    }

    /// What it does on a schedule.
    fn jobs(&self) -> Vec<Job> {
        Vec::new()
    }

    /// What it does in the background besides.
    fn workers(&self) -> Vec<Worker> {
        Vec::new()
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
