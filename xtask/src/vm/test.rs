//! `vm test`: the live tests in one guest per kernel and number of CPUs, side by side, and a table at the end.

use std::{
    collections::{BTreeSet, VecDeque},
    io::Write as _,
    path::Path,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    cached::Cached,
    fetch,
    guest::Job,
    kernels::Kernel,
    matrix::{self, Cell},
    qemu::{self, Machine},
    summary::{self, Log, Printed, Row},
    tools,
    variant::LOCKDOWN,
    wide, wide_report,
};
use crate::{build, setup, times::Times, workspace};

/// Each guest is one thread of emulation: as many as small machines have CPUs.
const SIDE_BY_SIDE: usize = 2;

/// Enough for the demo of 10,000 threads and for tests that fill memory.
pub(super) const MEMORY: u32 = 4096;

/// What a guest runs: the live tests, or another mode of their binary.
pub(super) const SCRIPT: &str = include_str!("test.sh");

/// Seconds that a guest may take for nothing: emulation beside other work is slow.
pub(super) const SLACK: u64 = 1800;

/// Arguments of `vm test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --kernel and --cpus: every kernel with 8 CPUs, 7.x with 64, and 6.12 with one CPU and, \
    without LIVE-TEST-ARGS, in lockdown. Without LIVE-TEST-ARGS tests of the command line, exit statuses, files and terminals\
    \x20run on 5.10 only, tests that have nothing to do with the number of CPUs with 8 only.\n\n\
    Example: cargo xtask vm test --kernel 6.12 --cpus 8 -- exact"
)]
pub(crate) struct Args {
    /// Only this kernel (may be given several times)
    #[arg(long, value_name = "K")]
    kernel: Vec<Kernel>,
    /// The guests of every kernel that people run, and of what they boot it with, instead; with a word only those in whose
    /// name it is
    #[arg(long, value_name = "PART", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["kernel", "cpus"])]
    wide: Option<String>,
    /// This number of CPUs, for each kernel (may be given several times)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: Vec<u32>,
    /// Count a kernel that cannot be fetched as skipped
    #[arg(long)]
    allow_missing_kernel: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
    /// Run everything this many times
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Seconds after which a guest is killed (default: by its CPUs)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// More words for the kernels' command line
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Arguments of the live tests: parts of names, options
    #[arg(last = true, value_name = "LIVE-TEST-ARGS")]
    arguments: Vec<String>,
}

impl Args {
    /// All tests in every guest, once.
    pub(crate) fn everything(allow_missing_kernel: bool, yes: bool) -> Self {
        Self {
            kernel: Vec::new(),
            wide: None,
            cpus: Vec::new(),
            allow_missing_kernel,
            yes,
            repeat: 1,
            timeout: None,
            append: Vec::new(),
            arguments: Vec::new(),
        }
    }
}

/// Runs the tests.
pub(crate) fn run(args: &Args, times: &mut Times) -> Result<ExitCode> {
    let root = workspace::root();
    let program = times.stage("set-up for guests", || {
        tools::ensure(args.yes)?;
        setup::ensure(&root, args.yes)?;
        build::static_binary(&root, "live-tests")
    })?;
    let stop = qemu::stop_flag()?;
    let mut cells = match &args.wide {
        Some(part) => wide::select(part)?,
        None => matrix::select(&args.kernel, &args.cpus),
    };
    // Other tests than its own have nothing to say where measuring does not work.
    cells.retain(|cell| cell.variant != &LOCKDOWN || args.arguments.is_empty());
    let mut rows = Vec::new();
    let fetched = times.stage("kernels", || fetch_all(&cells, args.allow_missing_kernel, &mut rows))?;
    for round in 1..=args.repeat {
        if args.repeat > 1 {
            eprintln!("round {round} of {}", args.repeat);
        }
        rows.extend(times.stage("guests", || round_of(&cells, &fetched, &program, args, &stop))?);
    }
    for row in &rows {
        times.read(&row.cell.to_string(), &row.printed);
    }
    if stop.load(Ordering::Relaxed) {
        eprintln!("interrupted");
        return Ok(ExitCode::from(130));
    }
    if args.arguments.is_empty() && args.append.is_empty() {
        if args.wide.is_some() {
            wide_report::keep(&rows)?;
        } else if matrix::is_complete(&cells) {
            write_report(&rows)?;
        }
    }
    let (text, counts) = summary::summarize(&rows);
    print!("{text}");
    Ok(ExitCode::from(u8::from(counts.failed > 0)))
}

/// Opens or fetches the kernels of these cells; of those that may be missing, rows that say so.
fn fetch_all(cells: &[Cell], may_be_missing: bool, missing: &mut Vec<Row>) -> Result<Vec<Cached>> {
    let mut fetched = Vec::new();
    let kernels: BTreeSet<_> = cells.iter().map(|cell| cell.kernel).collect();
    for kernel in kernels {
        match fetch::ensure(kernel) {
            Ok(cached) => fetched.push(cached),
            Err(error) if may_be_missing => {
                let cells = cells.iter().filter(|cell| cell.kernel == kernel);
                missing.extend(cells.map(|cell| Row::missing(*cell, &error)));
            }
            Err(error) => return Err(error.context("--allow-missing-kernel goes on without it")),
        }
    }
    Ok(fetched)
}

/// Runs every cell once, [`SIDE_BY_SIDE`] at a time.
fn round_of(
    cells: &[Cell],
    fetched: &[Cached],
    program: &Path,
    args: &Args,
    stop: &AtomicBool,
) -> Result<Vec<Row>> {
    let queue: Mutex<VecDeque<(Cell, &Cached)>> = Mutex::new(
        cells
            .iter()
            .filter_map(|cell| {
                let cached = fetched.iter().find(|cached| cached.kernel == cell.kernel)?;
                Some((*cell, cached))
            })
            .collect(),
    );
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while let Some((cell, cached)) = next().filter(|_| !stop.load(Ordering::Relaxed)) {
            rows.push(test(cell, cached, program, args, stop)?);
        }
        Ok(rows)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(worker)).collect();
        let mut rows = Vec::new();
        for worker in workers {
            rows.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(rows)
    })
}

fn test(cell: Cell, cached: &Cached, program: &Path, args: &Args, stop: &AtomicBool) -> Result<Row> {
    let cpus = cell.cpus;
    eprintln!("{cell}: started");
    let machine = Machine {
        kernel: cached.clone(),
        cpus,
        memory: MEMORY,
        append: args.append.iter().cloned().chain([cell.variant.words.to_owned()]).collect(),
        icount: false,
        disk: None,
    };
    let mut command = ["sh", "-c", SCRIPT, "test.sh"].map(str::to_owned).to_vec();
    if args.arguments.is_empty() {
        command.push("--report".to_owned());
        command.extend(cell.arguments());
    } else {
        command.extend(args.arguments.iter().cloned());
    }
    let timeout = args.timeout.unwrap_or(SLACK + 15 * u64::from(cpus));
    let files = [program.to_owned()];
    let job = Job { command: &command, files: &files, timeout: Duration::from_secs(timeout) };
    let (mut out, mut err) = (Log::create(cell, "out")?, Log::create(cell, "err")?);
    let start = Instant::now();
    let (end, console) = job.run(&machine, stop, &mut out, &mut err)?;
    let took = start.elapsed();
    Log::create(cell, "console")?.write_all(console.as_bytes()).context("cannot write a log")?;
    let printed = Printed { out: out.text(), err: err.text(), console };
    let row = Row::new(cell, cached, &end, &printed, took);
    eprintln!("{cell}: {}, {} s{}", row.counts, took.as_secs(), row.remark());
    Ok(row)
}

/// Keeps what `vm report` is made of.
fn write_report(rows: &[Row]) -> Result<()> {
    let guests: Vec<_> = rows.iter().filter_map(|row| row.value.as_ref()).collect();
    let file = super::report::file();
    let text = serde_json::to_string_pretty(&json!({ "guests": guests })).context("cannot make JSON")?;
    std::fs::write(&file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}
