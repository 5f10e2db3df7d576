//! One reading of all processes, by the mode and the accounting.

use std::time::SystemTime;

use aya::Ebpf;
use rss_drift_common::shadow::Counts;

use super::{
    error::ProbeError,
    scheme::pertask::{self, PASSES},
    snapshot::{Snapshot, agree, sum_tasks},
    stream::Stream,
    sweep::Sweep,
};
use crate::kernel::Accounting;

/// Reads all processes, again and again.
#[derive(Debug)]
pub(super) enum Reader {
    /// Passive mode on per-cpu accounting: a record per process.
    PerCpu(Stream),
    /// Passive mode on per-task accounting: a record per task.
    PerTask(Stream),
    /// Full mode on per-cpu accounting: a record per process, with its shadow.
    ShadowPerCpu(Stream),
    /// Full mode on per-task accounting: a record per task; and the states without a task.
    ShadowPerTask(Stream, Sweep),
}

impl Reader {
    /// The reader of passive mode, by the iterator of this name.
    pub(super) const fn passive(accounting: Accounting, program: &'static str) -> Self {
        match accounting {
            Accounting::PerCpu => Self::PerCpu(Stream::new(program)),
            Accounting::PerTask => Self::PerTask(Stream::new(program)),
        }
    }

    /// The reader of full mode, by the iterator of this name.
    pub(super) fn full(accounting: Accounting, program: &'static str) -> Self {
        match accounting {
            Accounting::PerCpu => Self::ShadowPerCpu(Stream::new(program)),
            Accounting::PerTask => Self::ShadowPerTask(Stream::new(program), Sweep::default()),
        }
    }

    /// One reading, ordered.
    pub(super) fn read(&mut self, ebpf: &mut Ebpf) -> Result<Snapshot, ProbeError> {
        let time = SystemTime::now();
        Ok(match self {
            Self::PerCpu(stream) => Snapshot::without_shadow(time, stream.read(ebpf)?),
            Self::PerTask(stream) => {
                let mut before = sum_tasks(&stream.read(ebpf)?);
                for _ in 1..PASSES {
                    let mut after = sum_tasks(&stream.read(ebpf)?);
                    let all = agree(&before, &mut after);
                    before = after;
                    if all {
                        break;
                    }
                }
                Snapshot::without_shadow(time, before)
            }
            Self::ShadowPerCpu(stream) => Snapshot::new(time, stream.read(ebpf)?),
            Self::ShadowPerTask(stream, sweep) => {
                let (records, visited) = pertask::read(ebpf, stream)?;
                sweep.after_reading(ebpf, &visited)?;
                Snapshot::new(time, records)
            }
        })
    }

    /// Adds what user space counts itself to the BPF programs' own counts.
    pub(super) const fn add_to(&self, counts: &mut Counts) {
        if let Self::ShadowPerTask(_, sweep) = self {
            sweep.add_to(counts);
        }
    }
}
