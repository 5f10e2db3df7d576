//! Full mode where an mm ends elsewhere than where it was changed last.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rss_drift::probe::FullOptions;

use super::shadow::open;
use crate::{
    harness::Outcome,
    helper::Helper,
    invariants::{Invariants, counts},
};

/// Processes that begin anew again and again, each with one that reads it.
const PAIRS: usize = 3;
/// Arguments that each gets: the kernel walks them between the two moments below, which takes it a while
/// (`fs/binfmt_elf.c:create_elf_tables`).
const ARGUMENTS: u64 = 20_000;
/// For how long.
const LONG: Duration = Duration::from_secs(4);

/// execve(2) lets go of the old mm, which somebody else still reads by /proc: then it ends where that process runs, while the CPU of
/// the execve has yet to give up what it holds of it (`fs/exec.c:exec_mmap`, and `sched_process_exec` long after it). What
/// that held counts once, or nobody judges the end.
pub fn of_an_mm_by_its_reader() -> Outcome {
    let mut meter = open(FullOptions::default());
    let mut invariants = Invariants::default();
    let mut helpers: Vec<_> = (0..PAIRS).map(|_| Helper::start()).collect();
    let (over, execs, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let first = counts(&meter.session.probe);
    thread::scope(|scope| {
        // Also when an invariant does not hold: the others end, and the scope with them.
        let _end = Ending(&over);
        for helper in &mut helpers {
            let pid = helper.pid();
            let (over, execs, reads) = (&over, &execs, &reads);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    helper.exec_with(ARGUMENTS, 1);
                    execs.fetch_add(1, Ordering::Relaxed);
                }
            });
            scope.spawn(move || {
                // Each read holds the mm that the process has by then, and lets go of it: `fs/proc/base.c:get_mm_cmdline`.
                let file = File::open(format!("/proc/{pid}/cmdline")).expect("open a file of a helper's");
                let mut line = [0; 64];
                while !over.load(Ordering::Relaxed) {
                    file.read_at(&mut line, 0).expect("read a file of a helper's");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + LONG;
        while Instant::now() < end {
            invariants.check(&mut meter.session.probe);
            thread::sleep(Duration::from_millis(100));
        }
    });
    let last = counts(&meter.session.probe);
    let (execs, reads) = (execs.into_inner(), reads.into_inner());
    println!("report: ended_by_readers_execs={execs}");
    println!("report: ended_by_readers_reads={reads}");
    println!("report: ended_by_readers_unjudged={}", last.unjudged - first.unjudged);
    assert!(execs > 0 && reads > execs, "{execs} execve, {reads} reads");
    // IdleProcess CPUs may run on one each, lazily.
    let lazy = meter.session.kernel.cpus.online.len() as u64;
    assert!(last.deaths - first.deaths + lazy >= execs, "{execs} execve: {last:?}");
    for helper in &helpers {
        assert!(meter.idle(helper.pid()).shadow.is_some(), "it has a shadow");
    }
    invariants.end(&mut meter.session, "ended_by_readers");
    Outcome::Passed
}

/// Ends the other threads when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
