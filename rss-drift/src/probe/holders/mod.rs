//! The holders of an mm: the CPUs (per-cpu accounting) or tasks (per-task accounting) that hold pages of it which its global
//! count does not have yet. For `--where`.

mod list;
mod read;

pub use list::{Holder, Holders};
pub(super) use read::{SlotReader, in_tasks};
