//! From where updates come, as `rss-drift run` tells it: the RFC's own sites, call chains of misses, CPUs of readers.

use std::{fs, thread, time::Duration};

use nix::sys::signal::Signal;
use rss_drift::kernel::Accounting;
use serde_json::Value;

use super::run::{SELF, a_program, figure, json, report};
use crate::{
    command::{Running, run},
    guard::Setting,
    harness::{Outcome, Reason, allowed_cpus},
    helper::AS_HELPER,
    measure::Meter,
    scratch::Scratch,
    truth::page_size,
};

/// Programs one after the other.
fn programs(scratch: &Scratch) -> String {
    format!("i=0; while [ $i -lt 60 ]; do {}; i=$((i+1)); done", a_program(scratch))
}

/// Functions of the RFC's commonest miss, from the system call on: execve copies a name into memory that no CPU runs yet. Those
/// that compilers put into their callers are not among them.
const RFC: [&str; 4] = ["do_execveat_common", "copy_string_kernel", "get_arg_page", "handle_mm_fault"];

/// Whether a chain, the outermost function first, goes through these in this order. Compilers put parts of functions elsewhere and
/// whole ones into their callers.
fn goes_through(chain: &str, functions: &[&str]) -> bool {
    let mut frames = chain.split(';').map(|frame| frame.split('.').next().unwrap_or_default());
    functions.iter().all(|function| frames.any(|frame| frame == *function))
}

/// The commonest miss of the RFC is among the first of ours; chains and misses are counted alike.
pub fn the_rfcs_chain_is_among_the_first() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.file("misses.folded");
    let file = path.to_str().expect("a plain path");
    let script = programs(&scratch);
    let (done, found) = report(&["--folded", file], &["sh", "-c", &script]);
    assert_eq!(done.code, Some(0), "{done:#?}");
    let text = fs::read_to_string(&path).expect("read what it wrote");
    let chains: Vec<(&str, i64)> = text
        .lines()
        .map(|line| {
            let (chain, misses) = line.rsplit_once(' ').expect("a chain and a number");
            (chain, misses.parse().expect("a number"))
        })
        .collect();
    let misses: i64 = chains.iter().map(|(_, misses)| misses).sum();
    assert_eq!(misses + figure(&found, "chains_lost"), figure(&found, "misses"), "{text}: {found:#}");
    assert!(chains.is_sorted_by(|(_, one), (_, other)| one >= other), "{text}");
    let of_the_rfc =
        chains.iter().filter(|(chain, _)| goes_through(chain, &RFC)).map(|(_, misses)| *misses).max();
    // Others can have as many: once a program.
    let rank = of_the_rfc.map(|of_it| 1 + chains.iter().filter(|(_, misses)| *misses > of_it).count());
    println!("report: rank of the RFC's chain={}", rank.unwrap_or(0));
    assert!(rank.is_some_and(|rank| rank <= 3), "{text}");

    let done = run(&["run", "--misses", "5", "--", "sh", "-c", &script]);
    done.must_say(
        0,
        &["call chains of misses, the ", " most frequent of ", "get_arg_page+0x", "handle_mm_fault+0x"],
    );
    let done = run(&["run", "--misses", "0", "--", "sh", "-c", "exit 0"]);
    assert!(!done.stderr.contains("call chains"), "{done:#?}");
    run(&["run", "--folded", "/no/such/directory/x", "--", "sh", "-c", "echo ran"])
        .must_say(125, &["/no/such/directory/x"]);
    Outcome::Passed
}

/// An execve misses once at the RFC's sites: the page of the arguments, which comes before the new memory is the task's. From then on
/// an update finds that it is, whatever told of it or did not.
pub fn an_execve_misses_once_at_the_rfcs_sites() -> Outcome {
    let scratch = Scratch::new();
    let (done, found) = report(&[], &["sh", "-c", &programs(&scratch)]);
    assert_eq!(done.code, Some(0), "{done:#?}");
    let per_exec = |name: &str| figure(&found, name) as f64 / figure(&found, "execs") as f64;
    let [misses, bytes] = ["rfc_misses", "rfc_miss_bytes"].map(per_exec);
    let pages = bytes / page_size() as f64;
    println!("report: misses at the RFC's sites per execve={misses:.2}, pages={pages:.2}");
    assert!((0.9..=1.5).contains(&misses), "{misses}: {found:#}");
    assert!((0.9..=1.5).contains(&pages), "{pages}: {found:#}");
    Outcome::Passed
}

/// A program's own pages come by the RFC's sites and go by others; every update is of one kind.
pub fn a_programs_pages_come_by_the_rfcs_sites() -> Outcome {
    const PAGES: i64 = 3000;
    let (done, found) = report(&[], &[SELF, AS_HELPER, "grow", &PAGES.to_string(), "0"]);
    assert_eq!(done.code, Some(0), "{done:#?}");
    let number = |name: &str| figure(&found, name);
    assert!(number("rfc_updates") >= PAGES, "{found:#}");
    assert!(number("rfc_pages_bytes") >= PAGES * 4096, "{found:#}");
    assert!(number("other_updates") > 0, "what went: {found:#}");
    assert_eq!((number("unclassified_updates"), number("sites_lost")), (0, 0), "{found:#}");
    // What goes does so by functions that are not the RFC's: no page came and went by them.
    let came: i64 =
        ["file", "anon", "swap", "shmem"].map(|it| number(&format!("{it}_added_bytes"))).iter().sum();
    assert!(number("rfc_pages_bytes") <= came + came / 10, "{found:#}");
    Outcome::Passed
}

/// Symbols that are hidden: addresses, and why; what can be told without names is right all the same.
pub fn hidden_symbols_are_told() -> Outcome {
    let scratch = Scratch::new();
    let script = programs(&scratch);
    let hidden = Setting::change("/proc/sys/kernel/kptr_restrict", "2").expect("hide the kernel's addresses");
    let (_, found) = report(&[], &["sh", "-c", &script]);
    let (unknown, updates) = (figure(&found, "unclassified_updates"), figure(&found, "updates"));
    let Value::Object(columns) = &found else { panic!("no object: {found:#}") };
    let of = |start: &str| columns.iter().filter(|(name, _)| name.starts_with(start)).collect::<Vec<_>>();
    assert!(of("other_").iter().all(|(_, value)| value.is_null()), "{found:#}");
    assert!(of("rfc_").len() >= 8 && of("other_").len() >= 2, "{found:#}");
    match Meter::open().session.kernel.accounting {
        Accounting::PerCpu => {
            assert!(of("rfc_").iter().all(|(_, value)| value.is_null()), "not known is not 0: {found:#}");
            assert_eq!(unknown, updates, "{found:#}");
        }
        // What a task has cached came by the RFC's sites: no name is needed for that.
        Accounting::PerTask => {
            let cached = figure(&found, "rfc_updates");
            assert!(cached > 0 && unknown + cached == updates, "{found:#}");
        }
    }
    // Whether chains are printed or not, it is said once.
    let chains = [(&[][..], true), (&["--misses", "0"], false)];
    let done = chains.map(|(options, _)| run(&[&["run"], options, &["--", "sh", "-c", &script]].concat()));
    drop(hidden);
    for (done, (_, printed)) in done.iter().zip(chains) {
        done.must_say(0, &["own sites: not known (", "/proc/kallsyms hides addresses"]);
        assert_eq!(done.stderr.matches("hides addresses").count(), 1, "{done:#?}");
        assert_eq!(done.stderr.contains(" 0xffffffff"), printed, "{done:#?}");
    }
    Outcome::Passed
}

/// CPUs that a reader would visit: each that ran the mm, of those that there are.
pub fn cpus_that_ran_the_mm() -> Outcome {
    if allowed_cpus().len() < 2 {
        return Outcome::Skipped(Reason::OneCpu);
    }
    let cpus = Meter::open().session.kernel.cpus;
    let command = [SELF, AS_HELPER, "grow", "6400", "8", "wait"];
    let mut running =
        Running::start(&[&["run", "-i", "0.1", "--format", "json", "--"], &command[..]].concat());
    running.line().expect("the command's line");
    // Time for a reading.
    thread::sleep(Duration::from_secs(1));
    running.signal(Signal::SIGINT);
    let found = json(&running.finish());
    let number = |name: &str| figure(&found, name);
    let online = i64::try_from(cpus.online.len()).expect("CPUs");
    assert_eq!(number("possible_cpus"), i64::try_from(cpus.possible.len()).expect("CPUs"), "{found:#}");
    assert!((2..=online).contains(&number("ran_cpus_max")), "eight threads ran: {found:#}");
    assert!((0..=online).contains(&number("mm_cpumask_max")), "{found:#}");
    for (mean, max) in [("ran_cpus_mean", "ran_cpus_max"), ("mm_cpumask_mean", "mm_cpumask_max")] {
        let mean = found[mean].as_f64().expect("there was a reading");
        assert!(mean >= 0.0 && mean <= number(max) as f64, "{found:#}");
    }
    Outcome::Passed
}
