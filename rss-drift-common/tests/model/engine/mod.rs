//! An exhaustive model checker: runs real code under every interleaving of single memory accesses.
//!
//! The threads of a [`Model`] are coroutines. Each access to a [`Word`] (or a [`Table`], a [`List`], a [`Fifo`]) first
//! yields to the scheduler, so that one step is one access; local code belongs to the step before it. Memory is
//! sequentially consistent: loom is beside this engine for weaker orders.
//!
//! The search is depth-first and runs each schedule from a world made anew. It gives up a schedule that reaches a state
//! seen before: same memory, and every unfinished thread with the same history of what it did and read. So:
//! - all that threads share lives in the engine's words, also what only checks look at (use [`Word::quiet`]);
//! - a thread's code depends on nothing but what it read and on [`choose`] (pass anything else to [`note`]);
//! - a thread owns nothing on the heap across a step: schedules that are given up do not drop their threads' locals;
//! - a thread waits by [`wait_until`], never in a loop.
//!
//! A failure is a panic of a thread or of a check, or a deadlock. It is reported as the schedule with the fewest context
//! switches that the time allows to find.

mod containers;
mod execution;
mod hash;
mod model;
mod name;
mod panics;
mod runtime;
mod search;
mod word;

pub(crate) use containers::{Fifo, List, Table};
pub(crate) use model::{Bound, Model, Statistics, whole};
pub(crate) use name::{indexed, member};
pub(crate) use runtime::{choose, forget, note, preempt_disable, preempt_enable, step, wait_until};
pub(crate) use word::Word;
