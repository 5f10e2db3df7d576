//! The shadow per-CPU RSS cache: maps, and how what the pure steps return is applied to them.
//!
//! [`maps`] is where everything stands, [`apply`] adds what a slot gives up, [`words`] turns readings of the kernel's
//! counters into deltas (per-cpu accounting), [`lifecycle`] creates and ends the states of mms, [`events`] handles the
//! tracepoints, [`reader`] is the iterator of full mode, [`sweep`] finds states whose mm ended unseen, [`limbo`]
//! keeps those that a program may still be at, [`wipe`] gives
//! a state up, [`report`] writes to the daemon's log. [`pertask`] is all of that for per-task accounting.

mod apply;
pub mod events;
pub mod lifecycle;
mod limbo;
mod maps;
pub mod pertask;
pub mod reader;
mod report;
pub mod sweep;
mod wipe;
mod words;

pub use maps::state;
