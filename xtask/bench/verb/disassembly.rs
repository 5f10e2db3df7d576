//! Machine code, counted: objdump's text of what the kernel's JIT made of a function.

use std::{collections::BTreeSet, ops::AddAssign, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

/// What there is of a function's code, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Bytes.
    pub(crate) bytes: usize,
    /// x86 instructions.
    pub(crate) instructions: usize,
    /// Loads from a constant address in a map: read-only data, such as texts that go to the log.
    pub(crate) constants: usize,
    /// Look-ups in arrays that became part of the code.
    pub(crate) lookups: usize,
    /// Calls of helpers and functions.
    pub(crate) calls: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.instructions += other.instructions;
        self.constants += other.constants;
        self.lookups += other.lookups;
        self.calls += other.calls;
    }
}

/// Counts the code in a file.
pub(crate) fn count(path: &Path) -> Result<Count> {
    let mut command = Command::new("objdump");
    command.args(["-D", "-b", "binary", "-m", "i386:x86-64", "-w", "--no-show-raw-insn"]).arg(path);
    let output = command.output().context("cannot run objdump")?;
    if !output.status.success() {
        bail!("objdump failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let bytes = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let count = of_text(&String::from_utf8_lossy(&output.stdout));
    Ok(Count { bytes: usize::try_from(bytes)?, ..count })
}

/// Counts the lines of instructions: an address, a colon, a tab, the instruction.
fn of_text(text: &str) -> Count {
    let instructions: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter(|(address, _)| u64::from_str_radix(address.trim(), 16).is_ok())
        .map(|(_, instruction)| instruction.trim())
        .collect();
    Count {
        bytes: 0,
        instructions: instructions.len(),
        constants: constants(&instructions),
        lookups: instructions.windows(4).filter(|four| is_lookup(four)).count(),
        calls: instructions.iter().filter(|instruction| instruction.starts_with("call")).count(),
    }
}

/// Loads whose base is a constant address in the kernel's half of memory, which only maps have here.
fn constants(instructions: &[&str]) -> usize {
    // Registers that hold such an address, by their 64-bit names.
    let mut addresses = BTreeSet::new();
    let mut count = 0;
    for instruction in instructions {
        let Some((name, operands)) = instruction.split_once(' ') else { continue };
        let operands = operands.trim();
        if name.starts_with('j') || name.starts_with("call") {
            // From here on another path may have come in, or a call has used the registers.
            addresses.clear();
            continue;
        }
        let Some((from, to)) = operands.rsplit_once(',') else { continue };
        if name.starts_with("mov")
            && let Some((_, base)) = from.split_once('(')
            && addresses.contains(base.trim_end_matches(')'))
        {
            count += 1;
        }
        if name == "movabs" && from.starts_with("$0xffff") {
            addresses.insert(to);
        } else if let Some(written) = whole(to) {
            addresses.remove(written);
        }
    }
    count
}

/// The 64-bit name of a register that an instruction writes; `None`: it writes to memory.
fn whole(register: &str) -> Option<&str> {
    const NAMES: [(&str, &str); 8] = [
        ("%eax", "%rax"),
        ("%ebx", "%rbx"),
        ("%ecx", "%rcx"),
        ("%edx", "%rdx"),
        ("%esi", "%rsi"),
        ("%edi", "%rdi"),
        ("%ebp", "%rbp"),
        ("%esp", "%rsp"),
    ];
    let register = register.strip_suffix(')').map_or(Some(register), |_| None)?;
    let known = NAMES.iter().find(|(half, _)| *half == register).map(|&(_, whole)| whole);
    known.or(Some(register.strip_suffix('d').unwrap_or(register)))
}

/// `kernel/bpf/arraymap.c:array_map_gen_lookup` as x86's JIT writes it: the elements' address, the index, its limit, a jump.
fn is_lookup(four: &[&str]) -> bool {
    let words = |instruction: &'_ str| {
        instruction.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
    };
    let [Some(elements), Some(index), Some(limit), Some(jump)] = [0, 1, 2, 3].map(|at| words(four[at]))
    else {
        return false;
    };
    elements.0 == "add"
        && elements.1.starts_with("$0x")
        && elements.1.ends_with(",%rdi")
        && index == ("mov".to_owned(), "0x0(%rsi),%eax".to_owned())
        && limit.0 == "cmp"
        && limit.1.ends_with(",%rax")
        && jump.0 == "jae"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As objdump writes it.
    const TEXT: &str = "
00/shadow:     file format binary

0000000000000000 <.data>:
       0:\tpush   %rbp
       1:\tmovabs $0xffff8881043261a4,%rdi
       b:\tmov    0x0(%rdi),%edi
      10:\tmov    0x0(%rdi),%esi
      13:\tmovabs $0xffff888104327400,%rdi
      1d:\tadd    $0x138,%rdi
      24:\tmov    0x0(%rsi),%eax
      27:\tcmp    $0x2,%rax
      2b:\tjae    0x36
      2d:\tmovabs $0xffff8881043261a4,%r13
      37:\tmov    0x4(%r13),%r14d
      3b:\tmovzwq 0x8(%r13),%r13
      40:\tmov    0x8(%r13),%rax
      44:\tmovabs $0xffff8881043261a4,%rdi
      4e:\tcall   0xffffffffc14e90b4
      53:\tmov    0x0(%rdi),%rdi
      57:\tret
";

    #[test]
    fn instructions_are_counted_by_what_they_do() {
        let expected = Count { bytes: 0, instructions: 17, constants: 3, lookups: 1, calls: 1 };
        assert_eq!(of_text(TEXT), expected);
    }

    #[test]
    fn a_whole_register_is_written_by_its_half() {
        assert_eq!(whole("%edi"), Some("%rdi"));
        assert_eq!(whole("%r14d"), Some("%r14"));
        assert_eq!(whole("%r14"), Some("%r14"));
        assert_eq!(whole("0x8(%rdi)"), None);
    }
}
