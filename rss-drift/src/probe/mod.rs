//! The probe: the BPF programs in the kernel, and what they read. The only part that knows aya.

pub mod code;
mod counts;
mod error;
mod fentry;
mod full;
mod handle;
pub(crate) mod heap;
mod holders;
mod link;
mod load;
mod loader;
mod maps;
mod measure;
mod parallel;
mod programs;
mod reader;
mod run;
mod scheme;
pub mod snapshot;
mod statistics;
mod stream;
mod sweep;
mod tables;

pub use error::ProbeError;
pub use fentry::NoFentry;
pub use full::{EndOfMm, FaultPrograms, FullOptions, Hidden, Publish};
pub use handle::{Footprint, Probe};
pub use holders::{Holder, Holders};
pub use run::{Chain, Chains, RunTotals, Scope};
pub use snapshot::{Mm, Snapshot};
pub use statistics::{Counting, ProgramStatistics, of_programs};
