//! What only `rss-drift run` counts: updates by member, switches, peaks of the command and its descendants.
//!
//! [`maps`] has the maps, [`tasks`] follows the processes, [`count`] is called by the
//! shadow's BPF programs. Outside of `run` all of it is dead code to the verifier.
//!
//! A process is measured when it is the command or was forked by one that is; an mm is measured when its state is made in the
//! context of a measured process: fork fills the child's mm, and execve the new one, before any task owns it. With `--system`
//! every process and every mm is.

pub mod count;
mod maps;
pub mod sites;
pub mod tasks;
pub mod visits;

pub use maps::on;
