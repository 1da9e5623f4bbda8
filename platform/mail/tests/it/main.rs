//! Mails in both databases, and over the wire to a real SMTP server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod letters;
mod queue;
mod server;
mod smtp;
mod support;
