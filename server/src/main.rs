//! The `mainstay` program: identity and the list of [apps](mainstay::apps), and the command line around them.

use std::process::ExitCode;

use mainstay::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mainstay::run(|backend| mainstay::apps(backend.with(Identity::new)))
}
