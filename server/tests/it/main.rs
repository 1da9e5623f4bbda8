//! The whole server in one process: the stack, the document, the access rules.

mod access;
mod document;
mod stack;
