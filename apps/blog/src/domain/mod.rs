//! Posts, their slugs, tags and text, and which of them a reader asks for.

pub mod listing;
pub mod markdown;
pub mod post;
pub mod slug;
pub mod tag;
