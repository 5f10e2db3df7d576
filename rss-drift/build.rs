//! Builds rss-drift's eBPF programs.

use std::process::ExitCode;

use ebpf_build::{Object, provide};

fn main() -> ExitCode {
    provide(Object::RSS_DRIFT, "RSS_DRIFT_EBPF")
}
