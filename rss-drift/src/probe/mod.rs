//! The probe: our eBPF programs in the kernel, and what they read. The only part that knows aya.

pub mod behaviour;
pub mod caches;
mod load;
mod locate;
mod percpu;
pub mod snapshot;

pub use caches::{Cache, Caches};
pub use load::{Footprint, Probe, ProbeError};
pub use snapshot::{Mm, Snapshot};
