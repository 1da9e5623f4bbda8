//! The database crate against real databases.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends there; helpers are no #[test]")]

mod invalidations;
mod migrations;
mod point;
mod replicas;
mod signals;
mod trail;
mod units;
