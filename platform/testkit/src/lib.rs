#![doc = include_str!("../README.md")]

mod app;
mod browser;
mod client;
mod contract;

pub use app::{Node, TestApp, default_limits};
pub use browser::Browser;
pub use client::{Client, Reply};
pub use mainstay::Config;
pub use mainstay_db::testing::{TestDatabase, dialect};
pub use serde_json::json;
