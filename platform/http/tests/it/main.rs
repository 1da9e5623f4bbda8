//! The stack with a small app on a real database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking; helpers are no #[test]")]

mod boxes;
mod idempotency;
mod node;
