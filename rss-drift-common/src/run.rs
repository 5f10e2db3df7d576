//! What `rss-drift run` has counted of the command, of its descendants and of their mms.
//!
//! Updates are counted when they happen, by the CPU that sees them, so nothing has to be kept
//! for a process that has ended. The largest figures are kept per CPU too: the BPF program that
//! sees the end of an mm does not run twice at once on one CPU (the kernel's recursion guard).

use crate::{
    layout::{Figures, MOST_FIGURES},
    member::MEMBERS,
    record::COMM_LEN,
};

/// Offsets of what only `run` reads in the kernel's structs. Offsets are bytes from the start of the named struct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct RunLayout {
    /// 1 in `run`; 0: none of this is used.
    pub enabled: u32,
    /// `mm_struct.mm_users`
    pub mm_users: u32,
    /// `mm_struct.hiwater_rss`
    pub mm_hiwater_rss: u32,
    /// `task_struct.min_flt`
    pub task_min_flt: u32,
    /// `task_struct.maj_flt`
    pub task_maj_flt: u32,
    /// `signal_struct.live`
    pub signal_live: u32,
    /// `signal_struct.maxrss`
    pub signal_maxrss: u32,
    /// `mm_struct.cpu_bitmap`, from 6.19 on `flexible_array`: the bits of `mm_cpumask`
    pub mm_cpumask: u32,
    /// 1: every process of the host is measured; 0: the command and its descendants.
    pub system: u32,
}

impl Figures for RunLayout {
    const FIRST: u16 = 2 * MOST_FIGURES;
}

/// Frames that name a site: the function that updates, and two above it, because the first may be a helper.
pub const SITE_FRAMES: usize = 3;
/// Return addresses above an event, the nearest first; 0 where there are fewer.
pub type Site = [u64; SITE_FRAMES];
/// Frames of the stack that shows how many of them are ours and the tracepoint's.
pub const CALIBRATION_FRAMES: usize = 16;

/// Kinds of sites, by the functions of their frames.
pub mod kind {
    /// The kernel has no name for its frames, or they could not be read.
    pub const UNKNOWN: u64 = 0;
    /// One that the RFC left at atomic operations.
    pub const OTHER: u64 = 1;
    /// One that the RFC's cache takes.
    pub const RFC: u64 = 2;
    /// A function between an update and the function that made it.
    pub const HELPER: u64 = 3;
    /// Kinds of sites.
    pub const KINDS: usize = 3;
}

/// The code of a function that decides what kind of a site it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Code {
    /// Its first address.
    pub start: u64,
    /// The first address after it.
    pub end: u64,
    /// `kind::RFC` or `kind::HELPER`; 0: no more follow.
    pub kind: u64,
}
/// The most of them.
pub const CODES: usize = 48;

/// Updates by one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct SiteCounts {
    /// One of [`kind`].
    pub kind: u64,
    /// Its updates.
    pub counts: MemberCounts,
}

/// CPUs that a reader of the RFC's cache would have had to visit, added up over all readings of measured processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Visits {
    /// Readings.
    pub readings: u64,
    /// CPUs whose slot held the mm at an update.
    pub ran: u64,
    /// The most of them.
    pub ran_max: u64,
    /// CPUs in `mm_cpumask`, which x86 clears late.
    pub mask: u64,
    /// The most of them.
    pub mask_max: u64,
}

/// Updates of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct MemberCounts {
    /// Updates of the mm that the CPU's slot held.
    pub hits: u64,
    /// Updates of another mm.
    pub misses: u64,
    /// Pages that came.
    pub added: u64,
    /// Pages that went.
    pub removed: u64,
    /// Pages of misses, those that came and those that went.
    pub missed: u64,
}

impl MemberCounts {
    /// Adds another CPU's, or another member's.
    pub const fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.added += other.added;
        self.removed += other.removed;
        self.missed += other.missed;
    }

    /// All updates.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.hits + self.misses
    }

    /// Pages that came or went.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.added + self.removed
    }

    /// The pages of hits among them.
    #[must_use]
    pub const fn hit_pages(&self) -> u64 {
        self.pages().saturating_sub(self.missed)
    }
}

/// The largest figures of one mm, and whose it was. Sizes in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct Largest {
    /// Thread group that had it; 0: there was none.
    pub tgid: u64,
    /// Name of its leader when it was forked or executed a program.
    pub comm: [u8; COMM_LEN],
    /// Largest RSS by the events of its counters.
    pub peak: i64,
    /// Largest |exact - approximate|.
    pub drift: i64,
    /// The most CPUs that changed it at once.
    pub cpus: i64,
    /// per-task: the most that one CPU's slot hid from the others.
    pub hidden: i64,
    /// per-task: what may have been counted twice for a while.
    pub twice: i64,
    /// 1: what follows was read when the last user of the mm was gone, before anything was unmapped.
    pub ended: u64,
    /// `mm_struct.hiwater_rss`: what the kernel remembers of earlier peaks.
    pub hiwater: i64,
    /// RSS as the approximate reader prints it.
    pub approximate: i64,
    /// RSS by the events.
    pub exact: i64,
    /// `signal_struct.maxrss` of the process, which the kernel raises before an mm is given up; 0: another process gave it up.
    pub maxrss: i64,
    /// 1: its thread group has executed a program in it. It had another mm before that, which may end later (`mm_count`: another CPU's
    /// idle task borrows it).
    pub executed: u64,
}

/// What is kept of one mm, by the index of its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct RunState {
    /// 1: the mm belongs to what is measured.
    pub measured: u64,
    /// Whose it is, and its figures at its end. `peak`, `drift` and `cpus` are filled in when the state ends.
    pub of: Largest,
}

/// What one CPU has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct RunCpu {
    /// Updates by member.
    pub members: [MemberCounts; MEMBERS],
    /// Slots that gave a measured mm's deltas up for another mm.
    pub flushes: u64,
    /// Context switches by which the CPU took a measured mm.
    pub switches: u64,
    /// Processes that were forked.
    pub forks: u64,
    /// Programs that were executed.
    pub execs: u64,
    /// Processes that ended.
    pub exits: u64,
    /// Page faults of threads that have ended, by the kernel's own count.
    pub faults: u64,
    /// Processes that could not be followed: the map of them is full.
    pub refused: u64,
    /// Updates by the kind of their site.
    pub kinds: [MemberCounts; kind::KINDS],
    /// Flushes of slots with updates by the RFC's own sites.
    pub rfc_flushes: u64,
    /// 1: the slot has had such an update since it gave its deltas up last.
    pub rfc_live: u64,
    /// Updates whose site found no room.
    pub sites_lost: u64,
    /// Misses whose stack found no room.
    pub chains_lost: u64,
    /// The mm that this CPU took last.
    pub mm: u64,
    /// Id of its state then; 0: it had none.
    pub id: u64,
    /// Index of the state that was made here last, plus 1.
    pub born: u64,
    /// Pages of that state which were found outside of an update. The next update that finds no pages of its own gets them.
    pub found: [i64; MEMBERS],
    /// Of the mms that ended, the one with the largest peak.
    pub largest: Largest,
    /// The same of the command's own.
    pub command: Largest,
    /// Of the mms that ended, the one with the largest |exact - approximate|.
    pub drift: Largest,
}

/// What all CPUs share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
#[repr(C)]
pub struct RunShared {
    /// Process id of the command; 0: none yet.
    pub command: u64,
    /// 1 since it has executed its program.
    pub started: u64,
    /// Page faults that its task had before that: ours.
    pub faults_before: u64,
    /// Process whose next event writes its stack to `RUN_FRAMES`; 0: none.
    pub calibrate: u64,
    /// Frames of a stack that are ours and the tracepoint's.
    pub skip: u64,
    /// The address in the last of these frames; 0: there are none. A function of our BPF program that is called by it has one
    /// frame more.
    pub last: u64,
    /// 1: the stacks of misses are counted.
    pub chains: u64,
    /// What the readings found.
    pub visits: Visits,
}
