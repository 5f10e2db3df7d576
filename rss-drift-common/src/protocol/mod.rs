//! The shadow's protocol between CPUs. Each step is written once, for the kernel and for what checks it.
//!
//! The eBPF programs run these steps on maps. `tests/model` runs the very same functions in every order of their single steps, and
//! `tests/loom.rs` under loom's memory model.
//!
//! - [`handle`]: the one way to touch the state of an mm; `peaks`: its peaks
//! - [`lifecycle`]: a state is claimed, found, and given up; who frees it, and when
//! - [`flush`]: what a CPU's slot gives up reaches the state
//! - [`percpu`], [`pertask`]: events, readings and ends under the two accounting schemes
//! - [`sweep`], [`limbo`]: states whose mm ended unseen, and states that a BPF program may still be at
//! - [`observer`]: what `rss-drift run` is told

pub mod flush;
pub mod handle;
pub mod lifecycle;
pub mod limbo;
pub mod observer;
mod peaks;
pub mod percpu;
pub mod pertask;
pub mod sweep;
