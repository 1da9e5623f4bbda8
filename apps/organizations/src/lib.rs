#![doc = include_str!("../README.md")]

mod app;
mod demo;
pub mod domain;
mod entity;
mod error;
pub mod events;
mod hook;
mod http;
mod letters;
mod migrations;
mod notices;
mod pages;
mod repo;
mod service;

pub use app::Organizations;
pub use domain::matrix::matrix_markdown;
pub use error::OrganizationError;
