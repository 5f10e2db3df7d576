//! What it costs to let a program run: CPU time of `rss-drift watch` and of `top` side by side, and our memory.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{ChildStdout, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rss_drift::probe::Probe;

use crate::{
    clock, figures,
    programs::{Running, program, start},
};

/// What is not counted, from the first output on: the first reports.
const WARM_UP: Duration = Duration::from_secs(3);
/// Longest wait for a first output.
const PATIENCE: Duration = Duration::from_secs(60);
/// One period: so many reports of each.
const PERIOD: Duration = Duration::from_secs(4);

/// A program that runs until it is dropped.
struct Daemon {
    name: &'static str,
    program: Running,
    /// Told at its first output, where that goes into a pipe.
    began: Option<Receiver<()>>,
}

impl Daemon {
    fn start(name: &'static str, path: &Path, arguments: &[&str], output: Stdio) -> Result<Self> {
        let mut program = Running(start(program(path, arguments).stdout(output))?);
        let began = program.0.stdout.take().map(|output| {
            let (tell, began) = mpsc::channel();
            thread::spawn(move || read_all(output, &tell));
            began
        });
        Ok(Self { name, program, began })
    }

    /// Waits for its first output.
    fn wait_for_output(&self) -> Result<()> {
        let Some(began) = &self.began else { return Ok(()) };
        began
            .recv_timeout(PATIENCE)
            .with_context(|| format!("{} printed nothing; is its message above?", self.name))
    }
}

/// Reads to the end of the pipe, which comes with the end of the program.
fn read_all(mut output: ChildStdout, tell: &Sender<()>) {
    let mut buffer = [0; 8192];
    while output.read(&mut buffer).is_ok_and(|count| count > 0) {
        // Only the first is waited for.
        let _ = tell.send(());
    }
}

/// Lets all run for `periods` and prints what each used in each period; at the end the memory of ours.
pub fn run(command: &Path, periods: usize, probe: &mut Probe, page_size: u64) -> Result<()> {
    const WATCH: [&str; 4] = ["watch", "--passive", "--interval", "1"];
    const TOP: [&str; 3] = ["-b", "-d", "1"];
    let daemons = [
        Daemon::start("watch", command, &WATCH, Stdio::null())?,
        Daemon::start("top", Path::new("top"), &TOP, Stdio::null())?,
        Daemon::start("watch-pipe", command, &WATCH, Stdio::piped())?,
        Daemon::start("top-pipe", Path::new("top"), &TOP, Stdio::piped())?,
    ];
    let used =
        || daemons.iter().map(|daemon| clock::of_process(daemon.program.0.id())).collect::<Result<Vec<_>>>();
    // A start is no part of running; those without a pipe were started before those with one.
    daemons.iter().try_for_each(Daemon::wait_for_output)?;
    thread::sleep(WARM_UP);
    let mut before = used()?;
    for period in 0..periods {
        thread::sleep(PERIOD);
        let now = used()?;
        for ((daemon, before), now) in daemons.iter().zip(&before).zip(&now) {
            // Per second: at 1 Hz that is per report.
            let per_second = now.saturating_sub(*before).div_f64(PERIOD.as_secs_f64());
            figures::print_time(format_args!("daemon/{}", daemon.name), period, per_second)?;
        }
        before = now;
    }
    memory(daemons[0].program.0.id(), probe, page_size)?;
    drop(daemons);
    figures::print("memory/peak-full", 0, peak_of_full_mode(command)?)
}

/// The most that a start in full mode takes, in bytes.
fn peak_of_full_mode(command: &Path) -> Result<u64> {
    let daemon = Daemon::start("watch", command, &["watch", "--interval", "600"], Stdio::piped())?;
    // The first report comes when all is loaded.
    daemon.wait_for_output()?;
    peak(daemon.program.0.id())
}

/// The largest RSS of a process so far, in bytes: its `VmHWM`.
fn peak(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} ended: its message is above"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM is no size")?;
    Ok(kib * 1024)
}

/// Our memory: what the kernel's counters of the process add up to, and what our BPF programs and maps take in the kernel.
fn memory(pid: u32, probe: &mut Probe, page_size: u64) -> Result<()> {
    let snapshot = probe.snapshot()?;
    let mm = snapshot.process(pid).context("`rss-drift watch` ended: its message is above")?;
    let exact = mm.exact();
    let bytes = |pages: i64| pages.max(0).unsigned_abs() * page_size;
    figures::print("memory/rss", 0, bytes(mm.exact_rss()))?;
    figures::print("memory/file", 0, bytes(exact[0]))?;
    figures::print("memory/anon", 0, bytes(exact[1]))?;
    figures::print("memory/peak", 0, peak(pid)?)?;
    figures::print("memory/kernel", 0, probe.footprint().bytes)
}
