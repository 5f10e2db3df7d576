//! What the protocol tells whoever listens: `rss-drift run` counts updates, pages and flushes of the processes that it measures.
//!
//! Every method does nothing unless it is said what to do: the protocol never depends on an answer, but for
//! [`Observer::gives_up`], which goes back to [`Observer::flushed`] as it is.

/// Where an update found its mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// In this CPU's slot.
    Hit,
    /// Not there.
    Miss,
}

/// Whether updates that an observer looks for are among what a slot gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// None.
    Absent,
    /// At least one.
    Present,
}

/// Listens to the protocol.
pub trait Observer {
    /// Whether anybody listens; where this is a constant the calls below are dead code.
    fn listens(&self) -> bool {
        false
    }
    /// The state at `index` is a new mm's.
    fn born(&self, _index: u32) {}
    /// The event that runs was an update of `member`. `pages` may be 0: somebody else saw them first.
    fn updated(&self, _index: u32, _member: u32, _pages: i64, _update: Update) {}
    /// A look at a task's cache found an update of `member`: a hit.
    fn looked(&self, _index: u32, _member: u32, _pages: i64) {}
    /// Pages were found outside of an update.
    fn found(&self, _index: u32, _pages: &[i64; 4]) {}
    /// This CPU's slot gives its deltas up.
    fn gives_up(&self) -> Sought {
        Sought::Absent
    }
    /// This CPU's slot gave the deltas of the state up for another mm; `sought`: what [`Observer::gives_up`] answered.
    fn flushed(&self, _index: u32, _sought: Sought) {}
    /// Nobody uses the mm any more, and this update is the first of its end; `exact`: its RSS before that, in pages.
    fn last_user_gone(&self, _index: u32, _mm: u64, _approximate: i64, _exact: i64) {}
    /// Whether the state is of a process that is measured: [`Observer::raise_peaks`] wants to know its peaks.
    fn is_measured(&self, _index: u32) -> bool {
        false
    }
    /// The state that is about to end had peaks of at least so many pages, and as many CPUs that changed it at once.
    fn raise_peaks(&self, _index: u32, _exact: i64, _drift: i64, _cpus: i64) {}
    /// per-task: what peaks of the state may have missed on another CPU, and what they may have counted twice, in pages.
    fn raise_unsure(&self, _index: u32, _hidden: i64, _twice: i64) {}
    /// The state ended.
    fn ended(&self, _index: u32) {}
    /// The state is nobody's after all.
    fn forgotten(&self, _index: u32) {}
    /// A mm ended with a residue of so many pages; `tgid` is 0 where no reading visited the mm.
    fn residue(&self, _tgid: u64, _pages: u64) {}
    /// An update was refused for want of room: the one with this number on this CPU.
    fn refused(&self, _number: u64) {}
    /// So many words of a process's mm did not hold still.
    fn unsettled(&self, _tgid: u64, _words: u64) {}
}
