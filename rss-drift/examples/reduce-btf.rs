//! Makes a test fixture of a kernel's BTF: what rss-drift asks of it, with true offsets, in a few KB instead of
//! megabytes.
//!
//! `cargo run --locked -p rss-drift --example reduce-btf -- /sys/kernel/btf/vmlinux rss-drift/src/kernel/fixtures/6.18.btf`
//!
//! The structs in [`ROOTS`] and [`PARTS`] keep all members. Any other named struct keeps its name and size where it is held by
//! value, and its name alone behind a pointer. The result is valid BTF that pahole and bpftool read.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    env, fs,
};

use anyhow::{Context as _, bail};
use rss_drift::kernel::btf::{Btf, Kind, Shape, Type, read_vmlinux};

/// Structs that are looked up by name.
const ROOTS: [&str; 9] = [
    "mm_struct",
    "task_struct",
    "signal_struct",
    "percpu_counter",
    "bpf_array",
    "css_set",
    "cgroup_subsys_state",
    "cgroup",
    "kernfs_node",
];

/// Structs whose members are looked at beside those of the roots.
const PARTS: [&str; 4] = ["raw_spinlock", "qspinlock", "mm_rss_stat", "task_rss_stat"];

/// Tracepoints whose number of arguments is asked; not every kernel has each.
const TRACEPOINTS: [&str; 7] = [
    "rss_stat",
    "sched_switch",
    "page_fault_user",
    "page_fault_kernel",
    "exit_mmap",
    "task_newtask",
    "sched_process_exec",
];

/// Functions that fentry programs attach to.
const FUNCTIONS: [&str; 3] = ["exit_mmap", "__mmdrop", "mm_trace_rss_stat"];

/// Enumerators of the enums whose values are asked: one numbers the counters, one the controllers of control groups.
const ENUMERATORS: [&str; 2] = ["NR_MM_COUNTERS", "CGROUP_SUBSYS_COUNT"];

/// Bytes of a record's head: name, info, size or type.
const HEAD: usize = 12;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        bail!("usage: reduce-btf IN OUT, where IN is a kernel's BTF such as /sys/kernel/btf/vmlinux");
    };
    let data = read_vmlinux(input)?;
    let btf = Btf::parse(&data).with_context(|| input.clone())?;
    let reduced = Reducer::new(&btf).reduce().with_context(|| input.clone())?;
    fs::write(output, &reduced).with_context(|| format!("cannot write {output}"))?;
    println!("{output}: {} bytes of {}", reduced.len(), data.len());
    Ok(())
}

/// How a type is reached: it may be needed whole, or only be pointed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reach {
    Value,
    Pointer,
}

/// The copy in the making. Types get new numbers in the order in which they are met.
struct Reducer<'a> {
    btf: &'a Btf<'a>,
    /// Numbers of the prototypes that keep their parameters.
    prototypes: HashSet<u32>,
    numbers: HashMap<(u32, Reach), u32>,
    queue: VecDeque<(Type<'a>, Reach)>,
    types: Vec<u8>,
    strings: Vec<u8>,
    known_strings: HashMap<String, u32>,
}

impl<'a> Reducer<'a> {
    fn new(btf: &'a Btf<'a>) -> Self {
        Self {
            btf,
            prototypes: HashSet::new(),
            numbers: HashMap::new(),
            queue: VecDeque::new(),
            types: Vec::new(),
            strings: vec![0],
            known_strings: HashMap::from([(String::new(), 0)]),
        }
    }

    fn reduce(mut self) -> anyhow::Result<Vec<u8>> {
        for found in self.btf.types() {
            if self.is_root(found)? {
                self.number(found.id(), Reach::Value)?;
            }
        }
        while let Some((next, reach)) = self.queue.pop_front() {
            self.copy(next, reach)?;
        }
        self.blob()
    }

    /// Whether a type is looked up by its name.
    fn is_root(&mut self, found: Type<'a>) -> anyhow::Result<bool> {
        let named = |name: &str| self.btf.string_is(found.name_offset(), name);
        Ok(match found.kind() {
            Kind::Struct => ROOTS.into_iter().any(named),
            Kind::Enum => self.keeps_enumerators(found),
            Kind::Function => {
                let root = FUNCTIONS.into_iter().any(named);
                if root {
                    self.prototypes.insert(found.target()?.id());
                }
                root
            }
            Kind::Typedef => {
                let root = TRACEPOINTS.into_iter().any(|name| named(&format!("btf_trace_{name}")));
                if root {
                    self.prototypes.insert(found.target()?.target()?.id());
                }
                root
            }
            _ => false,
        })
    }

    /// Whether the values of an enum are asked.
    fn keeps_enumerators(&self, found: Type<'_>) -> bool {
        let kept = |at| ENUMERATORS.iter().any(|name| self.btf.string_is(at, name));
        found.enumerators().any(|(at, _)| kept(at))
    }

    /// The new number of a type, which is copied later when it was not met before.
    fn number(&mut self, id: u32, reach: Reach) -> anyhow::Result<u32> {
        if id == 0 {
            return Ok(0);
        }
        let found = self.btf.type_by_id(id)?;
        let reach = if depends_on_reach(found)? { reach } else { Reach::Value };
        if let Some(&number) = self.numbers.get(&(id, reach)) {
            return Ok(number);
        }
        let number = u32::try_from(self.numbers.len() + 1)?;
        self.numbers.insert((id, reach), number);
        self.queue.push_back((found, reach));
        Ok(number)
    }

    /// Appends the copy of one type.
    fn copy(&mut self, from: Type<'a>, reach: Reach) -> anyhow::Result<()> {
        let name = self.name(from.name_offset())?;
        match from.kind() {
            Kind::Struct | Kind::Union => {
                if is_whole(from)? {
                    self.copy_members(from, name)?;
                } else if reach == Reach::Pointer {
                    let flag = u32::from(from.kind() == Kind::Union) << 31;
                    self.put(&[name, info(Kind::Forward) | flag, 0]);
                } else {
                    self.put(&[name, info(from.kind()), from.size_or_type()]);
                }
            }
            Kind::Enum if self.keeps_enumerators(from) => {
                self.put(&[name, info_of(from), from.size_or_type()]);
                for (at, value) in from.enumerators() {
                    let name = self.name(at)?;
                    self.put(&[name, value.cast_unsigned()]);
                }
            }
            Kind::Enum | Kind::Enum64 => self.put(&[name, info(from.kind()), from.size_or_type()]),
            Kind::Pointer => {
                let target = self.number(from.size_or_type(), Reach::Pointer)?;
                self.put(&[name, info_of(from), target]);
            }
            Kind::Array => {
                let [element, index, length] = words(from)?;
                let (element, index) = (self.number(element, reach)?, self.number(index, Reach::Value)?);
                self.put(&[name, info_of(from), 0, element, index, length]);
            }
            Kind::Prototype if !self.prototypes.contains(&from.id()) => {
                self.put(&[name, info(Kind::Prototype), 0]);
            }
            Kind::Prototype => {
                let result = self.number(from.size_or_type(), Reach::Pointer)?;
                self.put(&[name, info_of(from), result]);
                for parameter in from.record()[HEAD..].chunks_exact(8) {
                    let [name, id] = [word(parameter, 0)?, word(parameter, 4)?];
                    let (name, id) = (self.name(name)?, self.number(id, Reach::Pointer)?);
                    self.put(&[name, id]);
                }
            }
            Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::TypeTag
            | Kind::Function => {
                let target = self.number(from.size_or_type(), reach)?;
                self.put(&[name, info_of(from), target]);
            }
            Kind::Int => {
                let [encoding] = words(from)?;
                self.put(&[name, info_of(from), from.size_or_type(), encoding]);
            }
            Kind::Forward | Kind::Float => self.put(&[name, info_of(from), from.size_or_type()]),
            kind => bail!("a type of kind {kind:?} within a struct"),
        }
        Ok(())
    }

    fn copy_members(&mut self, from: Type<'a>, name: u32) -> anyhow::Result<()> {
        self.put(&[name, info_of(from), from.size_or_type()]);
        for member in from.members() {
            let name = self.name(member.name)?;
            let number = self.number(member.type_id, Reach::Value)?;
            self.put(&[name, number, member.bitfield << 24 | member.bit_offset]);
        }
        Ok(())
    }

    /// Offset in the new strings of the string at `offset` in the old ones.
    fn name(&mut self, offset: u32) -> anyhow::Result<u32> {
        let name = self.btf.string(offset)?.into_owned();
        if let Some(&known) = self.known_strings.get(&name) {
            return Ok(known);
        }
        let new = u32::try_from(self.strings.len())?;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        self.known_strings.insert(name, new);
        Ok(new)
    }

    fn put(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Header (`struct btf_header`), types, strings; checked by reading it back.
    fn blob(self) -> anyhow::Result<Vec<u8>> {
        let (types, strings) = (u32::try_from(self.types.len())?, u32::try_from(self.strings.len())?);
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types, types, strings] {
            blob.extend_from_slice(&u32::to_le_bytes(word));
        }
        blob.extend_from_slice(&self.types);
        blob.extend_from_slice(&self.strings);
        let task = Btf::parse(&blob)?.structure("task_struct")?.offset_of("pid", &Shape::Int(4))?;
        let original = self.btf.structure("task_struct")?.offset_of("pid", &Shape::Int(4))?;
        anyhow::ensure!(task == original, "task_struct.pid went from {original} to {task}");
        Ok(blob)
    }
}

/// Whether a type's copy behind a pointer is another than by value.
fn depends_on_reach(found: Type<'_>) -> anyhow::Result<bool> {
    let plain = found.stripped()?;
    Ok(match plain.kind() {
        Kind::Struct | Kind::Union => !is_whole(plain)?,
        Kind::Array => true,
        _ => false,
    })
}

/// Whether a struct or union keeps its members.
fn is_whole(found: Type<'_>) -> anyhow::Result<bool> {
    let name = found.name()?;
    Ok(name.is_empty() || ROOTS.iter().chain(&PARTS).any(|whole| *whole == name))
}

/// An info word of a type without elements.
const fn info(kind: Kind) -> u32 {
    (kind as u32) << 24
}

/// A type's own info word.
fn info_of(from: Type<'_>) -> u32 {
    info(from.kind()) | from.elements() | u32::from(from.kind_flag()) << 31
}

/// The words after a record's head.
fn words<const N: usize>(from: Type<'_>) -> anyhow::Result<[u32; N]> {
    let mut all = [0; N];
    for (index, slot) in all.iter_mut().enumerate() {
        *slot = word(from.record(), HEAD + 4 * index)?;
    }
    Ok(all)
}

fn word(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    let bytes = bytes.get(at..).and_then(|from| from.first_chunk::<4>()).context("a record is too short")?;
    Ok(u32::from_le_bytes(*bytes))
}
