//! What the kernel's JIT made of the BPF programs, for `cargo xtask bench instructions`.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use aya::{Ebpf, programs::Program};

use crate::kernel::symbols::Symbols;

/// One BPF program's machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    pub program: String,
    /// Instructions that the verifier walked; 0 where the kernel does not tell (before 5.16).
    pub verified: u32,
    /// The BPF program itself, then the functions that it calls.
    pub functions: Vec<Function>,
}

/// One function of a BPF program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, where the kernel lists its address.
    pub name: Option<String>,
    /// Its instructions.
    pub code: Vec<u8>,
}

/// The code of each loaded BPF program.
///
/// # Errors
/// When the kernel does not show it: there is no JIT, or `kernel.kptr_restrict` is 2.
pub fn code_of(ebpf: &Ebpf, symbols: &Symbols) -> io::Result<Vec<Code>> {
    let loaded = ebpf.programs().filter_map(|(name, program)| Some((name, program, program.fd().ok()?)));
    loaded
        .map(|(name, program, fd)| {
            Ok(Code {
                program: name.to_owned(),
                verified: verified(program),
                functions: functions(fd.as_fd().as_raw_fd(), symbols)?,
            })
        })
        .collect()
}

fn verified(program: &Program) -> u32 {
    program.info().ok().and_then(|info| info.verified_instruction_count()).unwrap_or(0)
}

/// The head of `struct bpf_prog_info` (`include/uapi/linux/bpf.h`); the kernel fills as much as it is asked for.
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Info {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_prog_len: u32,
    xlated_prog_len: u32,
    jited_prog_insns: u64,
    xlated_prog_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
    ifindex: u32,
    gpl_compatible: u32,
    netns_dev: u64,
    netns_ino: u64,
    nr_jited_ksyms: u32,
    nr_jited_func_lens: u32,
    jited_ksyms: u64,
    jited_func_lens: u64,
}

/// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Attributes {
    fd: u32,
    length: u32,
    info: u64,
}

/// Fills `info`, whose pointers lead to as much room as its lengths say.
fn fill(fd: RawFd, info: &mut Info) -> io::Result<()> {
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    #[expect(clippy::cast_possible_truncation, reason = "some hundred bytes")]
    const LENGTH: u32 = size_of::<Info>() as u32;
    let mut attributes =
        Attributes { fd: fd.cast_unsigned(), length: LENGTH, info: core::ptr::from_mut(info) as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `info`, and to its pointers what their lengths allow; both outlive
    // the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw mut attributes, size_of::<Attributes>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The functions of one BPF program: the program itself, then those that it calls.
fn functions(fd: RawFd, symbols: &Symbols) -> io::Result<Vec<Function>> {
    // First without room, for the lengths.
    let mut lengths = Info::default();
    fill(fd, &mut lengths)?;
    let mut code = vec![0_u8; lengths.jited_prog_len as usize];
    let mut addresses = vec![0_u64; lengths.nr_jited_ksyms as usize];
    let mut sizes = vec![0_u32; lengths.nr_jited_func_lens as usize];
    let mut info = Info {
        jited_prog_len: lengths.jited_prog_len,
        jited_prog_insns: code.as_mut_ptr() as u64,
        nr_jited_ksyms: lengths.nr_jited_ksyms,
        jited_ksyms: addresses.as_mut_ptr() as u64,
        nr_jited_func_lens: lengths.nr_jited_func_lens,
        jited_func_lens: sizes.as_mut_ptr() as u64,
        ..Info::default()
    };
    fill(fd, &mut info)?;
    if info.jited_prog_insns == 0 || code.is_empty() {
        return Err(io::Error::other("the kernel does not show the JIT code of a BPF program"));
    }
    Ok(split(&code, &sizes, &addresses, symbols))
}

/// The code cut into functions, which follow each other in it.
fn split(code: &[u8], sizes: &[u32], addresses: &[u64], symbols: &Symbols) -> Vec<Function> {
    let mut rest = code;
    let mut functions = Vec::with_capacity(sizes.len());
    for (number, &size) in sizes.iter().enumerate() {
        let (code, behind) = rest.split_at((size as usize).min(rest.len()));
        rest = behind;
        // The address of a function's first instruction: `caller` wants one behind it.
        let name = addresses.get(number).and_then(|address| symbols.caller(address + 1)).and_then(own_name);
        functions.push(Function { name, code: code.to_owned() });
    }
    functions
}

/// `bpf_prog_TAG_NAME` (`kernel/bpf/core.c:bpf_get_prog_name`) without what the kernel put before the name.
fn own_name(symbol: &str) -> Option<String> {
    let (_tag, name) = symbol.strip_prefix("bpf_prog_")?.split_once('_')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_code_and_names() {
        let symbols = Symbols::parse(
            "ffffffffc0001000 t bpf_prog_6deef7357e7b4530_shadow_read\t[bpf]\n\
             ffffffffc0002000 t something_else\n",
        );
        let functions =
            split(&[1, 2, 3, 4, 5], &[2, 3], &[0xffff_ffff_c000_1000, 0xffff_ffff_c000_2000], &symbols);
        assert_eq!(
            functions,
            [
                Function { name: Some("shadow_read".to_owned()), code: vec![1, 2] },
                Function { name: None, code: vec![3, 4, 5] },
            ]
        );
    }
}
