#![doc = include_str!("../README.md")]

mod app;
mod commands;
pub mod demo;
pub mod domain;
mod entity;
mod error;
mod http;
pub mod migrations;
mod repo;
mod service;
mod transfer;

pub use app::Library;
pub use error::{BOOK_NOT_FOUND, ISBN_TAKEN, LibraryError};
pub use service::{BATCH_ROWS, Books};
