//! The command `rss-drift`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rss_drift::cmd::main(std::env::args_os())
}
