#![doc = include_str!("../README.md")]

mod link;
mod options;
mod report;
#[cfg(feature = "testing")]
pub mod testing;

pub use link::{AskError, Link, LinkMetrics, Probe, Refusals};
pub use options::{RedisError, RedisOptions};
pub use report::{RedisReport, inspect};
