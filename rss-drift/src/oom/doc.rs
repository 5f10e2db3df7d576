//! docs/oom.md, made from the tables of figures.

use super::figures::{CANDIDATE, OOM};
use crate::table::{check_doc, markdown};

const INTRODUCTION: &str = include_str!("introduction.md");

#[test]
fn the_documentation_of_oom_is_made_from_the_tables() {
    let text = INTRODUCTION.to_owned()
        + &markdown("key", OOM)
        + "\nOf each candidate:\n\n"
        + &markdown("key", CANDIDATE);
    check_doc("oom.md", &text);
}
