//! The stream of an iterator program: records, as the kernel wrote them.

use std::{
    fs::File,
    io::{self, Read},
};

use aya::Ebpf;
use bytemuck::Pod;

use super::{error::ProbeError, programs::iterator};

/// Reads one iterator program, again and again.
#[derive(Debug)]
pub(super) struct Stream {
    program: &'static str,
    /// Records of the largest reading so far: the next one starts with room for as many.
    expected: usize,
}

impl Stream {
    /// The stream of the loaded BPF program of this name.
    pub(super) const fn new(program: &'static str) -> Self {
        Self { program, expected: 256 }
    }

    /// All records of one reading, in the kernel's order, written by the kernel into where they stay.
    pub(super) fn read<T: Pod>(&mut self, ebpf: &mut Ebpf) -> Result<Vec<T>, ProbeError> {
        let program = iterator(ebpf, self.program)?;
        let attach = |error| ProbeError::Attach { program: self.program, error };
        let id = program.attach().map_err(attach)?;
        let mut stream = program.take_link(id).map_err(attach)?.into_file()?;
        let records = read_all(&mut stream, self.expected)?;
        self.expected = self.expected.max(records.len() + records.len() / 8);
        Ok(records)
    }
}

/// Reads `stream` to its end as records of type `T`.
fn read_all<T: Pod>(stream: &mut File, expected: usize) -> Result<Vec<T>, ProbeError> {
    let mut records = vec![T::zeroed(); expected.max(1)];
    let mut filled = 0;
    loop {
        let bytes = bytemuck::cast_slice_mut::<T, u8>(&mut records);
        if filled == bytes.len() {
            let larger = records.len() * 2;
            records.resize(larger, T::zeroed());
            continue;
        }
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            // The kernel gives up a long walk that wrote nothing and asks for another read (bpf_seq_read, EAGAIN).
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if filled % size_of::<T>() != 0 {
        return Err(ProbeError::Torn(filled));
    }
    records.truncate(filled / size_of::<T>());
    Ok(records)
}
