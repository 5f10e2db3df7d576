//! Programs for `rss-drift run`: memory that comes and goes before the program ends, and a daemon.

use std::{
    ffi::OsString,
    fs, io,
    process::ExitCode,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use nix::unistd::{ForkResult, fork, setsid};

use super::{
    Kind,
    regions::{self, Mapped},
    tasks,
};
use crate::harness::allowed_cpus;

/// Grows to a known size, says what the kernel says of it, gives it back, and says what the kernel remembers.
///
/// PAGES, THREADS, and perhaps `wait`: 0 threads: by the only one; else by so many on all CPUs. `wait`: then waits to be killed.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse().ok());
    let (Some(pages), Some(threads)) = (number(0), number(1)) else { return ExitCode::from(2) };
    match grow(pages, threads) {
        Ok(line) => println!("{line}"),
        Err(error) => {
            println!("failed: {error}");
            return ExitCode::FAILURE;
        }
    }
    if words.get(2).is_some_and(|word| word == "wait") {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    ExitCode::SUCCESS
}

/// The line: resident at the largest (KiB, a walk of the page tables), then `VmHWM` (KiB), `ru_maxrss` (KiB) and page faults.
fn grow(pages: usize, threads: usize) -> io::Result<String> {
    regions::no_huge_pages();
    let region = Mapped::new(Kind::Anon, pages, "-")?;
    // The code that reads, and that gives the region back, is there before: the largest size is that of the moment.
    Mapped::new(Kind::Anon, 1, "-")?.unmap(0, 1)?;
    rollup()?;
    let resident = if threads == 0 {
        region.write(0, pages);
        rollup()?
    } else {
        // So is what threads need that begin and end.
        by_threads(region, 0, threads)?;
        by_threads(region, pages, threads)?
    };
    region.unmap(0, pages)?;
    let hwm = kib("/proc/self/status", "VmHWM:")?;
    // SAFETY: all fields are integers: zeroes are a value, and the kernel fills it in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    Ok(format!("{resident} {hwm} {} {}", usage.ru_maxrss, usage.ru_minflt + usage.ru_majflt))
}

fn by_threads(region: Mapped, pages: usize, threads: usize) -> io::Result<u64> {
    let cpus = allowed_cpus();
    let (grown, read) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
    let each = pages / threads;
    let started: Vec<_> = (0..threads)
        .map(|number| {
            let (cpu, grown, read) = (cpus[number % cpus.len()], Arc::clone(&grown), Arc::clone(&read));
            thread::spawn(move || {
                // A CPU that went offline meanwhile: the pages are written where the thread is.
                let _ = tasks::pin(cpu);
                region.write(number * each, each);
                grown.wait();
                read.wait();
            })
        })
        .collect();
    grown.wait();
    let resident = rollup()?;
    read.wait();
    for thread in started {
        thread.join().map_err(|_| io::Error::other("a thread panicked"))?;
    }
    Ok(resident)
}

fn rollup() -> io::Result<u64> {
    kib("/proc/self/smaps_rollup", "Rss:")
}

fn kib(path: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no {name} in {path}")))
}

/// PAGES MILLISECONDS: leaves a daemon behind that writes to so many pages, and ends after a while.
pub(super) fn daemon(arguments: &[OsString]) -> ExitCode {
    let number = |index: usize| arguments.get(index).and_then(|word| word.to_str()?.parse().ok());
    let (Some(pages), Some(milliseconds)) = (number(0), number(1)) else { return ExitCode::from(2) };
    regions::no_huge_pages();
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { .. }) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
        Ok(ForkResult::Child) => {
            let _ = setsid();
            // SAFETY: as above.
            if !matches!(unsafe { fork() }, Ok(ForkResult::Child)) {
                return ExitCode::SUCCESS;
            }
            let Ok(region) = Mapped::new(Kind::Anon, pages, "-") else { return ExitCode::FAILURE };
            region.write(0, pages);
            thread::sleep(Duration::from_millis(milliseconds as u64));
            ExitCode::SUCCESS
        }
    }
}
