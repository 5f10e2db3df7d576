//! The generated parts of docs/: what stands between two markers is replaced, the prose around it stays.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// The page that `--write` writes.
pub(crate) const PAGE: &str = "docs/overhead.md";

/// Replaces the part that `bench` (`snapshot`, ...) made of the page at `path`.
pub(crate) fn write(path: &Path, bench: &str, generated: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let page = replace(&page, bench, generated).with_context(|| {
        let [begin, end] = markers(bench);
        format!("{} has no part to replace: it needs the lines {begin} and {end}", path.display())
    })?;
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

/// The lines before and after the generated part.
fn markers(bench: &str) -> [String; 2] {
    [
        format!("<!-- begin: made by cargo xtask bench {bench} --write -->"),
        format!("<!-- end: made by cargo xtask bench {bench} --write -->"),
    ]
}

fn replace(page: &str, bench: &str, generated: &str) -> Option<String> {
    let [begin, end] = markers(bench);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", generated.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let [begin, end] = markers("x");
        let page = format!("# Title\n\n{begin}\nold\n{end}\n\nMore.\n");
        let once = replace(&page, "x", "new\n").unwrap();
        assert_eq!(once, format!("# Title\n\n{begin}\n\nnew\n\n{end}\n\nMore.\n"));
        assert_eq!(replace(&once, "x", "new").unwrap(), once);
    }

    #[test]
    fn a_page_without_markers_stays() {
        let [begin, end] = markers("x");
        assert_eq!(replace("text", "x", "new"), None);
        assert_eq!(replace(&format!("{end} {begin}"), "x", "new"), None);
        assert_eq!(replace(&format!("{begin} {end}"), "y", "new"), None);
    }
}
