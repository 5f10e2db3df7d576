//! A step for each CPU number, or each try, that the verifier checks once, however many there are.
//!
//! The verifier walks a plain loop once for each CPU and for each state that the loop can be in. With 8 CPUs
//! full mode's reader exceeded the limit of a million instructions on 6.12, and with 256 passive mode's reader
//! did everywhere. `bpf_loop` is in every kernel with per-cpu accounting (`kernel/bpf/bpf_iter.c`, since 5.17).

use aya_ebpf::helpers::generated::bpf_loop;

/// A step's answer: go on with the next number.
pub const GO_ON: i64 = 0;
/// A step's answer: leave the rest out.
pub const STOP: i64 = 1;

/// Calls `step` with the numbers below `times` and the context, until it answers [`STOP`].
#[inline(always)]
pub fn repeat<C>(times: u32, context: &mut C, step: extern "C" fn(u32, &mut C) -> i64) {
    // SAFETY: the helper calls the step with the context that it got, which outlives the call.
    unsafe { bpf_loop(times, step as *mut _, core::ptr::from_mut(context).cast(), 0) };
}
