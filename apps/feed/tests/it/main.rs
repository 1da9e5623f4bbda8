//! The feed on a real database: SQLite, or what `MAINSTAY_TEST_DATABASE` names.

#![expect(clippy::unwrap_used, reason = "to panic is how a test says no")]

mod errors;
mod posts;
mod totals;
