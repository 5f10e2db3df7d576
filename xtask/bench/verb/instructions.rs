//! `cargo xtask bench instructions`: what the JIT made of our BPF programs, and how much of it an event executes.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{
    disassembly::{self, Count},
    figures::Figures,
    host,
    measure::Programs,
    units::digits,
};
use crate::{
    build, setup,
    table::Table,
    vm::{self, Kernel},
    workspace,
};

/// The number before the name of the function that is the BPF program itself.
const PROGRAM: &str = "00";

/// Rounds in a guest: instructions scatter little.
const ROUNDS_IN_GUEST: &str = "9";

/// BPF programs whose runs are counted in a guest: what such a run is, the program, and the empty one on the same hook.
const EVENTS: [(&str, &str, &str); 2] = [
    ("an update that the CPU's slot holds", "shadow_rss_stat", "empty_rss_stat"),
    ("a context switch to another mm and back, nothing pending", "shadow_sched_switch", "empty_sched_switch"),
];

/// What the kernel's JIT makes of our BPF programs, and how many instructions of it an event executes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The kernel of the virtual machine in which executed instructions are counted
    #[arg(long, value_name = "K", default_value = "6.12")]
    kernel: Kernel,
    /// Number of CPUs of that machine
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,
    /// Count no executed instructions in a virtual machine
    #[arg(long, conflicts_with_all = ["kernel", "cpus"])]
    no_vm: bool,
    /// Install missing Debian packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// The verb.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let root = workspace::root();
    setup::ensure(&root, arguments.yes)?;
    setup::disassembler(arguments.yes)?;
    let programs = Programs::build(&root)?;
    let in_guest = (!arguments.no_vm).then(|| build::static_binary(&root, "bench")).transpose()?;
    let host = host::describe()?;
    let directory = root.join("target/bench/code");
    // What an earlier one left is of other BPF programs.
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    let figures = programs.measure(&["code".into(), directory.clone().into()])?;
    println!("{host}\n\n{}", report(&figures, &directory)?);
    if let Some(program) = in_guest {
        let (kernel, cpus) = (arguments.kernel, arguments.cpus);
        eprintln!("counting executed instructions with kernel {} and {cpus} CPUs", kernel.name());
        let words = ["code-in-instructions", ROUNDS_IN_GUEST];
        let text = vm::count_instructions(kernel, cpus, &program, &words)?;
        println!("{}", executed(&Figures::parse(&text)?, kernel.name(), &directory.join("empty"))?);
    }
    eprintln!("the code is in {}", directory.display());
    Ok(ExitCode::SUCCESS)
}

/// What is there of each BPF program, mode by mode.
fn report(figures: &Figures, directory: &Path) -> Result<String> {
    let mut text = String::new();
    for (mode, what) in [("full", "Full mode"), ("passive", "Passive mode")] {
        write!(text, "### {what}: the BPF programs' code\n\n")?;
        text += &programs(figures, mode, &directory.join(mode))?.markdown();
        text.push('\n');
    }
    Ok(text)
}

/// A row for each BPF program, and one for each function that it calls.
fn programs(figures: &Figures, mode: &str, directory: &Path) -> Result<Table> {
    let head = [
        "BPF program, its functions",
        "x86 instructions",
        "bytes",
        "constants loaded from a map",
        "look-ups in arrays",
        "calls",
        "instructions verified",
    ];
    let mut table = Table::of_figures(&head);
    for program in entries(directory)? {
        let name = name_of(&program)?;
        let functions = counted(&program)?;
        let mut sum = Count::default();
        for (_, count) in &functions {
            sum += *count;
        }
        let verified = figures.single(&format!("verified/{mode}/{name}"))?;
        table.row(row(format!("`{name}`"), &sum, verified.to_string()));
        if functions.len() > 1 {
            for (function, count) in &functions {
                table.row(row(format!("— {function}"), count, String::new()));
            }
        }
    }
    Ok(table)
}

/// The functions of a BPF program in the order of their names, the program itself first: the loader has them in any order.
fn counted(program: &Path) -> Result<Vec<(String, Count)>> {
    let mut functions = Vec::new();
    for path in entries(program)? {
        let name = name_of(&path)?;
        let (number, function) = name.split_once('-').unwrap_or(("", &name));
        functions.push((number != PROGRAM, function.to_owned(), disassembly::count(&path)?));
    }
    functions
        .sort_by(|(called, name, _), (others_called, other, _)| (called, name).cmp(&(others_called, other)));
    Ok(functions.into_iter().map(|(_, name, count)| (name, count)).collect())
}

fn row(name: String, count: &Count, verified: String) -> [String; 7] {
    let figures = [count.instructions, count.bytes, count.constants, count.lookups, count.calls];
    let [instructions, bytes, constants, lookups, calls] = figures.map(|figure| figure.to_string());
    [name, instructions, bytes, constants, lookups, calls, verified]
}

/// How many instructions a run executes. An empty BPF program has no branches: its code is what it executes, and what a guest counts
/// for its runs beyond that is the counting.
fn executed(figures: &Figures, kernel: &str, empty: &Path) -> Result<String> {
    let mut text = format!("### Instructions that a run executes, kernel {kernel}\n\n");
    let mut table =
        Table::of_figures(&["event", "BPF program", "executed", "counted", "counted of an empty one"]);
    for (what, program, beside) in EVENTS {
        let own = disassembly::count(&empty.join(beside).join(format!("{PROGRAM}-{beside}")))?.instructions;
        let counted = figures.spread(&format!("executed/{program}"))?.median;
        let nothing = figures.spread(&format!("executed/{beside}"))?.median;
        table.row([
            what.to_owned(),
            format!("`{program}`"),
            digits(counted - nothing + own as f64),
            digits(counted),
            digits(nothing),
        ]);
    }
    text += &table.markdown();
    Ok(text)
}

/// What is in a directory, in the order of the names.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot list {}", directory.display());
    let mut paths = fs::read_dir(directory)
        .with_context(failed)?
        .map(|entry| Ok(entry.with_context(failed)?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("{} has no name", path.display()))?.to_owned())
}
