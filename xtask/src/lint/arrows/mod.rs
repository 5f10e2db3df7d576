//! Whether the parts of rss-drift use each other in one direction only.
//!
//! Every path in the crate's sources counts: in a `use`, in code, in a macro. Tests count too. A test that needs a part
//! above its own tests that part, and a helper that several parts' tests share belongs to the lowest of them: left out of
//! the check, tests would grow the rings that the code has not.

mod rings;
mod tree;

use std::{fs, path::Path};

use anyhow::{Result, bail};

use rings::rings;
use tree::{Place, Tree};

/// The crate's parts, in layers from the top down. A part uses what is in the layers below its own: nothing above, and
/// nothing beside it.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["demo", "doctor", "explain", "oom", "run", "watch"],
    &["session"],
    &["output"],
    &["select"],
    &["table"],
    &["drift"],
    &["probe"],
    &["kernel", "proc"],
];

/// Checks the crate rss-drift.
pub(super) fn check(root: &Path) -> Result<()> {
    let read = |file: &Path| fs::read_to_string(root.join("rss-drift/src").join(file)).ok();
    let violations = violations(&Tree::read(&read)?, LAYERS);
    if violations.is_empty() {
        return Ok(());
    }
    bail!(
        "the parts of rss-drift/src use each other in the wrong direction:\n  {}\nthe order is in \
         xtask/src/lint/arrows/mod.rs",
        violations.join("\n  ")
    )
}

/// Everything that is wrong with the arrows of a crate, one line each.
fn violations(tree: &Tree, layers: &[&[&str]]) -> Vec<String> {
    let layer = |part: &str| layers.iter().position(|layer| layer.contains(&part));
    let mut found = Vec::new();
    for part in tree.parts() {
        if layer(part).is_none() {
            found.push(format!("{part} is in no layer"));
        }
    }
    for part in layers.iter().copied().flatten() {
        if !tree.parts().any(|known| known == *part) {
            found.push(format!("{part} is in a layer, and there is no such part"));
        }
    }
    let arrows = tree.arrows();
    for arrow in arrows.iter().filter(|arrow| arrow.folder.is_empty()) {
        let (Some(from), Some(to)) = (layer(&arrow.from), layer(&arrow.to)) else { continue };
        if from >= to {
            let why = if from == to { "beside" } else { "above" };
            found.push(format!(
                "{}: `{}`: {} is {why} {}",
                arrow.file.display(),
                arrow.path,
                arrow.to,
                arrow.from
            ));
        }
    }
    // Among the parts themselves a ring has an arrow upwards, which is told already.
    found.extend(rings(&arrows).into_iter().filter(|ring| !ring.folder.is_empty()).map(|ring| {
        let names = ring.members.join(" -> ");
        format!("{}: a ring: {names} -> {}", ring.folder.join("/"), ring.members[0])
    }));
    found
}

/// The words of a place, as a path of Rust has them.
fn spelled(place: &Place) -> String {
    place.join("::")
}

#[cfg(test)]
mod tests;
