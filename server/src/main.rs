//! The `mainstay` program: this list of apps, and the command line around it.

use std::process::ExitCode;

use mainstay::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mainstay::run(|backend| {
        backend.with(Identity::new).with(Organizations::new).with(Library::new).with(Operations::new)
    })
}
