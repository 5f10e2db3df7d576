//! Limits that may forbid the demo: checked before, so that the answer names the limit and the number that fits.

pub mod cgroup;
pub mod host;

use std::fmt::Write as _;

use super::need::{Need, STACK};

/// Kernel memory of one thread, in bytes: its stack of 16 KiB, the `task_struct` with its registers, and the rest.
const KERNEL_BYTES: u64 = 32 * 1024;
/// Pages of its own stack that a thread touches: its thread data and the frames.
const STACK_PAGES: u64 = 2;
/// What is to stay free for everybody else, and for the pages of this program itself, in bytes.
const RESERVE: u64 = 64 * 1024 * 1024;
/// Mappings that the child makes, whatever the number of its threads, with some room for the C library.
const MAPPINGS: u64 = 8;
/// Pids below this are not given out again (`kernel/pid.c:RESERVED_PIDS`, 5.10 to 7.2).
const RESERVED_PIDS: u64 = 300;

impl Need {
    /// Memory that one thread takes, the kernel's included, in bytes.
    const fn memory_of_thread(&self) -> u64 {
        (self.pages + STACK_PAGES).saturating_mul(self.page_size).saturating_add(KERNEL_BYTES)
    }

    /// Address space that one thread takes, in bytes.
    const fn space_of_thread(&self) -> u64 {
        self.pages.saturating_mul(self.page_size).saturating_add(STACK as u64)
    }
}

/// A limit and what is used of it, both in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The limit.
    pub limit: u64,
    /// What is in use, by everybody whom it counts.
    pub used: u64,
}

/// What a control group limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Tasks.
    Pids,
    /// Memory in bytes.
    Memory,
}

/// A limit of one of the control groups that this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupLimit {
    /// Of what.
    pub controller: Controller,
    /// The file that holds it.
    pub file: String,
    /// The figures.
    pub usage: Usage,
}

/// The figures of this host that limits follow from. `None`: there is no such limit, or it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// `RLIMIT_NPROC`; `None` also for a user who is exempt from it.
    pub user_tasks: Option<Usage>,
    /// `kernel.threads-max`, and all tasks.
    pub threads_max: Option<Usage>,
    /// `kernel.pid_max`, and all tasks.
    pub pid_max: Option<Usage>,
    /// `vm.max_map_count`, and the mappings of this process, which the child begins with.
    pub mappings: Option<Usage>,
    /// Memory and what of it is not available, in bytes.
    pub memory: Option<Usage>,
    /// `CommitLimit` where the kernel holds to it (`vm.overcommit_memory=2`), in bytes.
    pub commit: Option<Usage>,
    /// `RLIMIT_AS` in bytes, and the address space of this process, which the child begins with.
    pub address_space: Option<Usage>,
    /// `RLIMIT_DATA` in bytes, and the data of this process.
    pub data: Option<Usage>,
    /// pids.max and memory.max from this process's control group to the root.
    pub cgroups: Vec<CgroupLimit>,
}

/// How a limit is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Number,
    Bytes,
}

/// One limit, and the number of threads that it lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    usage: Usage,
    unit: Unit,
    fits: u64,
    remedy: String,
}

/// Limits that forbid the demo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot run {threads} threads x {pages} pages:{reasons}\n  {fits}")]
pub struct Forbidden {
    threads: u64,
    pages: u64,
    /// Each limit with its value and its remedy, the tightest first.
    reasons: String,
    /// How many threads fit.
    fits: String,
}

/// Whether what is needed fits; the error names every limit that forbids it, the tightest first.
pub fn check(figures: &Figures, need: &Need) -> Result<(), Forbidden> {
    let mut broken = limits(figures, need);
    broken.retain(|limit| limit.fits < need.threads);
    broken.sort_by_key(|limit| limit.fits);
    let Some(tightest) = broken.first() else { return Ok(()) };
    let fits = match tightest.fits {
        0 => "not one thread of this size fits; --pages makes them smaller".to_owned(),
        fits => format!("what fits: rss-drift demo --threads {fits} --pages {}", need.pages),
    };
    let reasons = broken.iter().fold(String::new(), |mut text, limit| {
        let shown = |value: u64| match limit.unit {
            Unit::Number => value.to_string(),
            Unit::Bytes => format!("{} KiB", value / 1024),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n  {} is {}, of which {} are in use: {} threads fit\n    remedy: {}",
            limit.name,
            shown(limit.usage.limit),
            shown(limit.usage.used),
            limit.fits,
            limit.remedy,
        );
        text
    });
    Err(Forbidden { threads: need.threads, pages: need.pages, reasons, fits })
}

/// A limit of tasks that lets the demo through, with room for what is started meanwhile.
fn enough_tasks(usage: Option<Usage>, need: &Need) -> u64 {
    const ROOM: u64 = 1000;
    usage.map_or(0, |usage| usage.used).saturating_add(need.threads).saturating_add(ROOM)
}

/// Every limit that there is.
fn limits(figures: &Figures, need: &Need) -> Vec<Limit> {
    // One task is the child itself.
    let tasks = |usage: Usage| usage.limit.saturating_sub(usage.used).saturating_sub(1);
    let bytes = |usage: Usage, reserve: u64, each: u64| {
        usage.limit.saturating_sub(usage.used).saturating_sub(reserve) / each.max(1)
    };
    let number = |name: &str, usage: Option<Usage>, fits: &dyn Fn(Usage) -> u64, remedy: &str| {
        usage.map(|usage| Limit {
            name: name.into(),
            usage,
            unit: Unit::Number,
            fits: fits(usage),
            remedy: remedy.into(),
        })
    };
    let size = |name: &str, usage: Option<Usage>, reserve, each, remedy: &str| {
        let fits = |usage| bytes(usage, reserve, each);
        usage.map(|usage| Limit {
            name: name.into(),
            usage,
            unit: Unit::Bytes,
            fits: fits(usage),
            remedy: remedy.into(),
        })
    };
    let (memory, space) = (need.memory_of_thread(), need.space_of_thread());
    let mut limits: Vec<Limit> = [
        number("RLIMIT_NPROC (ulimit -u)", figures.user_tasks, &tasks, "ulimit -u unlimited, or run as root"),
        number(
            "kernel.threads-max",
            figures.threads_max,
            &tasks,
            &format!("sysctl kernel.threads-max={}", enough_tasks(figures.threads_max, need)),
        ),
        number(
            "kernel.pid_max",
            figures.pid_max,
            &|usage| tasks(usage).saturating_sub(RESERVED_PIDS),
            "sysctl kernel.pid_max=4194304",
        ),
        number(
            "vm.max_map_count",
            figures.mappings,
            // The number of mappings does not depend on the number of threads.
            &|usage| if usage.limit.saturating_sub(usage.used) < MAPPINGS { 0 } else { u64::MAX },
            "sysctl vm.max_map_count=65530",
        ),
        size(
            "MemTotal",
            figures.memory,
            RESERVE,
            memory,
            "end what uses it; what is left is MemAvailable in /proc/meminfo",
        ),
        size(
            "CommitLimit",
            figures.commit,
            RESERVE,
            space,
            "sysctl vm.overcommit_memory=0, or a larger vm.overcommit_ratio",
        ),
        size("RLIMIT_AS (ulimit -v)", figures.address_space, 0, space, "ulimit -v unlimited"),
        size("RLIMIT_DATA (ulimit -d)", figures.data, 0, space, "ulimit -d unlimited"),
    ]
    .into_iter()
    .flatten()
    .collect();
    limits.extend(figures.cgroups.iter().map(|cgroup| {
        let (unit, fits) = match cgroup.controller {
            Controller::Pids => (Unit::Number, tasks(cgroup.usage)),
            Controller::Memory => (Unit::Bytes, bytes(cgroup.usage, 0, memory)),
        };
        Limit {
            name: cgroup.file.clone(),
            usage: cgroup.usage,
            unit,
            fits,
            remedy: "raise it, or start in another control group (systemd-run --scope -p TasksMax=infinity)"
                .into(),
        }
    }));
    limits
}

#[cfg(test)]
mod tests;
