//! What is put where, also into the object itself.

use std::mem::offset_of;

use rss_drift_common::layout::figure;

use super::*;

/// The two instructions of a constant in register 3.
fn constant(value: u64) -> [[u8; INSTRUCTION]; 2] {
    let [lower, upper] = [value, value >> 32].map(|half| u32::try_from(half & 0xffff_ffff).unwrap());
    [of(CONSTANT, 3, 0, lower), of(0, 0, 0, upper)]
}

/// A load of 8 bytes at this offset.
fn load(offset: u16) -> [u8; INSTRUCTION] {
    of(0x79, 0x21, offset.cast_signed(), 0)
}

fn linked(code: &[[u8; INSTRUCTION]], known: &Known) -> Result<(Vec<[u8; INSTRUCTION]>, usize), ProbeError> {
    let mut code = code.to_vec();
    let figures = link_code(code.as_flattened_mut(), known)?;
    Ok((code, figures))
}

#[test]
fn only_marked_calls_are_linked() {
    let known = Known { rdonly_cast: 77, ..Known::default() };
    let (helper, marked) = (of(CALL, 0, 0, 113), of(CALL, 0, 0, RDONLY_CAST.cast_unsigned()));
    let (code, figures) = linked(&[helper, marked], &known).unwrap();
    assert_eq!(code, [helper, of(CALL, 0x20, 0, 77)]);
    assert_eq!(figures, 0);
}

#[test]
fn a_figure_becomes_a_constant() {
    let known = Known {
        layout: Layout { task_mm: u32::MAX, ..Layout::default() },
        config: ShadowConfig { max_mms: 4096, ..ShadowConfig::default() },
        run: RunLayout { system: 1, ..RunLayout::default() },
        rdonly_cast: 0,
        lines: false,
    };
    let mark = |number: u16| FIGURE + u64::from(number);
    let of_layout = figure::<Layout>(offset_of!(Layout, task_mm));
    let of_config = figure::<ShadowConfig>(offset_of!(ShadowConfig, max_mms));
    let of_run = figure::<RunLayout>(offset_of!(RunLayout, system));
    let marks = [
        mark(of_layout),
        mark(of_config),
        mark(of_run),
        // Numbers of our own stay, also where their lower half could be a mark.
        17,
        FIGURE & 0xffff_ffff,
    ];
    let (code, figures) = linked(&marks.map(constant).concat(), &known).unwrap();
    let expected = [u32::MAX.into(), 4096, 1, 17, FIGURE & 0xffff_ffff];
    assert_eq!(code, expected.map(constant).concat());
    assert_eq!(figures, 3);
}

#[test]
fn a_figure_becomes_an_offset() {
    let known = Known { layout: Layout { task_tgid: 1500, ..Layout::default() }, ..Known::default() };
    let number = figure::<Layout>(offset_of!(Layout, task_tgid));
    // The upper half of a constant is no instruction.
    let [lower, upper] = constant(0x79 << 32);
    let code = [load(FIGURE_OFFSET + number), load(8), load(0xfff8), lower, upper];
    let (code, figures) = linked(&code, &known).unwrap();
    assert_eq!(code, [load(1500), load(8), load(0xfff8), lower, upper]);
    assert_eq!(figures, 1);
}

#[test]
fn counters_lie_where_the_layout_says() {
    let layout = Layout {
        mm_rss_stat: 1000,
        mm_rss_stride: 40,
        counter_count: 8,
        counter_counters: 32,
        ..Layout::default()
    };
    let known = Known { layout, ..Known::default() };
    let of = |offset| known.figure(figure::<Counters>(offset)).unwrap();
    let (count, slots) = (offset_of!(Counters, count), offset_of!(Counters, slots));
    assert_eq!([0, 4, 8, 12].map(|at| of(count + at)), [1008, 1048, 1088, 1128]);
    assert_eq!([0, 4, 8, 12].map(|at| of(slots + at)), [1032, 1072, 1112, 1152]);
}

/// Sections that start like this, and the bytes of line information in the object.
fn sections_and_lines(object: &[u8], start: &str) -> (usize, u32) {
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(object).unwrap();
    let named = file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(start)));
    let info = file.section_by_name(".BTF.ext").unwrap().data().unwrap();
    (named.count(), u32::from_le_bytes(info[20..24].try_into().unwrap()))
}

#[test]
fn the_object_has_no_more_than_is_read() {
    // The build leaves the debug information out, and a start the lines, unless the verifier's log is wanted.
    let (debug, lines) = sections_and_lines(OBJECT, ".debug");
    assert_eq!(debug, 0);
    assert!(lines > 0);
    for (wanted, expected) in [(true, lines), (false, 0)] {
        let linked = link(OBJECT, &Known { lines: wanted, ..Known::default() }).unwrap();
        let bytes = &bytemuck::cast_slice(&linked)[..OBJECT.len()];
        assert_eq!(sections_and_lines(bytes, ".debug"), (0, expected));
    }
}

#[test]
fn what_cannot_be_put_in_is_an_error() {
    let far = Known { layout: Layout { task_mm: 32_768, ..Layout::default() }, ..Known::default() };
    let error = linked(&[load(FIGURE_OFFSET + figure::<Layout>(0))], &far).unwrap_err();
    assert!(matches!(error, ProbeError::Offset(32_768)), "{error}");
    // Behind the last field of a struct, and of no struct.
    let behind = Layout::FIRST + u16::try_from(size_of::<Layout>() / 4).unwrap();
    for number in [behind, 4 * MOST_FIGURES] {
        let error = linked(&constant(FIGURE + u64::from(number)), &far).unwrap_err();
        assert!(matches!(error, ProbeError::Mark(unknown) if unknown == number), "{error}");
        let error = linked(&[load(FIGURE_OFFSET + number)], &far).unwrap_err();
        assert!(matches!(error, ProbeError::Mark(unknown) if unknown == number), "{error}");
    }
    // A constant that has no second half.
    assert!(matches!(linked(&[constant(1)[0]], &far), Err(ProbeError::Unlinked)));
}

#[test]
fn the_object_uses_every_figure() {
    // Twice with figures that differ: what differs in the object is a figure, and after the first nothing is a mark.
    let known = Known::default();
    let zeroes = link(OBJECT, &known).unwrap();
    assert!(matches!(link(bytemuck::cast_slice(&zeroes), &known), Err(ProbeError::Unlinked)));
    let mut unused = Vec::new();
    for word in 0..size_of::<Layout>() / 4 {
        let mut known = Known::default();
        bytemuck::cast_slice_mut::<_, u32>(bytemuck::bytes_of_mut(&mut known.layout))[word] = 1;
        if link(OBJECT, &known).unwrap() == zeroes {
            unused.push(word);
        }
    }
    assert!(unused.is_empty(), "words of the layout that no BPF program uses: {unused:?}");
}

#[test]
fn tables_are_as_long_as_the_figures_say() {
    let lengths = |cpus, seen| {
        let config = ShadowConfig { cpus, seen, ..ShadowConfig::default() };
        let linked = link(OBJECT, &Known { config, ..Known::default() }).unwrap();
        let file = object::File::parse(bytemuck::cast_slice::<_, u8>(&linked)).unwrap();
        [tables::CPUS, tables::SEEN].map(|name| file.section_by_name(name).unwrap().size())
    };
    let (cpu, words) = (size_of::<Cpu>() as u64, 16);
    assert_eq!(lengths(12, 12 * 4096), [12 * cpu, 12 * 4096 * words]);
    // Passive mode has no use for them, and the kernel makes no empty map.
    assert_eq!(lengths(0, 0), [cpu, words]);
    assert_eq!(lengths(1, 1 << 25)[1], tables::MOST_BYTES);
}

#[test]
fn a_table_that_no_program_reaches_is_no_map() {
    // Of the last one aya would make a map of 16 bytes.
    for seen in [(1 << 25) + 1, u32::MAX, (1 << 28) + 1] {
        let config = ShadowConfig { cpus: 1, seen, ..ShadowConfig::default() };
        let error = link(OBJECT, &Known { config, ..Known::default() }).unwrap_err();
        assert!(matches!(&error, ProbeError::NoMap { map, .. } if map == tables::SEEN), "{error}");
    }
}

/// 5.10 refuses every atomic instruction but the addition without a result, dead code included. (LLVM makes another one of the addition
/// of a constant 0.)
#[test]
fn programs_of_per_task_accounting_only_add() {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

    /// `BPF_STX | BPF_ATOMIC`, of 64 and of 32 bits; which operation it is stands in the immediate, 0 for the addition.
    const ATOMIC: [u8; 2] = [0xdb, 0xc3];
    let object = object::File::parse(OBJECT).unwrap();
    let mut programs = 0;
    for symbol in object.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let name = symbol.name().unwrap();
        // Entry points, and what was made of the protocol for them.
        if !name.starts_with("tasks_") && !name.contains("ByTask") {
            continue;
        }
        programs += usize::from(name.starts_with("tasks_"));
        let section = object.section_by_index(symbol.section_index().unwrap()).unwrap();
        let code = section.data_range(symbol.address(), symbol.size()).unwrap().unwrap();
        let (instructions, []) = code.as_chunks::<INSTRUCTION>() else {
            panic!("{name}: half an instruction")
        };
        for (place, [opcode, .., a, b, c, d]) in instructions.iter().enumerate() {
            let operation = i32::from_le_bytes([*a, *b, *c, *d]);
            assert!(!ATOMIC.contains(opcode) || operation == 0, "{name}: atomic {operation:#x} at {place}");
        }
    }
    assert!(programs >= 8, "{programs} BPF programs of per-task accounting");
}
