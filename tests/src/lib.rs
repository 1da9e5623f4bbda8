//! The black-box tests' tools: they start the real `mainstay` and speak to it
//! as its users do, over the command line and over HTTP. Nothing of the
//! workspace is linked, so that what these tests see is what people get.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `MAINSTAY_BIN` | the program; `mainstay` beside the tests' own programs if absent |
//! | `MAINSTAY_TEST_DATABASE` | `sqlite` (default) or `postgres` |
//! | `MAINSTAY_TEST_POSTGRES_URL` | a PostgreSQL server on which databases may be made; `scripts/services with …` starts one |
//!
//! A [`Site`] is an installation: a folder, a database, settings. [`Site::run`]
//! runs a command in it and [`Site::serve`] a server, which ends with its test;
//! its log is printed if the test fails. [`Client`] makes requests, and [`raw`]
//! sends bytes that no well-behaved client would.

#![expect(
    clippy::unwrap_used,
    reason = "what goes wrong in here fails the test that runs, which is all it can do"
)]

mod books;
mod browser;
#[path = "../../platform/limits/tests/it/checker.rs"]
pub mod checker;
mod client;
mod database;
mod process;
pub mod raw;
mod redis;
mod site;

pub use books::isbn;
pub use browser::{Browser, Look};
pub use client::{Client, Reply};
pub use database::{Backing, Database};
pub use process::{Finished, Process, Signal, with_open_files};
pub use redis::Redis;
pub use serde_json::{Value, json};
pub use site::{PASSWORD, Server, Site};
