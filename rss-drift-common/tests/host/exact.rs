//! The exact reader on the kernel's words of a host.

use super::{Host, Kind, kernel::Mm};
use rss_drift_common::{
    MEMBERS,
    member::{Pages, rss},
    memory::Word as _,
    protocol::percpu::exact::{self, Counters},
};

/// The kernel's counters of an mm, one step for each word.
struct Exact<'h, K: Kind> {
    mm: &'h Mm<K>,
    cached: Pages,
}

impl<K: Kind> Counters for Exact<'_, K> {
    fn counts(&self) -> Pages {
        std::array::from_fn(|member| self.mm.count[member].get())
    }
    fn locks(&self) -> u32 {
        self.mm.lock.iter().fold(0, |locks, lock| locks | lock.get())
    }
    fn add_slots(&mut self) -> bool {
        for slots in &self.mm.slots {
            for (cached, slot) in self.cached.iter_mut().zip(slots) {
                *cached += i64::from(slot.get());
            }
        }
        true
    }
}

/// What one reading came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) valid: bool,
    pub(crate) count: Pages,
    pub(crate) cached: Pages,
}

impl Reading {
    /// RSS, in pages.
    pub(crate) fn rss(&self) -> i64 {
        rss(&self.count) + rss(&self.cached)
    }
}

impl<K: Kind> Host<K> {
    /// One reading of the kernel's counters of the mm at this address.
    pub(crate) fn read_exact(&self, mm: u64) -> Reading {
        let (mut count, mut counters) = ([0; MEMBERS], Exact { mm: self.mm(mm), cached: [0; MEMBERS] });
        let valid = exact::read(&mut counters, &mut count);
        Reading { valid, count, cached: counters.cached }
    }
}
