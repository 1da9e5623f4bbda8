//! The library as a part of a backend.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_app::{App, Command, Platform};
use mainstay_core::{Actor, ProblemKind};
use mainstay_db::Migration;
use mainstay_http::ApiRouter;

use crate::domain::book::NewBook;
use crate::{BATCH_ROWS, Books, commands, demo, error, http, migrations};

/// The library: `Backend::new(config)?.with(Library::new)`.
#[derive(Clone, Debug)]
pub struct Library {
    books: Books,
}

impl Library {
    /// A library on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { books: Books::new(platform.db.clone()) }
    }

    /// Its books, for programs that go past HTTP.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }
}

impl App for Library {
    fn name(&self) -> &'static str {
        "library"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes(self.books.clone())
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }

    fn commands(&self) -> Vec<Command> {
        vec![commands::library(self.books.clone())]
    }

    fn seed_demo(&self) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        const BOOKS: usize = 3_000;
        async {
            let actor = Actor::system("library demo");
            if !self.books.is_empty().await? {
                return Ok(Vec::new());
            }
            let books: Vec<NewBook> = demo::books(BOOKS).map(NewBook::from).collect();
            for batch in books.chunks(BATCH_ROWS) {
                self.books.import(&actor, batch).await?;
            }
            Ok(vec![format!("{BOOKS} demo books in the library")])
        }
        .boxed()
    }
}
