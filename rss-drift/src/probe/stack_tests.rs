//! The stacks of the BPF programs, on every kernel: the verifier adds up those of all functions that are at work at once.
//!
//! Kernels differ in how they count (`kernel/bpf/verifier.c:check_max_stack_depth`), and 6.13 and later give some programs a stack of
//! their own. So what loads on the kernels that are tried need not load on those between them.

use std::collections::BTreeMap;

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget, SymbolKind,
};

use super::*;

/// `MAX_BPF_STACK` (`include/linux/filter.h`).
const MOST_BYTES: u32 = 512;
/// `MAX_CALL_FRAMES` (`include/linux/bpf_verifier.h`).
const MOST_FRAMES: usize = 8;
/// Each function has a multiple of so many bytes, up to 6.8 (and without a JIT, later too).
const GRAIN: u32 = 32;
/// `R_BPF_64_64`: the address of data, or of a function, in a constant of 64 bits.
const CONSTANT_RELOCATION: u32 = 1;
/// The stack's register.
const FRAME: u8 = 10;

/// A function: its section and where it begins there.
type At = (usize, u64);

#[derive(Default)]
struct Function {
    name: String,
    /// Bytes of its own stack.
    stack: u32,
    /// What it calls, or hands to a helper to be called.
    calls: Vec<At>,
}

/// Bytes of the stack that these instructions reach.
fn stack_of(code: &[[u8; INSTRUCTION]]) -> u32 {
    // Registers that have the address of the stack.
    let mut frames = 1_u16 << FRAME;
    let mut lowest = 0;
    for instruction in code {
        let [code, registers, offset_low, offset_high, immediate @ ..] = *instruction;
        let (to, from) = (registers & 0xf, registers >> 4);
        let offset = i32::from(i16::from_le_bytes([offset_low, offset_high]));
        let immediate = i32::from_le_bytes(immediate);
        let is_frame = |register: u8| frames & 1 << register != 0;
        match code {
            // Loads, and stores of a constant or a register, atomic ones too.
            0x61 | 0x69 | 0x71 | 0x79 if from == FRAME => lowest = lowest.min(offset),
            0x62 | 0x6a | 0x72 | 0x7a | 0x63 | 0x6b | 0x73 | 0x7b | 0xc3 | 0xdb if to == FRAME => {
                lowest = lowest.min(offset);
            }
            // to += constant
            0x07 if is_frame(to) => lowest = lowest.min(immediate),
            // to = from
            0xbf => frames = frames & !(1 << to) | u16::from(is_frame(from)) << to,
            _ => {}
        }
        let writes = matches!(code & 7, 0 | 1) || (matches!(code & 7, 4 | 7) && code != 0xbf && code != 0x07);
        if writes && to != FRAME {
            frames &= !(1 << to);
        }
    }
    lowest.unsigned_abs()
}

/// All functions of the object. A helper's call has no target here: it is one only if its register says so.
fn functions() -> BTreeMap<At, Function> {
    const RELATIVE: u8 = 1;
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(OBJECT).unwrap();
    let mut all = BTreeMap::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let (code, _) = section.data().unwrap().as_chunks::<INSTRUCTION>();
        let place = section.index().0;
        let targets: BTreeMap<_, _> = section
            .relocations()
            .filter_map(|(at, relocation)| {
                let RelocationTarget::Symbol(symbol) = relocation.target() else { return None };
                let symbol = file.symbol_by_index(symbol).unwrap();
                let RelocationFlags::Elf { r_type } = relocation.flags() else { return None };
                Some((at, (symbol.section_index()?.0, symbol.address(), r_type, symbol.kind())))
            })
            .collect();
        let symbols = file.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text && symbol.section_index() == Some(section.index())
        });
        for symbol in symbols {
            let first = usize::try_from(symbol.address()).unwrap() / INSTRUCTION;
            let body = &code[first..first + usize::try_from(symbol.size()).unwrap() / INSTRUCTION];
            let mut function = Function {
                name: symbol.name().unwrap().to_owned(),
                stack: stack_of(body),
                calls: Vec::new(),
            };
            for (index, instruction) in (first..).zip(body) {
                let at = (index * INSTRUCTION) as u64;
                let immediate = i64::from(i32::from_le_bytes(*instruction.last_chunk().unwrap()));
                let behind = |index: i64| u64::try_from(index + 1).unwrap() * INSTRUCTION as u64;
                let call = match (targets.get(&at), instruction[0]) {
                    (Some(&(section, _, _, SymbolKind::Section)), CALL) => Some((section, behind(immediate))),
                    (Some(&(section, address, ..)), CALL) => Some((section, address)),
                    (Some(&(section, address, CONSTANT_RELOCATION, kind)), CONSTANT) => {
                        let within = if kind == SymbolKind::Section { immediate.unsigned_abs() } else { 0 };
                        Some((section, address + within))
                    }
                    (None, CALL) if instruction[1] >> 4 == RELATIVE => {
                        Some((place, behind(i64::try_from(index).unwrap() + immediate)))
                    }
                    _ => None,
                };
                function.calls.extend(call);
            }
            all.insert((place, symbol.address()), function);
        }
    }
    all
}

/// The most bytes that `at` and what it calls have at once, and their names.
fn deepest(at: At, all: &BTreeMap<At, Function>) -> (u32, Vec<&str>) {
    // Not a function: the address of a map.
    let Some(function) = all.get(&at) else { return (0, Vec::new()) };
    let below = function.calls.iter().map(|&call| deepest(call, all)).max().unwrap_or_default();
    let own = function.stack.max(1).next_multiple_of(GRAIN);
    (own + below.0, [vec![function.name.as_str()], below.1].concat())
}

/// The most functions that are at work at once.
fn frames(at: At, all: &BTreeMap<At, Function>) -> usize {
    all.get(&at)
        .map_or(0, |function| 1 + function.calls.iter().map(|&call| frames(call, all)).max().unwrap_or(0))
}

#[test]
fn each_program_fits_the_stack_of_every_kernel() {
    let all = functions();
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(OBJECT).unwrap();
    let common = file.section_by_name(".text").unwrap().index().0;
    let programs: Vec<_> = all.keys().filter(|(section, _)| *section != common).copied().collect();
    assert!(programs.len() > 20, "{programs:?}");
    let calls = |program: &At| !all[program].calls.is_empty();
    assert!(programs.iter().filter(|program| calls(program)).count() > 10, "calls are not found");
    for program in programs {
        let (bytes, names) = deepest(program, &all);
        assert!(bytes <= MOST_BYTES, "{bytes} bytes: {names:#?}");
        assert!(frames(program, &all) <= MOST_FRAMES, "{}", all[&program].name);
    }
}

#[test]
fn stacks_are_seen() {
    // *(u64 *)(r10 - 24) = r1
    assert_eq!(stack_of(&[of(0x7b, 0x1a, -24, 0)]), 24);
    // r2 = r10; r2 += -40
    assert_eq!(stack_of(&[of(0xbf, 0xa2, 0, 0), of(0x07, 2, 0, 40_u32.wrapping_neg())]), 40);
    // r2 = r10; r2 = 1; r2 += -40: that is no address.
    let none = [of(0xbf, 0xa2, 0, 0), of(0xb7, 2, 0, 1), of(0x07, 2, 0, 40_u32.wrapping_neg())];
    assert_eq!(stack_of(&none), 0);
}
