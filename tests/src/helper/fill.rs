//! Fills memory that is part of no RSS: what it writes to is charged to the control group, and mapped by nobody.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::tasks;

/// MIBS: of a file in memory. Then it waits until standard input ends.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    tasks::die_with_the_parent();
    let mibs = arguments.first().and_then(|word| word.to_str()).and_then(|word| word.parse().ok());
    let Some(mibs) = mibs else { return ExitCode::from(2) };
    match fill(mibs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot fill memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fill(mibs: usize) -> io::Result<()> {
    static CHUNK: [u8; 64 << 10] = [0; 64 << 10];
    let mut file = File::from(memfd_create(c"fill", MFdFlags::empty())?);
    for _ in 0..mibs * ((1 << 20) / CHUNK.len()) {
        file.write_all(&CHUNK)?;
    }
    println!("filled");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
