//! The command `rss-drift`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rss_drift::cli::main(std::env::args_os())
}
