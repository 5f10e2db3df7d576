//! Planted violations are found, and nothing else is.

use std::path::Path;

use super::*;

const TWO: &[&[&str]] = &[&["high"], &["low"]];

/// What is wrong with a crate of these files.
fn found(layers: &[&[&str]], files: &[(&str, &str)]) -> Vec<String> {
    let read = |file: &Path| {
        files.iter().find(|(name, _)| Path::new(name) == file).map(|(_, text)| (*text).to_owned())
    };
    violations(&Tree::read(&read).expect("a crate"), layers)
}

/// Two parts: `high` uses `low`, which has this text.
fn with_low(text: &str) -> Vec<String> {
    found(
        TWO,
        &[
            ("lib.rs", "pub mod high; pub mod low;"),
            ("high.rs", "use crate::low::Thing; pub fn work() {}"),
            ("low.rs", text),
        ],
    )
}

#[test]
fn arrows_downwards_are_right() {
    assert_eq!(with_low("pub struct Thing; fn work() { Thing::new(); std::io::stdout(); }"), [""; 0]);
}

#[test]
fn an_arrow_upwards_is_found() {
    assert_eq!(with_low("use crate::high::work;"), ["low.rs: `crate::high::work`: high is above low"]);
    assert_eq!(with_low("use super::high::{self, work};").len(), 1);
    assert_eq!(with_low("use crate::{high::work as other};").len(), 1);
    assert_eq!(with_low("use super::high::*;").len(), 1);
}

#[test]
fn a_path_without_a_use_is_found() {
    for text in [
        "fn work() { crate::high::work(); }",
        "fn work() { super::high::work(); }",
        "fn work(of: &crate::high::Work) {}",
        "impl crate::high::Work for () {}",
        "mod inner { fn work() { super::super::high::work(); } }",
        "fn work() { println!(\"{}\", crate::high::work()); }",
        "macro_rules! works { () => { [crate::high::work()] }; }",
        "#[derive(Debug)] #[helper(with = crate::high::work)] struct Thing;",
    ] {
        assert_eq!(with_low(text).len(), 1, "{text}");
    }
}

#[test]
fn tests_count_too() {
    assert_eq!(with_low("#[cfg(test)] mod tests { use crate::high::work; }").len(), 1);
}

#[test]
fn a_name_that_a_part_passes_on_is_followed() {
    // `high` gives what `low` has: whoever takes it there uses `high` as well.
    let files = [
        ("lib.rs", "mod high; mod middle; mod low;"),
        ("high.rs", "use crate::middle::Thing;"),
        ("middle/mod.rs", "mod inner; pub use inner::Thing;"),
        ("middle/inner.rs", "pub use crate::high::Other as Thing;"),
        ("low.rs", ""),
    ];
    assert_eq!(
        found(&[&["high"], &["middle"], &["low"]], &files),
        ["middle/inner.rs: `crate::high::Other`: high is above middle"]
    );
}

#[test]
fn parts_of_one_layer_do_not_use_each_other() {
    let files = [("lib.rs", "mod one; mod other;"), ("one.rs", "use crate::other::Thing;"), ("other.rs", "")];
    assert_eq!(found(&[&["one", "other"]], &files), ["one.rs: `crate::other::Thing`: other is beside one"]);
}

#[test]
fn a_ring_within_a_part_is_found_through_what_its_folder_passes_on() {
    let files = [
        ("lib.rs", "mod part;"),
        ("part/mod.rs", "mod a; mod b; mod c; mod d; pub use a::Thing;"),
        ("part/a.rs", "use super::b::work; pub struct Thing;"),
        ("part/b.rs", "pub fn work() { super::c::work(); }"),
        ("part/c/mod.rs", "mod deep; pub fn work() {}"),
        ("part/c/deep.rs", "use crate::part::Thing;"),
        ("part/d.rs", "use super::Thing;"),
    ];
    assert_eq!(found(&[&["part"]], &files), ["part: a ring: a -> b -> c -> a"]);
}

#[test]
fn a_part_that_no_layer_has_is_found_and_one_that_is_gone() {
    let files = [("lib.rs", "mod high; mod new;"), ("high.rs", ""), ("new/mod.rs", "")];
    assert_eq!(found(TWO, &files), ["new is in no layer", "low is in a layer, and there is no such part"]);
}

#[test]
fn files_with_a_path_of_their_own_are_read() {
    let files = [
        ("lib.rs", "mod high; mod low;"),
        ("high.rs", ""),
        ("low.rs", "#[cfg(test)] #[path = \"low_tests.rs\"] mod tests;"),
        ("low_tests.rs", "use crate::high::work;"),
    ];
    assert_eq!(found(TWO, &files), ["low_tests.rs: `crate::high::work`: high is above low"]);
}

#[test]
fn this_crate_is_in_order() {
    check(&crate::workspace::root()).expect("the arrows of rss-drift");
}
