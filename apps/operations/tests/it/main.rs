//! The operations app over HTTP and by its commands, on the database that the run chose.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod dead_letters;
mod mailbox;
mod pages;
mod support;
