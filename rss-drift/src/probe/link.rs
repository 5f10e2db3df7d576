//! Puts into our object what is known of the running kernel only: the figures of the layout and of the options, which become
//! constants and offsets in the BPF programs' instructions, the numbers of kernel functions (kfuncs), which aya does not link, and the
//! lengths of the tables.

use std::io;

use object::{
    LittleEndian, Object as _, ObjectSection as _, SectionKind,
    elf::{FileHeader64, SectionHeader64},
    read::elf::ElfFile,
};
use rss_drift_common::{
    Layout, MEMBERS, RDONLY_CAST,
    layout::{Counters, FIGURE, FIGURE_OFFSET, Figures, MOST_FIGURES},
    run::RunLayout,
    shadow::{Cpu, ShadowConfig},
};

use super::{error::ProbeError, tables};

/// The object that build.rs makes from rss-drift-ebpf.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("RSS_DRIFT_EBPF"));

/// Bytes of an instruction (`include/uapi/linux/bpf.h:bpf_insn`): code, registers, offset, immediate.
const INSTRUCTION: usize = 8;
/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as source register, in the upper half of the registers' byte.
const KFUNC: u8 = 2 << 4;
/// `BPF_LD | BPF_DW | BPF_IMM`: a constant of 64 bits, whose upper half is the immediate of a second instruction.
const CONSTANT: u8 = 0x18;
/// `BPF_LDX | BPF_MEM` with `BPF_W` and `BPF_DW`.
const LOADS: [u8; 2] = [0x61, 0x79];

/// What is put in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Where the kernel's structs have what.
    pub(super) layout: Layout,
    /// What the shadow is told; nothing in passive mode.
    pub(super) config: ShadowConfig,
    /// What `rss-drift run` is told.
    pub(super) run: RunLayout,
    /// The number of the kernel's `bpf_rdonly_cast` in its BTF. 0 is none: the verifier lets such a call stand where it is
    /// never reached (`kernel/bpf/verifier.c:add_kfunc_call`).
    pub(super) rdonly_cast: u32,
    /// Whether the kernel is told the source line of each instruction: bpftool shows them.
    pub(super) lines: bool,
}

impl Known {
    /// The four bytes of the figure of this number; `None`: there is none.
    fn figure(&self, number: u16) -> Option<u32> {
        let counters = Counters::of(&self.layout);
        let (first, bytes) = match number / MOST_FIGURES * MOST_FIGURES {
            Layout::FIRST => (Layout::FIRST, bytemuck::bytes_of(&self.layout)),
            ShadowConfig::FIRST => (ShadowConfig::FIRST, bytemuck::bytes_of(&self.config)),
            RunLayout::FIRST => (RunLayout::FIRST, bytemuck::bytes_of(&self.run)),
            Counters::FIRST => (Counters::FIRST, bytemuck::bytes_of(&counters)),
            _ => return None,
        };
        let at = usize::from(number - first) * 4;
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }
}

/// The object with every mark replaced.
///
/// Words of 8 bytes, because aya wants the object aligned.
pub(super) fn link(object: &[u8], known: &Known) -> Result<Vec<u64>, ProbeError> {
    let mut linked = vec![0_u64; object.len().div_ceil(size_of::<u64>())];
    let bytes = &mut bytemuck::cast_slice_mut(&mut linked)[..object.len()];
    bytes.copy_from_slice(object);
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(object).map_err(ProbeError::NoElf)?;
    lengthen(&file, bytes, tables::CPUS, elements(known.config.cpus) * size_of::<Cpu>() as u64)?;
    lengthen(&file, bytes, tables::SEEN, elements(known.config.seen) * size_of::<[i32; MEMBERS]>() as u64)?;
    if !known.lines {
        forget_lines(&file, bytes)?;
    }
    let mut figures = 0;
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        // A section without bytes in the file has no instructions either.
        let Some((start, size)) = section.file_range() else { continue };
        let code = usize::try_from(start).ok().zip(usize::try_from(start + size).ok());
        let code = code.and_then(|(start, end)| bytes.get_mut(start..end));
        figures += link_code(code.ok_or(ProbeError::Unlinked)?, known)?;
    }
    // A compiler that lost the marks has put the figures of no kernel into the BPF programs.
    if figures == 0 { Err(ProbeError::Unlinked) } else { Ok(linked) }
}

/// A table is never empty.
fn elements(number: u32) -> u64 {
    number.max(1).into()
}

/// Makes a section without bytes in the file so long. If it is too long, the error is the kernel's for a value that is too large: beyond
/// 4 GiB aya would ask for a smaller one.
fn lengthen(
    file: &ElfFile<'_, FileHeader64<LittleEndian>>,
    bytes: &mut [u8],
    name: &'static str,
    length: u64,
) -> Result<(), ProbeError> {
    if length > tables::MOST_BYTES {
        return Err(ProbeError::NoMap {
            map: name.to_owned(),
            error: io::Error::from_raw_os_error(libc::E2BIG),
        });
    }
    let section = file.section_by_name(name).ok_or(ProbeError::Missing(name))?;
    let start = file.elf_header().e_shoff.get(LittleEndian);
    let at = usize::try_from(start).ok().and_then(|start| {
        start.checked_add(section.index().0.checked_mul(size_of::<SectionHeader64<LittleEndian>>())?)
    });
    let header = at.and_then(|at| bytes.get_mut(at..)).ok_or(ProbeError::Unlinked)?;
    let (header, _) = object::pod::from_bytes_mut::<SectionHeader64<LittleEndian>>(header)
        .map_err(|()| ProbeError::Unlinked)?;
    header.sh_size.set(LittleEndian, length);
    Ok(())
}

/// Takes away which source line each instruction is from. aya copies all lines of a section for each function in it: of the memory that
/// a start takes that would be a third.
fn forget_lines(file: &ElfFile<'_, FileHeader64<LittleEndian>>, bytes: &mut [u8]) -> Result<(), ProbeError> {
    /// Where the header of `.BTF.ext` has the bytes of line information (`struct btf_ext_header` of libbpf, `Documentation/bpf/btf.rst`).
    const LENGTH: usize = 20;
    const NAME: &str = ".BTF.ext";
    let Some(section) = file.section_by_name(NAME) else { return Ok(()) };
    let at = section.file_range().and_then(|(start, _)| usize::try_from(start).ok()?.checked_add(LENGTH));
    let length = at.and_then(|at| bytes.get_mut(at..)?.first_chunk_mut()).ok_or(ProbeError::Unlinked)?;
    *length = [0; 4];
    Ok(())
}

/// Replaces the marks in one section; the number of figures.
fn link_code(code: &mut [u8], known: &Known) -> Result<usize, ProbeError> {
    let mut figures = 0;
    let (instructions, _) = code.as_chunks_mut::<INSTRUCTION>();
    let mut rest = instructions;
    while let [instruction, behind @ ..] = rest {
        match instruction[0] {
            CALL => {
                if *instruction == of(CALL, 0, 0, RDONLY_CAST.cast_unsigned()) {
                    *instruction = of(CALL, KFUNC, 0, known.rdonly_cast);
                }
                rest = behind;
            }
            CONSTANT => {
                let [upper, behind @ ..] = behind else { return Err(ProbeError::Unlinked) };
                figures += usize::from(link_constant(instruction, upper, known)?);
                rest = behind;
            }
            code => {
                if LOADS.contains(&code) {
                    figures += usize::from(link_load(instruction, known)?);
                }
                rest = behind;
            }
        }
    }
    Ok(figures)
}

/// Puts a figure into the two halves of a constant; whether it was marked.
fn link_constant(
    lower: &mut [u8; INSTRUCTION],
    upper: &mut [u8; INSTRUCTION],
    known: &Known,
) -> Result<bool, ProbeError> {
    /// What tells a mark from any other constant.
    const MARK: u64 = !0xffff;
    let mark = u64::from(immediate(*upper)) << 32 | u64::from(immediate(*lower));
    // A source register says that the constant is no number but a map, say.
    if mark & MARK != FIGURE & MARK || lower[1] >> 4 != 0 {
        return Ok(false);
    }
    let number = mark.checked_sub(FIGURE).and_then(|number| u16::try_from(number).ok());
    let number = number.ok_or(ProbeError::Unlinked)?;
    let figure = known.figure(number).ok_or(ProbeError::Mark(number))?;
    lower[4..].copy_from_slice(&figure.to_le_bytes());
    upper[4..].fill(0);
    Ok(true)
}

/// Puts a figure into the offset of a load; whether it was marked.
fn link_load(instruction: &mut [u8; INSTRUCTION], known: &Known) -> Result<bool, ProbeError> {
    let mark = u16::from_le_bytes([instruction[2], instruction[3]]);
    // Negative offsets are those of a stack.
    let Some(number) = mark.checked_sub(FIGURE_OFFSET).filter(|_| mark.cast_signed() >= 0) else {
        return Ok(false);
    };
    let figure = known.figure(number).ok_or(ProbeError::Mark(number))?;
    let offset = i16::try_from(figure).map_err(|_| ProbeError::Offset(figure))?;
    instruction[2..4].copy_from_slice(&offset.to_le_bytes());
    Ok(true)
}

fn immediate(instruction: [u8; INSTRUCTION]) -> u32 {
    let [.., a, b, c, d] = instruction;
    u32::from_le_bytes([a, b, c, d])
}

/// An instruction.
fn of(code: u8, registers: u8, offset: i16, immediate: u32) -> [u8; INSTRUCTION] {
    let mut instruction = [code, registers, 0, 0, 0, 0, 0, 0];
    instruction[2..4].copy_from_slice(&offset.to_le_bytes());
    instruction[4..].copy_from_slice(&immediate.to_le_bytes());
    instruction
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod stack_tests;

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
