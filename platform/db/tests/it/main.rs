//! The database crate against real databases.

mod migrations;
mod point;
mod units;
