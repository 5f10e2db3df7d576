//! Which processes are measured: the command and whatever descends from it, or all of the host.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use rss_drift_common::run::RunCpu;

use super::maps::{self, run};
use crate::{
    atomic,
    kernel::{layout, load},
    shadow,
};

/// A measured thread group.
struct Current {
    tgid: u32,
    /// It is the command or descends from it.
    followed: bool,
    /// The counts of this CPU.
    this: *mut RunCpu,
}

/// The current thread group, if it is measured.
#[inline(always)]
fn current() -> Option<Current> {
    // SAFETY: no preconditions.
    let (tgid, cpu) = unsafe { ((bpf_get_current_pid_tgid() >> 32) as u32, bpf_get_smp_processor_id()) };
    // SAFETY: only looked at.
    let followed = unsafe { maps::RUN_TASKS.get(tgid) }.is_some();
    if !followed && !maps::system() {
        return None;
    }
    Some(Current { tgid, followed, this: maps::cpu(cpu)? })
}

/// `task:task_newtask`, in the parent: its child, which has not run yet, is measured as well.
///
/// # Safety
/// `task` must be a task to the verifier.
#[inline(always)]
pub unsafe fn new_task(task: *const u8) {
    let Some(Current { tgid: parent, followed, this }) = current() else { return };
    // SAFETY: a task to the verifier; a map value.
    unsafe {
        let tgid: u32 = load(task, layout!(task_tgid));
        if tgid == parent || load::<u64>(task, layout!(task_mm)) == 0 {
            // A thread, or one of the kernel's.
            return;
        }
        if followed && maps::RUN_TASKS.insert(tgid, 1, 0).is_err() {
            atomic::add(&raw mut (*this).refused, 1);
            return;
        }
        atomic::add(&raw mut (*this).forks, 1);
        own(task, tgid, Own::Forked);
    }
}

/// `sched:sched_process_exec`: the current task has a new mm and a new name.
///
/// # Safety
/// As [`new_task`].
#[inline(always)]
pub unsafe fn exec(task: *const u8) {
    let Some(Current { tgid, this, .. }) = current() else { return };
    // SAFETY: a task to the verifier; map values.
    unsafe {
        atomic::add(&raw mut (*this).execs, 1);
        own(task, tgid, Own::Executed);
        let Some(shared) = maps::shared() else { return };
        if (*shared).command == u64::from(tgid) && (*shared).started == 0 {
            (*shared).faults_before = faults(task);
            (*shared).started = 1;
        }
    }
}

/// `sched:sched_process_exit`, of every thread: a process has ended with its last one, of which the kernel has counted
/// `signal_struct.live` down (`kernel/exit.c:do_exit`, 5.10 to 7.2).
///
/// # Safety
/// As [`new_task`].
#[inline(always)]
pub unsafe fn exit(task: *const u8) {
    let Some(Current { tgid, followed, this }) = current() else { return };
    // SAFETY: a task to the verifier; a map value.
    unsafe {
        atomic::add(&raw mut (*this).faults, faults(task));
        let signal: *const u8 = load(task, layout!(task_signal));
        let live: i32 = load(signal, run!(signal_live));
        if live != 0 {
            return;
        }
        // A failure says that another of its threads, which ended at the same time, was faster. (Of those that are not followed
        // such a process counts twice.)
        if !followed || maps::RUN_TASKS.remove(tgid).is_ok() {
            atomic::add(&raw mut (*this).exits, 1);
        }
    }
}

/// A reading visits the mm of a task, whose state is at `index`. Notes whose mm
/// it is if no event has shown that, because the process is older than the run.
///
/// # Safety
/// As [`new_task`].
#[inline(always)]
pub unsafe fn seen(task: *const u8, index: u32) {
    if !maps::on() || !maps::system() {
        return;
    }
    let Some(state) = maps::measured(index) else { return };
    // SAFETY: a task to the verifier; map values.
    unsafe {
        if (*state).of.tgid == 0 {
            own(task, load(task, layout!(task_tgid)), Own::Seen);
        }
    }
}

/// A task's page faults by the kernel's own count.
#[inline(always)]
unsafe fn faults(task: *const u8) -> u64 {
    // SAFETY: a task to the verifier.
    unsafe { load::<u64>(task, run!(task_min_flt)) + load::<u64>(task, run!(task_maj_flt)) }
}

/// How it is known whose an mm is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Forked,
    Executed,
    Seen,
}

/// Notes that the task's mm belongs to this thread group, with the task's name.
#[inline(always)]
unsafe fn own(task: *const u8, tgid: u32, how: Own) {
    // SAFETY: a task to the verifier; map values.
    unsafe {
        let mm: u64 = load(task, layout!(task_mm));
        if let Some(index) = shadow::find(mm)
            && let Some(state) = maps::measured(index)
            // A child on its parent's mm (vfork) does not own it.
            && ((*state).of.tgid == 0 || (*state).of.tgid == u64::from(tgid))
        {
            (*state).of.tgid = u64::from(tgid);
            // The mm of a failed execve, whose end was not seen, may have had this address before.
            (*state).of.ended = 0;
            if how == Own::Executed {
                (*state).of.executed = 1;
            }
            let comm = layout!(task_comm);
            let name: *mut u64 = (&raw mut (*state).of.comm).cast();
            core::ptr::write_volatile(name, load(task, comm));
            core::ptr::write_volatile(name.add(1), load(task, comm + 8));
        }
    }
}
