#![doc = include_str!("../README.md")]

mod assets;
mod cookies;
mod errors;
mod flash;
mod form;
mod layout;
mod pager;
mod seal;
mod submitted;
mod text;
mod visit;
mod web;

pub use cookies::Cookie;
pub use flash::Flash;
pub use form::{Button, Field, Form, Tone};
pub use layout::Shape;
pub use pager::Pager;
pub use submitted::Submitted;
pub use text::{Line, Linked, local_path, moment};
pub use visit::Visit;
pub use web::{NavLink, Web};
