//! The RFC's program: what the files say of it beside what is there.

use serde_json::Value;

use crate::{
    command::run,
    harness::{Outcome, Reason},
    truth::page_size,
};

/// What `demo --json` says.
struct Demo(Value);

impl Demo {
    fn run(arguments: &[&str]) -> Self {
        let done = run(&[&["demo", "--json"], arguments].concat());
        done.must_be_fine();
        let demo = Self(serde_json::from_str(&done.stdout).expect("JSON"));
        assert_eq!(demo.number("/exact_bytes"), demo.number("/resident_bytes"), "{}", demo.0);
        let (touched, resident) = (demo.number("/touched_bytes"), demo.number("/resident_bytes"));
        assert_eq!(touched, demo.number("/threads") * demo.number("/pages") * page_size());
        assert!((touched..touched + touched / 4).contains(&resident), "{touched} touched: {}", demo.0);
        let drift = resident - demo.stat();
        assert_eq!(drift, demo.number("/sources/stat/drift_bytes"), "{}", demo.0);
        assert!(drift.abs() <= demo.number("/sources/stat/bound_bytes"), "{}", demo.0);
        demo
    }

    fn number(&self, pointer: &str) -> i64 {
        self.0.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("no {pointer}: {}", self.0))
    }

    fn stat(&self) -> i64 {
        self.number("/sources/stat/reported_bytes")
    }

    fn is_per_task(&self) -> bool {
        self.0["accounting"] == "per-task"
    }
}

/// In small.
pub fn of_a_thousand_threads() -> Outcome {
    let demo = Demo::run(&["--threads", "1000"]);
    // Each thread's 32 pages are fewer than the faults that it may gather: none of them has reached the count.
    if demo.is_per_task() {
        assert!(demo.stat() <= demo.number("/resident_bytes") - demo.number("/touched_bytes"), "{}", demo.0);
    }
    Outcome::Passed
}

/// In full size, on all CPUs: with a cache per task next to nothing is in the count; with a slot per CPU it depends on their
/// number.
pub fn of_ten_thousand_threads() -> Outcome {
    /// From so many on their slots hold megabytes.
    const MANY_CPUS: i64 = 32;
    if Reason::NoMemory.holds() {
        return Outcome::Skipped(Reason::NoMemory);
    }
    let demo = Demo::run(&["--spread"]);
    println!("report: demo={}", demo.0);
    let resident = demo.number("/resident_bytes");
    if demo.is_per_task() {
        assert!(demo.stat() * 20 < resident, "below 5 %: {}", demo.0);
        return Outcome::Passed;
    }
    assert!(demo.stat() * 20 > resident * 19, "above 95 %: {}", demo.0);
    let cpus = demo.number("/cpus_online");
    if cpus >= MANY_CPUS {
        // A slot holds less than a batch of 2 x CPUs; 32 pages came at a time, so that a fuller one is as likely as an
        // emptier one. A quarter of the half is reached for certain: 4 MiB with 64 CPUs.
        let least = cpus * (2 * cpus - 1) / 8 * page_size();
        let drift = resident - demo.stat();
        assert!(drift >= least, "{least} bytes at least: {}", demo.0);
    }
    Outcome::Passed
}
