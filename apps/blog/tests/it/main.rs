//! The blog on a real database: SQLite, or what `MAINSTAY_TEST_DATABASE` names.

#![expect(clippy::unwrap_used, reason = "to panic is how a test says no")]

mod authors;
mod drafts;
mod listing;
mod posts;
mod races;
mod support;
