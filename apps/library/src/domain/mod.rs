//! What a book is and which books a reader wants. Knows neither the web nor the database.

pub mod book;
pub mod isbn;
pub mod listing;
