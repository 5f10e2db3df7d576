//! Processes of every sort: children, new programs, dead leaders, shared memory, sandboxes, and those without memory.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rss_drift::{
    drift::sample::Note,
    kernel::Accounting,
    proc::{NoMemory, why_no_memory},
};
use rss_drift_common::Member;

use crate::{
    harness::{Outcome, Reason},
    helper::{Helper, Kind},
    measure::Meter,
    scratch::Scratch,
};

const PAGES: u64 = 333;

fn anon(idle: &crate::measure::IdleProcess) -> i64 {
    idle.mm.exact()[Member::Anon.index()]
}

/// A child has its parent's pages; what it writes is its own, in the same number.
pub fn a_fork_and_its_parent() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    let shared = helper.map(Kind::Shmem, PAGES);
    helper.write(&region, 0..PAGES);
    helper.write(&shared, 0..PAGES);
    let child = helper.fork(&region, 200);
    let (parent, child) = (meter.idle(helper.pid()), meter.idle(child));
    assert_ne!(parent.mm.mm, child.mm.mm);
    for idle in [&parent, &child] {
        assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
        assert_eq!(idle.row.process.comm, parent.row.process.comm);
        assert!(idle.row.notes.is_empty(), "{:?}", idle.row.notes);
    }
    // Shared memory is not copied, and its page tables are filled at the first touch.
    assert_eq!(parent.walk.within(&shared.addresses(), |mapping| mapping.rss), 333);
    assert_eq!(child.walk.within(&shared.addresses(), |mapping| mapping.rss), 0);
    Outcome::Passed
}

/// execve(2): another mm, a generation later, without the old pages; the process is the same.
pub fn an_execve_has_new_memory() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let fresh = meter.idle(helper.pid());
    let region = helper.map(Kind::Anon, 10 * PAGES);
    helper.write(&region, 0..10 * PAGES);
    let old = meter.idle(helper.pid());
    assert_eq!(anon(&old), anon(&fresh) + 3330);
    helper.exec();
    let new = meter.idle(helper.pid());
    assert_eq!(new.mm.exec_id, old.mm.exec_id + 1, "the generation rises by one");
    assert_eq!(new.mm.start_boottime_ns, old.mm.start_boottime_ns, "the process is the same");
    assert!(anon(&new) < anon(&old) - 3000, "{} of {} pages are left", anon(&new), anon(&old));
    let snapshot = meter.snapshot();
    assert_eq!(snapshot.processes().filter(|mm| mm.tgid == helper.pid()).count(), 1);
    Outcome::Passed
}

/// The leader has exited, other threads live: its own files say 0, the row is marked and right.
pub fn a_process_without_its_leader() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    helper.write(&region, 0..100);
    let threads = helper.map(Kind::Anon, 30);
    helper.threads(3, &threads, 10);
    let heir = helper.lose_leader();
    helper.write(&region, 100..PAGES);
    let statm = fs::read_to_string(format!("/proc/{}/statm", helper.pid())).expect("read /proc");
    assert!(statm.starts_with("0 0 "), "the leader has no memory: {statm}");

    let idle = meter.idle(helper.pid());
    assert_eq!(idle.row.notes, [Note::DeadLeader]);
    assert_eq!(idle.row.process.pid, helper.pid());
    assert_ne!(heir, helper.pid());
    assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
    assert_eq!(idle.walk.within(&threads.addresses(), |mapping| mapping.anonymous), 30);
    let records = meter.snapshot().processes().filter(|mm| mm.tgid == helper.pid()).count();
    assert_eq!(records, 1, "one record for all threads");
    Outcome::Passed
}

/// Two processes with one mm: a row each, counted once.
pub fn two_processes_with_one_memory() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    helper.write(&region, 100..PAGES);
    let other = helper.share_memory(&region, 100);
    let (one, two) = (meter.idle(helper.pid()), meter.idle(other));
    assert_eq!(one.mm.mm, two.mm.mm);
    assert_eq!(one.mm.exact(), two.mm.exact());
    for idle in [&one, &two] {
        assert_eq!(idle.row.notes, [Note::SharedMm]);
        assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
    }
    assert_eq!((one.mm.tgid, two.mm.tgid), (helper.pid(), other));
    let snapshot = meter.snapshot();
    assert_eq!(snapshot.processes().filter(|mm| mm.mm == one.mm.mm).count(), 2);
    assert_eq!(snapshot.mms().filter(|mm| mm.mm == one.mm.mm).count(), 1);
    Outcome::Passed
}

/// Many processes with one mm: the caches of all of them are in its drift, and in the bound of every row of it.
pub fn many_processes_with_one_memory() -> Outcome {
    const SHARERS: u64 = 40;
    const PAGES_OF_EACH: u64 = 60;
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let alone = meter.idle(helper.pid()).row.bound.expect("stat has a bound");
    let others: Vec<u32> = (0..SHARERS)
        .map(|_| {
            let region = helper.map(Kind::Anon, PAGES_OF_EACH);
            helper.share_memory(&region, PAGES_OF_EACH)
        })
        .collect();
    // Asserts that drift, which is resident - stat there, is within the row's bound.
    let processes = [helper.pid(), others[0], *others.last().expect("sharers")].map(|pid| meter.idle(pid));
    for idle in &processes {
        let drift = idle.row.drift().expect("stat is readable");
        let bound = idle.row.bound.expect("stat has a bound");
        match meter.session.kernel.accounting {
            Accounting::PerTask => {
                assert!(drift.unsigned_abs() > alone, "more than one task can cache: {drift}, {alone}");
                assert_eq!(bound, (SHARERS + 1) * alone, "each task of the mm has a cache: {:?}", idle.row);
            }
            Accounting::PerCpu => assert_eq!(bound, alone, "tasks have no caches: {:?}", idle.row),
        }
        assert_eq!(idle.row.process.threads, 1, "each is a process of one thread: {:?}", idle.row);
    }
    println!("report: drift_of_{SHARERS}_sharers={:?}", processes[0].row.drift());
    Outcome::Passed
}

/// A process that may only read and write is as any other.
pub fn a_process_in_a_sandbox() -> Outcome {
    if Reason::NoSeccomp.holds() {
        return Outcome::Skipped(Reason::NoSeccomp);
    }
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    let sandboxed = helper.sandbox(&region, PAGES);
    let status = fs::read_to_string(format!("/proc/{sandboxed}/status")).expect("read /proc");
    assert!(status.contains("Seccomp:\t1"), "it is in strict mode: {status}");
    let idle = meter.idle(sandboxed);
    assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
    Outcome::Passed
}

/// vfork(2): two processes in one memory, the parent held; the child's end changes nothing.
pub fn a_vfork_on_its_parents_memory() -> Outcome {
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    helper.write(&region, 100..PAGES);
    let child = helper.vfork(&region, 100);
    let (one, two) = (meter.idle(helper.pid()), meter.idle(child));
    assert_eq!((one.mm.mm, one.mm.exact()), (two.mm.mm, two.mm.exact()));
    for idle in [&one, &two] {
        assert_eq!(idle.row.notes, [Note::SharedMm]);
        assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
    }
    helper.end_vfork(child);
    let alone = meter.idle(helper.pid());
    assert!(alone.row.notes.is_empty(), "{:?}", alone.row.notes);
    assert_eq!(alone.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
    Outcome::Passed
}

/// execve(2) that fails after its arguments' pages were charged to the old memory, or before: nothing stays of them.
pub fn an_execve_that_fails() -> Outcome {
    let scratch = Scratch::new();
    let no_program = scratch.file("no-program");
    fs::write(&no_program, "not a program\n").expect("write a file");
    fs::set_permissions(&no_program, fs::Permissions::from_mode(0o755)).expect("chmod");
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let tries = [
        (scratch.file("nothing"), 8, libc::ENOENT),
        // Known as no program only after the arguments were copied.
        (no_program.clone(), 8, libc::ENOEXEC),
        // More than a quarter of the stack's limit (8 MiB) and than any kernel takes.
        (no_program, 64, libc::E2BIG),
    ];
    // What the first time needs is there afterwards.
    for (path, count, error) in &tries {
        assert_eq!(helper.fail_to_exec(path, *count, 120_000), *error, "{count} arguments");
    }
    let before = meter.idle(helper.pid());
    for (path, count, error) in &tries {
        assert_eq!(helper.fail_to_exec(path, *count, 120_000), *error);
        let after = meter.idle(helper.pid());
        assert_eq!((after.mm.mm, after.mm.exec_id), (before.mm.mm, before.mm.exec_id), "the old memory");
        assert_eq!(after.mm.exact(), before.mm.exact(), "after error {error}");
    }
    Outcome::Passed
}

/// A process in a PID namespace is seen from outside, by its pid there.
pub fn a_process_in_a_pid_namespace() -> Outcome {
    if Reason::NoNamespaces.holds() {
        return Outcome::Skipped(Reason::NoNamespaces);
    }
    let mut meter = Meter::open_fullest();
    let mut helper = Helper::start();
    let region = helper.map(Kind::Anon, PAGES);
    let first = helper.fork_into_pid_namespace(&region, PAGES);
    let status = fs::read_to_string(format!("/proc/{first}/status")).expect("read /proc");
    assert!(status.contains(&format!("NSpid:\t{first}\t1\n")), "the first of its namespace: {status}");
    let idle = meter.idle(first);
    assert_eq!((idle.row.process.pid, idle.mm.tgid), (first, first));
    assert_eq!(idle.walk.within(&region.addresses(), |mapping| mapping.anonymous), 333);
    Outcome::Passed
}

/// Kernel threads and zombies have no record, and it is known why.
pub fn processes_without_memory() -> Outcome {
    let mut meter = Meter::open();
    let mut helper = Helper::start();
    let zombie = helper.zombie();
    let thread = a_kernel_thread();
    let snapshot = meter.snapshot();
    for pid in [zombie, thread] {
        assert!(snapshot.process(pid).is_none(), "{pid} has a record");
    }
    assert_eq!(why_no_memory(zombie), NoMemory::Zombie(zombie));
    assert_eq!(why_no_memory(thread), NoMemory::KernelThread(thread));
    assert!(snapshot.process(helper.pid()).is_some());
    Outcome::Passed
}

/// The pid of a kernel thread: one without a page of memory and without a parent, or the child of such a one.
pub fn a_kernel_thread() -> u32 {
    // kthreadd is the second process of every Linux system, in the initial PID namespace.
    let status = fs::read_to_string("/proc/2/status").expect("process 2 is there");
    assert!(status.contains("PPid:\t0\n") && !status.contains("VmSize:"), "process 2 is kthreadd: {status}");
    2
}
