#![doc = include_str!("../README.md")]

mod app;
mod demo;
pub mod domain;
mod entity;
mod envelope;
mod error;
mod http;
pub mod migrations;
mod repo;
mod service;
mod settings;
mod totals;

pub use app::Feed;
pub use error::FeedError;
pub use service::Posts;
pub use settings::FeedSettings;
