//! Where per-task accounting keeps what per-cpu accounting has not.

use aya_ebpf::{macros::map, maps::Array};
use rss_drift_common::running::{Peak, Running, Seed};

use super::super::maps::config;

/// The task that each CPU runs, by CPU number.
#[map]
pub static RUNNING: Array<Running> = Array::with_max_entries(1, 0);

/// Peaks by CPU number times `max_mms` plus index: each has one writer.
#[map]
pub static PEAKS: Array<Peak> = Array::with_max_entries(1, 0);

/// From where each state counts, by its index; written by user space, and here for an mm that no task has used yet.
#[map]
pub static SEEDS: Array<Seed> = Array::with_max_entries(1, 0);

/// The task of a CPU.
#[inline(always)]
pub fn running(cpu: u32) -> Option<*mut Running> {
    RUNNING.get_ptr_mut(cpu)
}

/// What a CPU saw as the largest of a state.
#[inline(always)]
pub fn peak(cpu: u32, index: u32) -> Option<*mut Peak> {
    PEAKS.get_ptr_mut(cpu.wrapping_mul(config!(max_mms)).wrapping_add(index))
}

/// From where a state counts.
#[inline(always)]
pub fn seed(index: u32) -> Option<*mut Seed> {
    SEEDS.get_ptr_mut(index)
}
