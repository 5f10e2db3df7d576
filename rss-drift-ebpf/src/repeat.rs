//! A step for each CPU number, or each try, that is verified once, however many there are.
//!
//! A plain loop is walked by the verifier for each CPU and each state that it can be in: on 6.12 full mode's reader came to
//! more than the million instructions that are allowed with 8 CPUs, and everywhere the reader of passive mode with 256.
//! `bpf_loop` is in every kernel with per-cpu accounting (`kernel/bpf/bpf_iter.c`, since 5.17).

use aya_ebpf::helpers::generated::bpf_loop;

/// A step's answer: the next one.
pub const GO_ON: i64 = 0;
/// A step's answer: no further one.
pub const STOP: i64 = 1;

/// Calls `step` with the numbers below `times` and the context, until it answers [`STOP`].
#[inline(always)]
pub fn repeat<C>(times: u32, context: &mut C, step: extern "C" fn(u32, &mut C) -> i64) {
    // SAFETY: the helper calls the step with the context that it got, which outlives the call.
    unsafe { bpf_loop(times, step as *mut _, core::ptr::from_mut(context).cast(), 0) };
}
