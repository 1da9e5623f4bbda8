//! The whole program from outside, on the database that the run chose.

#![expect(clippy::unwrap_used, reason = "helpers of tests; what goes wrong fails the test")]

mod accounts;
mod catalog;
mod command_line;
mod connections;
mod documents;
mod journey;
mod library;
mod lifecycle;
mod limits;
mod limits_shared;
mod migrations;
mod organizations;
mod pages;
mod replicas;
mod sign_in_storm;
mod timeouts;
mod transfer;
mod wire;
