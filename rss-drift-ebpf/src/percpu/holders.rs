//! `--where`: what each CPU's slots hold of the mms of a few thread groups. (per-task accounting
//! needs no BPF program of its own: [`crate::pertask`] writes every task's cache.)

use aya_ebpf::{macros::map, maps::Array};
use rss_drift_common::{
    MEMBERS, Pages,
    protocol::percpu::exact::{self, Counters},
    record::{END_DISTURBED, END_VALID, SlotRecord, TARGETS, Targets},
};

use super::counters::{Slots, counts, locks};
use crate::{
    iterator::{TaskContext, Visit},
    kernel::{PF_KTHREAD, layout, load_at},
    repeat::{GO_ON, repeat},
};

/// The thread groups that are wanted; written by user space before each reading.
#[map]
static HOLDER_TARGETS: Array<Targets> = Array::with_max_entries(1, 0);

/// Writes a record per CPU that holds anything of the task's mm, then the end of the list: once per process.
///
/// Records are written before it is known whether a fold disturbs the reading. So
/// the end of the list says that, and user space reads a disturbed list again.
#[inline(always)]
pub fn visit(ctx: *const TaskContext) {
    let Some(visit) = Visit::of(ctx) else { return };
    let task = visit.task;
    // SAFETY: pointers that the verifier knows, offsets from BTF.
    let (mm, leader, leader_mm, task_flags, tgid) = unsafe {
        let mm: *const u8 = load_at!(task, task_mm);
        let leader: *const u8 = load_at!(task, task_group_leader);
        let leader_mm: *const u8 = load_at!(leader, task_mm);
        let (flags, tgid): (u32, u32) = (load_at!(task, task_flags), load_at!(task, task_tgid));
        (mm, leader, leader_mm, flags, tgid)
    };
    if mm.is_null() || task_flags & PF_KTHREAD != 0 || !is_wanted(tgid) {
        return;
    }
    // After the leader's exit every thread writes the list; user space takes the first.
    if task != leader && mm as u64 == leader_mm as u64 {
        return;
    }
    let (mut count, mut cached) = ([0; MEMBERS], [0; MEMBERS]);
    // Without slots (no CONFIG_SMP) nothing is ever held back.
    let mut valid = true;
    if layout!(counter_has_slots) != 0 {
        valid = match Slots::of(mm) {
            Some(slots) => {
                let mut walk = Walk { visit, slots, mm, tgid, readable: 1, sum: [0; MEMBERS] };
                let valid = exact::read(&mut walk, &mut count);
                cached = walk.sum;
                valid
            }
            None => false,
        };
    }
    // The slots are 32 bits wide, and hold less than a batch for each CPU.
    let sum = [cached[0] as i32, cached[1] as i32, cached[2] as i32, cached[3] as i32];
    let cpu = if valid { END_VALID } else { END_DISTURBED };
    visit.write(&SlotRecord { mm: mm as u64, tgid, cpu, pages: sum });
}

impl Counters for Walk {
    #[inline(always)]
    fn counts(&self) -> Pages {
        counts(self.mm)
    }
    #[inline(always)]
    fn locks(&self) -> u32 {
        locks(self.mm)
    }
    #[inline(always)]
    fn add_slots(&mut self) -> bool {
        repeat(layout!(cpus), self, write_slots);
        self.readable != 0
    }
}

/// The counters of an mm, and the walk over all CPUs that writes their slots as it reads them.
struct Walk {
    visit: Visit,
    slots: Slots,
    mm: *const u8,
    tgid: u32,
    /// 0 when a slot could not be read.
    readable: u32,
    sum: Pages,
}

/// One CPU of [`visit`].
#[inline(never)]
extern "C" fn write_slots(cpu: u32, walk: &mut Walk) -> i64 {
    match walk.slots.read(cpu) {
        Some(pages) => {
            if (pages[0] | pages[1] | pages[2] | pages[3]) != 0 {
                walk.sum[0] += i64::from(pages[0]);
                walk.sum[1] += i64::from(pages[1]);
                walk.sum[2] += i64::from(pages[2]);
                walk.sum[3] += i64::from(pages[3]);
                walk.visit.write(&SlotRecord { mm: walk.mm as u64, tgid: walk.tgid, cpu, pages });
            }
        }
        None => walk.readable = 0,
    }
    GO_ON
}

/// Whether the reading is about this thread group.
#[inline(always)]
fn is_wanted(tgid: u32) -> bool {
    let Some(targets) = HOLDER_TARGETS.get(0) else { return false };
    let mut index = 0;
    while index < TARGETS {
        if targets.0[index] == tgid {
            return true;
        }
        index += 1;
    }
    false
}
