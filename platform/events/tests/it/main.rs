//! Events, jobs, leases and the audit log's chain against real databases.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends there; helpers are no #[test]")]

mod audit;
mod dead_letters;
mod delivery;
mod jobs;
mod leases;
mod nodes;
mod storm;
mod support;
mod workers;
