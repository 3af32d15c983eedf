//! The binary `portcullis`: the command line, the configuration and the assembly of a node.
//!
//! In: arguments, environment, files. Out: a running gate, or one command's answer and exit code.
//! Everything that decides, records or remembers is in the other crates; this is the only place
//! where concrete parts are chosen.

mod cli;
mod client;
mod config;
mod context;
mod demo;
mod doctor;
mod failure;
mod home;
mod init;
mod keys;
mod node;
mod print;
mod prompt;
mod serve;
mod witness;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Failure, exit_code};

/// Stack of every thread that may evaluate a policy. Cedar skips a policy, a `forbid` included, on
/// a nearly full stack; main threads of some platforms have 128 KiB, so no work is done there.
const THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err(Failure::because("cannot start threads", &error))),
    };
    // On a worker, not here: the main thread's stack is not ours to size.
    let work = runtime.spawn(arguments.run());
    let result = runtime.block_on(work).unwrap_or_else(|error| {
        Err(Failure::Failed(format!("the program failed in a way it should not: {error}")))
    });
    // A blocking read of a terminal may still be waiting; nobody waits for it.
    runtime.shutdown_background();
    exit_code(result)
}
