//! Models of the protocol between CPUs, and the engine that searches them.

mod engine;
mod engine_random;
mod engine_tests;
#[path = "../host/mod.rs"]
mod host;
mod smoke;
#[path = "../host/steps.rs"]
mod steps;
