//! What the protocol reports to an observer: `rss-drift run` counts updates, pages and flushes of the processes that it measures.
//!
//! Every method does nothing by default. The protocol depends on no answer;
//! that of [`Observer::gives_up`] is only passed on to [`Observer::flushed`].

/// Where an update found its mm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// In this CPU's slot.
    Hit,
    /// Not there.
    Miss,
}

/// Whether a slot gives up updates that an observer looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// None.
    Absent,
    /// At least one.
    Present,
}

/// Listens to the protocol.
pub trait Observer {
    /// Whether anybody listens. If this is a constant `false`, the calls below are dead code.
    fn listens(&self) -> bool {
        false
    }
    /// The state at `index` belongs to a new mm.
    fn born(&self, _index: u32) {}
    /// The event was an update of `member`. `pages` may be 0: a reading, or another CPU's event, found them first.
    fn updated(&self, _index: u32, _member: u32, _pages: i64, _update: Update) {}
    /// A look at a task's cache found an update of `member`: a hit.
    fn looked(&self, _index: u32, _member: u32, _pages: i64) {}
    /// Pages were found outside of an update.
    fn found(&self, _index: u32, _pages: &[i64; 4]) {}
    /// This CPU's slot gives up its deltas.
    fn gives_up(&self) -> Sought {
        Sought::Absent
    }
    /// This CPU's slot gave up the deltas of the state for another mm; `sought`: what [`Observer::gives_up`] answered.
    fn flushed(&self, _index: u32, _sought: Sought) {}
    /// No task uses the mm any more, and this update is the first of its end; `exact`: its RSS before that, in pages.
    fn last_user_gone(&self, _index: u32, _mm: u64, _approximate: i64, _exact: i64) {}
    /// Whether the state belongs to a process that is measured: then [`Observer::raise_peaks`] is called when it ends.
    fn is_measured(&self, _index: u32) -> bool {
        false
    }
    /// The state is about to end. Its peaks were at least so many pages, and so many CPUs changed its mm at once.
    fn raise_peaks(&self, _index: u32, _exact: i64, _drift: i64, _cpus: i64) {}
    /// per-task: how many pages the peaks of the state may have missed on another CPU, and how many they may have counted twice.
    fn raise_unsure(&self, _index: u32, _hidden: i64, _twice: i64) {}
    /// The state ended.
    fn ended(&self, _index: u32) {}
    /// The state was not used after all.
    fn forgotten(&self, _index: u32) {}
    /// A mm ended with a residue of so many pages; `tgid` is 0 where no reading visited the mm.
    fn residue(&self, _tgid: u64, _pages: u64) {}
    /// An update was refused because the map is full: the one with this number on this CPU.
    fn refused(&self, _number: u64) {}
    /// So many words of a process's mm kept changing while they were refreshed.
    fn unsettled(&self, _tgid: u64, _words: u64) {}
}
