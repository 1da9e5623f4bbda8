//! The catalog on a real database: SQLite, or what `MAINSTAY_TEST_DATABASE` names.

#![expect(clippy::unwrap_used, reason = "to panic is how a test says no")]

mod categories;
mod facets;
mod http;
mod import;
mod listing;
mod races;
mod search;
mod support;
