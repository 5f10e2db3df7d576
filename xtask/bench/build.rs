//! Builds the eBPF programs that the bench compares rss-drift with.

use std::process::ExitCode;

use ebpf_build::{Object, provide};

fn main() -> ExitCode {
    provide(Object::PEERS, "PEERS_EBPF")
}
