//! Full mode on per-task accounting (mainline up to 6.1): programs of their own.
//!
//! 5.10's verifier refuses every atomic that returns a value, and has no `bpf_loop` and no `bpf_get_current_task_btf`. So
//! a word either has one writer (a CPU's record, its peaks), or it is only added to (totals), or what is stored is read
//! again until it is what stands (the mirror of the mm's counts).
//!
//! [`task`] reads a task, [`look`] turns its cached counts into deltas, [`counts`] follows the mm's own counters,
//! [`lifecycle`] makes and ends states, [`events`] is what the tracepoints' programs do, [`reader`] the iterator.

mod counts;
pub mod events;
pub mod lifecycle;
mod look;
mod maps;
pub mod reader;
mod task;
