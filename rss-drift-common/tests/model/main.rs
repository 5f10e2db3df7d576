//! Models of the protocol between CPUs, and the engine that searches them.

mod engine;
mod engine_random;
mod engine_tests;
mod exact;
#[path = "../host/mod.rs"]
mod host;
mod open;
mod peaks;
mod percpu;
mod smoke;
#[path = "../host/steps.rs"]
mod steps;
mod sums;
mod uncertainty;
