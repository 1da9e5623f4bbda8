//! The whole server in one process: the stack, the document, the access rules.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends there; helpers are no #[test]")]

mod access;
mod coverage;
mod document;
mod limits;
mod stack;
