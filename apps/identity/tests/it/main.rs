//! Identity over HTTP, on the database that the run chose.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_keys;
mod conceal;
mod invitations;
mod keys;
mod lockout;
mod me;
mod pages;
mod people;
mod recovery;
mod refresh;
mod register;
mod services;
mod sessions;
mod setup;
mod sign_in;
