#![doc = include_str!("../README.md")]

mod domain;
mod entity;
mod error;
mod http;
mod migrations;
mod repo;
mod service;

use mainstay::prelude::*;

pub use service::Bookmarks;

impl App for Bookmarks {
    fn name(&self) -> &'static str {
        "bookmarks"
    }

    fn migrations(&self) -> Vec<Migration> {
        migrations::all()
    }

    fn routes(&self) -> ApiRouter {
        http::routes().with_state(self.clone())
    }

    fn problems(&self) -> &'static [&'static ProblemKind] {
        error::PROBLEMS
    }
}
