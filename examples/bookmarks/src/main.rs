//! A server with accounts and bookmarks, and its command line.

use std::process::ExitCode;

use example_bookmarks::Bookmarks;
use mainstay::prelude::*;

fn main() -> ExitCode {
    mainstay::run(|backend| backend.with(Identity::new).with(Bookmarks::new))
}
