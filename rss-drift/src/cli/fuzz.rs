//! Any command line: it is taken or refused, and no time, size or count of it overflows what is calculated with it.
//!
//! A test tries some thousand; `cargo xtask fuzz --minutes 10` as many as that time holds.

use std::{
    env,
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    time::{Duration, Instant},
};

use clap::{Arg, Command, CommandFactory as _, Parser as _};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestError, TestRunner},
};

use super::{Cli, Verb, valid, watch::Asked};
use crate::{
    drift::{stats::Reading, verdict::Verdict},
    probe::FullOptions,
    session::Mode,
    watch::{Due, Schedule},
};

/// Words that mean something to some option, and edges of the numbers that they may be.
const WORDS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "10",
    "1000",
    "1001",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "0.5",
    "1e19",
    "-1e19",
    "1e308",
    "1e309",
    "1e-9",
    "1e-400",
    "inf",
    "-inf",
    "nan",
    "0x10",
    "+1",
    "1_000",
    "10ms",
    "9ms",
    "1ns",
    "1d",
    "100years",
    "101years",
    "18446744073709551615s",
    "18446744073709551615y",
    "1h 1h",
    "99%",
    "100%",
    "0%",
    "1K",
    "1M",
    "1G",
    "17179869183G",
    "17179869184G",
    "18446744073709551615K",
    "1.5M",
    "512MiB",
    "drift > 64MiB for 3",
    "percent>=5%",
    "near 1M for 18446744073709551615",
    "charge_percent < 90 %",
    "exact > 8E",
    "8E",
    ".",
    "/a{1,2}/",
    "/(/",
    "*",
    "human",
    "kib",
    "unit",
    "host",
    "-",
    "--",
    "",
    " ",
    "help",
    "drift",
    "-drift",
    "pid,comm",
    "pid,,pid",
    "table",
    "csv",
    "jsonl",
    "json",
    "text",
    "stat",
    "statm",
    "status",
    "a.csv",
    "a.jsonl",
    "a.txt",
    "a,b",
    "true",
    "\u{0}",
    "\u{1b}[2J",
    "\u{fffd}",
    "=",
    "--=",
    "-=",
];

/// The test's share of the time that all tests take.
const CASES: u32 = 4096;

/// For how long, in seconds, where that was asked for.
const SECONDS: &str = "RSS_DRIFT_FUZZ_SECONDS";

/// Options of all verbs as they are written, and the verbs.
fn known_words() -> Vec<String> {
    let mut command = Cli::command();
    command.build();
    let written = |argument: &Arg| {
        let long = argument.get_long().map(|long| format!("--{long}"));
        long.into_iter().chain(argument.get_short().map(|short| format!("-{short}"))).collect::<Vec<_>>()
    };
    let of = |command: &Command| command.get_arguments().flat_map(written).collect::<Vec<_>>();
    let verbs = command.get_subcommands().map(|verb| verb.get_name().to_owned());
    let mut words: Vec<_> = verbs.chain(command.get_subcommands().flat_map(of)).chain(of(&command)).collect();
    words.sort();
    words.dedup();
    words
}

/// A word: one that is known, an edge, or any bytes.
fn word(known: Vec<String>) -> impl Strategy<Value = OsString> {
    let edge = || select(WORDS).prop_map(str::to_owned);
    let number = any::<f64>().prop_map(|number| number.to_string());
    prop_oneof![
        6 => select(known.clone()).prop_map(OsString::from),
        6 => edge().prop_map(OsString::from),
        2 => number.prop_map(OsString::from),
        2 => any::<i128>().prop_map(|number| number.to_string().into()),
        3 => (select(known), edge()).prop_map(|(option, value)| format!("{option}={value}").into()),
        1 => vec(any::<u8>(), 0..12).prop_map(OsString::from_vec),
    ]
}

/// A command line as people write it: a verb, and options that each have a value. Most of these are taken.
fn sensible() -> impl Strategy<Value = Vec<OsString>> {
    let option = select(
        &[
            "-i",
            "-n",
            "-d",
            "-p",
            "--top",
            "--near",
            "--fail-if",
            "--by",
            "--min-rss",
            "--min-drift",
            "--comm",
            "--cgroup",
            "-u",
            "--max-mms",
            "--max-memory",
            "--max-overhead",
            "--threshold",
            "--misses",
            "-r",
            "--kill-after",
            "--threads",
            "--pages",
        ][..],
    );
    let value = prop_oneof![
        3 => select(WORDS).prop_map(str::to_owned),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => (0.0..1e12).prop_map(|number: f64| number.to_string()),
    ];
    (select(&["watch", "run", "explain", "oom", "demo"][..]), vec((option, value), 0..3)).prop_map(
        |(verb, options)| {
            let words = options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
            let end: &[&str] = match verb {
                "run" => &["--", "true"],
                "explain" => &["1"],
                _ => &[],
            };
            let words =
                std::iter::once(verb.to_owned()).chain(words).chain(end.iter().map(|&word| word.to_owned()));
            words.map(OsString::from).collect()
        },
    )
}

/// Takes a command line as `main` does, and calculates what its verb would with what it says; whether it was taken.
fn take(words: &[OsString]) -> bool {
    let args: Vec<_> = std::iter::once(OsString::from("rss-drift")).chain(words.iter().cloned()).collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = (error.to_string(), valid::options(Cli::command(), &args), super::is_run(&args));
            return false;
        }
    };
    match cli.verb {
        None => watch(cli.watch),
        Some(Verb::Watch(args)) => watch(*args),
        Some(Verb::Run(args)) => {
            let options = args.options();
            size(&options.full);
            let _ = options.threshold.div_ceil(4096);
            let _ = Instant::now() + options.interval + options.kill_after.unwrap_or_default();
        }
        Some(Verb::Demo(args)) => {
            // That there is no room for it is an answer.
            let _ = args.options().need(4096);
        }
        Some(Verb::Explain(args)) => {
            let _ = Instant::now() + args.options().duration.unwrap_or_default();
        }
        // That several groups are refused is an answer too.
        Some(Verb::Oom(args)) => drop(args.options()),
        Some(Verb::Doctor(_)) => {}
    }
    true
}

fn watch(args: super::watch::Args) {
    let Ok(Asked::Watch(options)) = args.asked() else { return };
    if let Mode::Full(full) = options.mode {
        size(&full);
    }
    let mut verdict = Verdict::new(4096, options.near);
    for (exact, reported) in [(0, 0), (i64::MAX, i64::MIN), (i64::MIN, i64::MAX)] {
        verdict.count(1, Reading { exact, reported }, String::new);
    }
    let began = Instant::now();
    let mut schedule = Schedule::begin(began, options.interval, options.duration);
    // Reports in time, late ones, and the one after a host has slept for a year.
    for late in [Duration::ZERO, options.interval / 2, options.interval, Duration::from_secs(365 * 86400)] {
        let now = began + late;
        assert!(schedule.due(now, false) != Due::Report || schedule.wait(now) <= options.interval);
    }
}

fn size(full: &FullOptions) {
    // The most CPUs and processes that a kernel of x86_64 can have (`NR_CPUS`, `PID_MAX_LIMIT`).
    for (cpus, live) in [(0, 0), (2, 100), (8192, 4_194_304)] {
        assert!(full.capacity(cpus, live) >= 1, "{full:?}");
    }
}

#[test]
fn no_command_line_panics() {
    let until = env::var(SECONDS).ok().map(|text| {
        let seconds = text.parse().unwrap_or_else(|error| panic!("{SECONDS}={text}: {error}"));
        Instant::now() + Duration::from_secs(seconds)
    });
    let words = prop_oneof![vec(word(known_words()), 0..8), sensible()];
    let (mut tried, mut taken) = (0_u64, 0_u64);
    loop {
        let mut runner =
            TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let count = std::cell::Cell::new((tried, taken));
        let result = runner.run(&words, |words| {
            let (tried, taken) = count.get();
            count.set((tried + 1, taken + u64::from(take(&words))));
            Ok(())
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(why, words)) => panic!("{why}: {words:?}"),
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
        (tried, taken) = count.get();
        if until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
    }
    println!("{tried} command lines, {taken} of them taken");
    // What is only ever refused would try nothing.
    assert!(taken * 10 > tried, "{taken} of {tried} were taken");
}
