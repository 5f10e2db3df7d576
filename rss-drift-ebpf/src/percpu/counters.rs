//! The kernel's counters of an mm, and each CPU's slots of them.

use aya_ebpf::{macros::map, maps::Array};
use rss_drift_common::{MEMBERS, Pages, protocol::percpu::words::SLOT_BYTES};

use crate::kernel::{layout, load, probe};

/// `__per_cpu_offset` of every possible CPU; written by user space from what [`super::offsets`] found.
#[map]
static CPU_OFFSETS: Array<u64> = Array::with_max_entries(1, 0);

/// Where the slots of an mm's four counters lie, as per-CPU pointers.
#[derive(Clone, Copy)]
pub struct Slots {
    pointers: [u64; MEMBERS],
    /// Not 0 where the four counters' slots lie side by side (`percpu_counter_init_many`, 6.6): one read per CPU instead of four. 64 bits
    /// wide, so that there is no padding.
    together: u64,
}

impl Slots {
    /// Of no mm.
    pub const NONE: Self = Self { pointers: [0; MEMBERS], together: 0 };

    /// The slots of `mm`; `None` when it cannot be read.
    #[inline(always)]
    pub fn of(mm: *const u8) -> Option<Self> {
        // Pointers to per-CPU memory are read as numbers: the verifier refuses arithmetic on them where they are typed.
        let base = mm as u64 + u64::from(layout!(mm_rss_stat) + layout!(counter_counters));
        let stride = u64::from(layout!(mm_rss_stride));
        let pointers =
            [probe(base)?, probe(base + stride)?, probe(base + 2 * stride)?, probe(base + 3 * stride)?];
        let together = pointers[1] == pointers[0] + SLOT_BYTES
            && pointers[2] == pointers[0] + 2 * SLOT_BYTES
            && pointers[3] == pointers[0] + 3 * SLOT_BYTES;
        Some(Self { pointers, together: together.into() })
    }

    /// What the CPU at this place among the possible ones holds, in pages per member.
    #[inline(always)]
    pub fn read(&self, cpu: u32) -> Option<[i32; MEMBERS]> {
        let offset = *CPU_OFFSETS.get(cpu)?;
        if self.together != 0 {
            return probe(self.pointers[0] + offset);
        }
        Some([
            probe(self.pointers[0] + offset)?,
            probe(self.pointers[1] + offset)?,
            probe(self.pointers[2] + offset)?,
            probe(self.pointers[3] + offset)?,
        ])
    }
}

/// The global counts of all members.
#[inline(always)]
pub fn counts(mm: *const u8) -> Pages {
    let stride = layout!(mm_rss_stride);
    let at = layout!(mm_rss_stat) + layout!(counter_count);
    // SAFETY: mm is known to the verifier, the counters lie at these offsets in it.
    unsafe { [load(mm, at), load(mm, at + stride), load(mm, at + 2 * stride), load(mm, at + 3 * stride)] }
}

/// All lock words or-ed: 0 when no counter is being folded (`qspinlock.val`, 0 only when free).
#[inline(always)]
pub fn locks(mm: *const u8) -> u32 {
    let stride = layout!(mm_rss_stride);
    let at = layout!(mm_rss_stat) + layout!(counter_lock);
    // SAFETY: as in counts().
    unsafe {
        load::<u32>(mm, at)
            | load::<u32>(mm, at + stride)
            | load::<u32>(mm, at + 2 * stride)
            | load::<u32>(mm, at + 3 * stride)
    }
}
