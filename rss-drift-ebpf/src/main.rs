//! rss-drift's eBPF programs: thin entry points. What they do stands in the modules.
#![no_std]
#![no_main]

mod holders;
mod iterator;
mod kernel;
mod percpu;
mod pertask;

/// bpf_probe_read_kernel and the iterators are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Exact counters of every mm, per-cpu accounting (mainline since 6.2).
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_percpu(ctx: *const iterator::TaskContext) -> i32 {
    percpu::visit(ctx);
    0
}

/// Counters of every mm and cache of every task, per-task accounting (mainline up to 6.1).
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_pertask(ctx: *const iterator::TaskContext) -> i32 {
    pertask::visit(ctx);
    0
}

/// Where each CPU's per-CPU memory lies; read once at start.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_cpu_offsets(ctx: *const iterator::TaskContext) -> i32 {
    percpu::offsets(ctx);
    0
}

/// Which CPUs' slots hold what of the wanted processes (`--where`), per-cpu accounting.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn rss_where(ctx: *const iterator::TaskContext) -> i32 {
    holders::visit(ctx);
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // Nothing here can panic: the linker drops this, and a program that kept it would be refused as an endless loop.
    loop {}
}
