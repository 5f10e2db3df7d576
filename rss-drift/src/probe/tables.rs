//! Tables: sections of the object whose elements the BPF programs reach without a look-up. In the kernel each is a map of one value.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{Ebpf, maps::Map};
use bytemuck::Pod;

use super::{error::ProbeError, maps::map};

/// What belongs to each CPU, by its number.
pub(super) const CPUS: &str = ".bss.cpus";
/// The kernel's slots as last seen; per-cpu accounting. Only the BPF programs use it.
pub(super) const SEEN: &str = ".bss.seen";

/// Largest length of a table, in bytes: no BPF program may reach beyond (`include/linux/bpf_verifier.h:BPF_MAX_VAR_OFF`).
pub(super) const MOST_BYTES: u64 = 1 << 29;

/// `BPF_MAP_LOOKUP_ELEM` and `BPF_MAP_UPDATE_ELEM` (`include/uapi/linux/bpf.h:bpf_cmd`).
#[derive(Clone, Copy)]
#[repr(i64)]
enum Command {
    Lookup = 1,
    Update = 2,
}

/// What these commands get (`include/uapi/linux/bpf.h:bpf_attr`).
#[repr(C)]
struct Attributes {
    map: u32,
    /// No padding.
    unused: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// All elements of a table.
pub(super) fn read<T: Pod>(ebpf: &Ebpf, name: &'static str) -> Result<Vec<T>, ProbeError> {
    let mut elements = vec![T::zeroed(); bytes(ebpf, name)? / size_of::<T>()];
    call(ebpf, name, Command::Lookup, bytemuck::cast_slice_mut(&mut elements))?;
    Ok(elements)
}

/// Sets all elements of a table.
pub(super) fn write<T: Pod>(ebpf: &Ebpf, name: &'static str, elements: &[T]) -> Result<(), ProbeError> {
    call(ebpf, name, Command::Update, &mut bytemuck::cast_slice(elements).to_vec())
}

/// The length of a table.
fn bytes(ebpf: &Ebpf, name: &'static str) -> Result<usize, ProbeError> {
    let Map::Array(data) = map(ebpf, name)? else { return Err(ProbeError::Missing(name)) };
    let info = data.info().map_err(|error| ProbeError::Map { map: name, error })?;
    Ok(info.value_size() as usize)
}

/// Lets the kernel copy the whole value into `value`, or out of it. aya does that for values only whose size its caller's code knows.
fn call(ebpf: &Ebpf, name: &'static str, command: Command, value: &mut [u8]) -> Result<(), ProbeError> {
    let Map::Array(data) = map(ebpf, name)? else { return Err(ProbeError::Missing(name)) };
    if value.len() != bytes(ebpf, name)? {
        return Err(ProbeError::Table { table: name, error: io::ErrorKind::InvalidInput.into() });
    }
    let key = 0_u32;
    let attributes = Attributes {
        map: data.fd().as_fd().as_raw_fd().cast_unsigned(),
        unused: 0,
        key: (&raw const key) as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads the key, and reads or writes as many bytes at `value` as a value of the map has, which is its length. Both
    // outlive the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as i64, &raw const attributes, size_of::<Attributes>())
    };
    if result < 0 {
        return Err(ProbeError::Table { table: name, error: io::Error::last_os_error() });
    }
    Ok(())
}
