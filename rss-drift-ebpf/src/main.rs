//! rss-drift's eBPF programs: thin entry points. What they do is in the modules.
#![no_std]
#![no_main]
// Atomics with a result are intrinsics on this target.
#![feature(core_intrinsics)]
// The call of a function of the kernel is an instruction of our own.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(internal_features, reason = "as above")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "helpers take sizes, and the layout offsets, of 32 bits; what the kernel gives as 64 bits holds 32"
)]

mod atomic;
mod ends;
mod iterator;
mod kernel;
mod percpu;
mod pertask;
mod repeat;
mod run;
mod shadow;

/// `bpf_probe_read_kernel` and the iterators are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Exact counters of every mm, per-cpu accounting (mainline since 6.2).
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_percpu(ctx: *const iterator::TaskContext) -> i32 {
    percpu::iterator::visit(ctx);
    0
}

/// Counters of every mm and cache of every task, per-task accounting (mainline up to 6.1).
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_pertask(ctx: *const iterator::TaskContext) -> i32 {
    pertask::iterator::visit(ctx);
    0
}

/// Where each CPU's per-CPU memory lies; read once at start.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_cpu_offsets(ctx: *const iterator::TaskContext) -> i32 {
    percpu::offsets::visit(ctx);
    0
}

/// Full mode, per-cpu accounting: as `rss_percpu`, with the shadow of every mm behind its record.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn shadow_read(ctx: *const iterator::TaskContext) -> i32 {
    percpu::iterator::visit_with_shadow(ctx);
    0
}

/// `kmem:rss_stat`, per-cpu accounting: `(mm, member)` (6.2 to 7.2).
#[unsafe(link_section = "tp_btf/rss_stat")]
#[unsafe(no_mangle)]
extern "C" fn shadow_rss_stat(ctx: *const u64) -> i32 {
    // SAFETY: the kernel calls the program with as many arguments as its BTF says; the loader checked that.
    unsafe { percpu::events::updated(ctx) };
    0
}

/// `sched:sched_switch`: `(preempt, prev, next, ..)` (5.10 to 7.2).
#[unsafe(link_section = "tp_btf/sched_switch")]
#[unsafe(no_mangle)]
extern "C" fn shadow_sched_switch(ctx: *const u64) -> i32 {
    // SAFETY: as above; it is a task.
    unsafe { percpu::events::switched(pointer(ctx, 2)) };
    0
}

/// `sched:sched_process_exec`: `(task, old_pid, bprm)` (5.10 to 7.2). The task has a new mm and was not switched to.
#[unsafe(link_section = "tp_btf/sched_process_exec")]
#[unsafe(no_mangle)]
extern "C" fn shadow_exec(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { percpu::events::executed(pointer(ctx, 0)) };
    0
}

/// `task:task_newtask`: `(task, clone_flags)` (5.10 to 7.2). Attached where the ends of mms are not all seen.
#[unsafe(link_section = "tp_btf/task_newtask")]
#[unsafe(no_mangle)]
extern "C" fn shadow_newtask(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { percpu::events::forked(pointer(ctx, 0), number64(ctx, 1)) };
    0
}

/// `exceptions:page_fault_user`
#[unsafe(link_section = "tp_btf/page_fault_user")]
#[unsafe(no_mangle)]
extern "C" fn shadow_fault_user(_ctx: *const u64) -> i32 {
    percpu::events::page_fault();
    0
}

/// `exceptions:page_fault_kernel`
#[unsafe(link_section = "tp_btf/page_fault_kernel")]
#[unsafe(no_mangle)]
extern "C" fn shadow_fault_kernel(_ctx: *const u64) -> i32 {
    percpu::events::page_fault();
    0
}

/// `mmap:exit_mmap`: `(mm)`, when all of the mm is unmapped (`mm/mmap.c:exit_mmap`, 6.1 to 7.2).
#[unsafe(link_section = "tp_btf/exit_mmap")]
#[unsafe(no_mangle)]
extern "C" fn shadow_exit_mmap(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { percpu::events::ended(pointer(ctx, 0)) };
    0
}

/// `kernel/fork.c:__mmdrop(mm)` (5.10 to 7.2): the last moment of an mm.
#[unsafe(link_section = "fentry/__mmdrop")]
#[unsafe(no_mangle)]
extern "C" fn shadow_mmdrop(ctx: *const u64) -> i32 {
    ends::seen();
    // SAFETY: the function has one argument.
    unsafe { percpu::events::ended(pointer(ctx, 0)) };
    0
}

/// Full mode, per-task accounting: as `rss_pertask`, with what is kept of the mm behind each record.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn tasks_read(ctx: *const iterator::TaskContext) -> i32 {
    pertask::iterator::visit_with_shadow(ctx);
    0
}

/// `kmem:rss_stat`, per-task accounting: `(mm, member, count)` (up to 6.1).
#[unsafe(link_section = "tp_btf/rss_stat")]
#[unsafe(no_mangle)]
extern "C" fn tasks_rss_stat(ctx: *const u64) -> i32 {
    // SAFETY: the kernel calls the program with as many arguments as its BTF says; the loader checked that.
    unsafe {
        pertask::events::updated(ctx, number64(ctx, 0), number(ctx, 1), number64(ctx, 2).cast_signed());
    }
    0
}

/// `sched:sched_switch`, per-task accounting.
#[unsafe(link_section = "tp_btf/sched_switch")]
#[unsafe(no_mangle)]
extern "C" fn tasks_sched_switch(ctx: *const u64) -> i32 {
    // SAFETY: as above; both are tasks.
    unsafe { pertask::events::switched(pointer(ctx, 1), pointer(ctx, 2)) };
    0
}

/// `sched:sched_process_exec`, per-task accounting.
#[unsafe(link_section = "tp_btf/sched_process_exec")]
#[unsafe(no_mangle)]
extern "C" fn tasks_exec(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { pertask::events::executed(pointer(ctx, 0)) };
    0
}

/// `task:task_newtask`: `(task, clone_flags)` (5.10 to 7.2), per-task accounting.
#[unsafe(link_section = "tp_btf/task_newtask")]
#[unsafe(no_mangle)]
extern "C" fn tasks_newtask(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { pertask::events::forked(pointer(ctx, 0), number64(ctx, 1)) };
    0
}

/// `exceptions:page_fault_user`, per-task accounting.
#[unsafe(link_section = "tp_btf/page_fault_user")]
#[unsafe(no_mangle)]
extern "C" fn tasks_fault_user(_ctx: *const u64) -> i32 {
    pertask::events::page_fault();
    0
}

/// `exceptions:page_fault_kernel`, per-task accounting.
#[unsafe(link_section = "tp_btf/page_fault_kernel")]
#[unsafe(no_mangle)]
extern "C" fn tasks_fault_kernel(_ctx: *const u64) -> i32 {
    pertask::events::page_fault();
    0
}

/// `mmap:exit_mmap`, per-task accounting.
#[unsafe(link_section = "tp_btf/exit_mmap")]
#[unsafe(no_mangle)]
extern "C" fn tasks_exit_mmap(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    pertask::events::ended(unsafe { number64(ctx, 0) });
    0
}

/// `kernel/fork.c:__mmdrop(mm)`, per-task accounting.
#[unsafe(link_section = "fentry/__mmdrop")]
#[unsafe(no_mangle)]
extern "C" fn tasks_mmdrop(ctx: *const u64) -> i32 {
    ends::seen();
    // SAFETY: the function has one argument.
    pertask::events::ended(unsafe { number64(ctx, 0) });
    0
}

/// `run`, `task:task_newtask`: `(task, clone_flags)` (5.10 to 7.2).
#[unsafe(link_section = "tp_btf/task_newtask")]
#[unsafe(no_mangle)]
extern "C" fn run_newtask(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { run::tasks::new_task(pointer(ctx, 0)) };
    0
}

/// `run`, `sched:sched_process_exec`: `(task, old_pid, bprm)` (5.10 to 7.2).
#[unsafe(link_section = "tp_btf/sched_process_exec")]
#[unsafe(no_mangle)]
extern "C" fn run_exec(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { run::tasks::exec(pointer(ctx, 0)) };
    0
}

/// `run`, `sched:sched_process_exit`: `(task, ..)` (5.10 to 7.2).
#[unsafe(link_section = "tp_btf/sched_process_exit")]
#[unsafe(no_mangle)]
extern "C" fn run_exit(ctx: *const u64) -> i32 {
    // SAFETY: as above.
    unsafe { run::tasks::exit(pointer(ctx, 0)) };
    0
}

/// A pointer argument of a program that the verifier knows the arguments of.
///
/// # Safety
/// The kernel's function or tracepoint must have this argument.
#[inline(always)]
unsafe fn pointer(ctx: *const u64, argument: usize) -> *const u8 {
    // SAFETY: the context has a word of 8 bytes for each argument, and this is one of them.
    unsafe { core::ptr::read_volatile(ctx.add(argument).cast::<*const u8>()) }
}

/// A number argument.
///
/// # Safety
/// As [`pointer`].
#[inline(always)]
unsafe fn number64(ctx: *const u64, argument: usize) -> u64 {
    // SAFETY: the context has a word of 8 bytes for each argument, and this is one of them.
    unsafe { core::ptr::read_volatile(ctx.add(argument)) }
}

/// As [`number64`], of 32 bits.
///
/// # Safety
/// As [`pointer`].
#[inline(always)]
unsafe fn number(ctx: *const u64, argument: usize) -> u32 {
    // SAFETY: as in `number64`; the upper half of an `int` argument is not defined.
    unsafe { number64(ctx, argument) as u32 }
}

/// Which CPUs' slots hold what of the wanted processes (`--where`), per-cpu accounting.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_holders(ctx: *const iterator::TaskContext) -> i32 {
    percpu::holders::visit(ctx);
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Nothing here can panic: the linker drops this, and a program that kept it would be refused as an endless loop.
    loop {}
}
