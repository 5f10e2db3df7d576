//! Models of the protocol between CPUs, and the engine that searches them.

mod alone;
mod caught;
mod common;
mod engine;
mod engine_random;
mod engine_tests;
mod engine_threads;
mod exact;
mod full;
mod gather;
#[path = "../host/mod.rs"]
mod host;
mod life;
mod limbo;
mod open;
mod peaks;
mod percpu;
mod pertask;
mod preempt;
mod raised;
mod smoke;
#[path = "../host/steps.rs"]
mod steps;
mod sums;
mod uncertainty;
