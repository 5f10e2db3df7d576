//! The probe: our eBPF programs in the kernel, and what they read. The only part that knows aya.

pub mod caches;
pub mod code;
mod fentry;
mod full;
mod link;
mod load;
mod locate;
mod percpu;
mod run;
mod sites;
pub mod snapshot;
mod statistics;
mod sweep;
mod tasks;

pub use caches::{Cache, Caches};
pub use fentry::NoFentry;
pub use full::{EndOfMm, FaultPrograms, FullOptions, Hidden};
pub use load::{Footprint, Probe, ProbeError};
pub use run::{RunTotals, Scope};
pub use sites::Chain;
pub use snapshot::{Mm, Snapshot};
pub use statistics::{Counting, RunStatistics, of_programs};
