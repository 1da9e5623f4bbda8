#![doc = include_str!("../README.md")]

mod app;
mod authors;
mod demo;
pub mod domain;
mod entity;
mod error;
pub mod events;
mod hook;
mod http;
pub mod migrations;
mod repo;
mod service;

pub use app::Blog;
pub use authors::authors;
pub use error::{BlogError, POST_NOT_FOUND, SLUG_TAKEN};
pub use service::{Blogging, Viewer};
