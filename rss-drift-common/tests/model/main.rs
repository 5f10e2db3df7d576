//! Models of the protocol between CPUs, and the engine that searches them.

mod engine;
mod engine_random;
mod engine_tests;
