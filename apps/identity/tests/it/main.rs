//! Identity over HTTP, on the database that the run chose.

mod me;
mod register;
mod setup;
mod sign_in;
