//! The database crate against real databases.

mod migrations;
mod units;
