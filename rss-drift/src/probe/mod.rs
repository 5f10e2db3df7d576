//! The probe: our eBPF programs in the kernel, and what they read. The only part that knows aya.

pub mod behaviour;
mod load;
mod percpu;
pub mod snapshot;

pub use load::{Footprint, Probe, ProbeError};
pub use snapshot::{Mm, Snapshot};
