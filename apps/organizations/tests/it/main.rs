//! Organizations on a real database: SQLite, or what `MAINSTAY_TEST_DATABASE` names.

#![expect(clippy::unwrap_used, reason = "to panic is how a test says no")]

mod accounts;
mod console;
mod docs;
mod invitations;
mod matrix;
mod members;
mod organizations;
mod pages;
mod property;
mod races;
mod support;
mod websites;
