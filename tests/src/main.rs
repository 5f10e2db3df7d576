//! rss-drift's live tests: one static binary that needs nothing of the system but a kernel with /proc and /sys.
//!
//! It is several programs in one, because every test starts processes and must not depend on what is installed: the
//! harness, one test, a helper process that a test measures, and rss-drift itself.

mod beside;
mod cgroup;
mod command;
mod guard;
mod harness;
mod helper;
mod invariants;
mod live;
mod measure;
mod records;
mod remote;
mod scratch;
mod soak;
mod terminal;
mod thp;
mod truth;

use std::{env, ffi::OsString, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match arguments.first().and_then(|first| first.to_str()) {
        Some(command::AS_RSS_DRIFT) => {
            arguments[0] = "rss-drift".into();
            rss_drift::cli::main(arguments)
        }
        Some(helper::AS_HELPER) => helper::main(&arguments[1..]),
        Some(harness::AS_TEST) => harness::main_of_test(&arguments[1..], live::TESTS),
        Some(soak::SOAK) => soak::main(&arguments[1..]),
        Some(beside::BESIDE) => beside::main(&arguments[1..]),
        _ => harness::main(&arguments, live::TESTS),
    }
}
