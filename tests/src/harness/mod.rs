//! The harness: each test in a process of its own, skips counted with their reasons, one line per test.

mod isolate;
mod options;
mod reason;

use std::{ffi::OsString, process::ExitCode, time::Duration};

pub use reason::{KSM_RUN, Reason, allowed_cpus, kib_of};

use crate::guard;
use isolate::{Ended, Verdict};
use options::Options;

/// First argument of the process that runs one test.
pub const AS_TEST: &str = "--test";

/// How a test ended that did not panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that it asserts holds.
    Passed,
    /// This kernel lacks what the test is about.
    Skipped(Reason),
}

/// A test by its name. It fails by a panic.
pub type Test = (&'static str, fn() -> Outcome);

/// How a line of a test's output begins that is kept also when it passes: `report: key=value`.
const REPORT: &str = "report: ";

/// Exit status of a test's process for the first of [`Reason::ALL`]; the others follow.
const SKIPPED: u8 = 64;

/// Runs the one test that `arguments` names, in this process.
pub fn main_of_test(arguments: &[OsString], tests: &[Test]) -> ExitCode {
    let Some((name, test)) = tests.iter().find(|(name, _)| arguments.iter().any(|word| word == name)) else {
        eprintln!("live-tests: no such test: {arguments:?}");
        return ExitCode::FAILURE;
    };
    match test() {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::Skipped(reason) => {
            println!("{name}: {reason}");
            ExitCode::from(SKIPPED + reason.index())
        }
    }
}

/// Runs all tests that the command line selects.
pub fn main(arguments: &[OsString], tests: &[Test]) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("live-tests: {text}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    if let Some(part) = options.leaves_out_nothing(tests) {
        eprintln!("live-tests: --without {part}: no test has a name like that; --list shows all");
        return ExitCode::from(2);
    }
    let selected: Vec<&Test> = tests.iter().filter(|(name, _)| options.selects(name)).collect();
    if options.list {
        for (name, _) in selected {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    if selected.is_empty() {
        eprintln!("live-tests: no test has a name like that; --list shows all");
        return ExitCode::from(2);
    }
    // SAFETY: reads an id.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("live-tests: needs root");
        return ExitCode::from(2);
    }
    isolate::prepare();
    let mut tally = Tally::default();
    for round in 1..=options.repeat {
        if options.repeat > 1 {
            println!("round {round} of {}", options.repeat);
        }
        for (name, _) in &selected {
            let ended = isolate::run(name, options.timeout);
            // What a killed test could not put back itself.
            guard::restore_what_was_left();
            tally.count(name, judge(ended, &options));
            if isolate::interrupted() {
                eprintln!("live-tests: interrupted");
                return ExitCode::from(130);
            }
        }
    }
    tally.close()
}

/// A skip counts as one only where the kernel confirms its reason, and where it is one that is allowed here.
fn judge(mut ended: Ended, options: &Options) -> Ended {
    if let Verdict::Skipped(reason) = ended.verdict {
        let complaint = if !reason.holds() {
            "is not so on this kernel: the test should have run"
        } else if !options.allows(reason) {
            "is not among the reasons allowed here (--allow-skips)"
        } else {
            return ended;
        };
        ended.verdict = Verdict::Failed(format!("skipped, but \"{reason}\" {complaint}"));
    }
    ended
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
    names_of_failed: Vec<String>,
    total: Duration,
}

impl Tally {
    fn count(&mut self, name: &str, ended: Ended) {
        let seconds = ended.took.as_secs_f64();
        self.total += ended.took;
        match ended.verdict {
            Verdict::Passed => {
                self.passed += 1;
                println!("ok   {seconds:7.2} s  {name}");
                // Figures that a test measured.
                for line in ended.output.lines().filter(|line| line.starts_with(REPORT)) {
                    println!("{line}");
                }
            }
            Verdict::Skipped(reason) => {
                self.skipped += 1;
                println!("skip {seconds:7.2} s  {name}: {reason}");
            }
            Verdict::Failed(how) => {
                self.failed += 1;
                self.names_of_failed.push(name.to_owned());
                println!("FAIL {seconds:7.2} s  {name}: {how}");
                for line in ended.output.lines() {
                    println!("    | {line}");
                }
            }
        }
    }

    fn close(self) -> ExitCode {
        if self.failed > 0 {
            println!("failed: {}", self.names_of_failed.join(", "));
        }
        println!("all tests took {:.1} s", self.total.as_secs_f64());
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
