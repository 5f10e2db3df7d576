//! Cleaned text for the terminal, whose width is known.

use unicode_width::UnicodeWidthChar as _;

/// Columns that a terminal uses for cleaned text.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Columns of one printable character. Marks without a width do not come here: they are escaped.
fn char_width(character: char) -> usize {
    character.width().unwrap_or(1)
}

/// Cuts cleaned text to a width; a `+` at the end says that it was cut, as in ps.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        used += char_width(character);
        if used >= columns {
            break;
        }
        kept.push(character);
    }
    if columns > 0 {
        kept.push('+');
    }
    kept
}

/// Cuts cleaned text to a width at its front; a `+` there says so. The end of a path tells more than its beginning.
pub(super) fn cut_front(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = Vec::new();
    let mut used = 0;
    for character in text.chars().rev() {
        used += char_width(character);
        if used >= columns {
            break;
        }
        kept.push(character);
    }
    kept.extend((columns > 0).then_some('+'));
    kept.into_iter().rev().collect()
}

/// Breaks one line of cleaned text between words so that a narrow terminal does not; further lines are indented.
pub(crate) fn flow(line: &str, columns: Option<usize>) -> Vec<String> {
    const INDENT: &str = "  ";
    let Some(columns) = columns.filter(|&columns| width(line) > columns) else {
        return vec![line.to_owned()];
    };
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut begun = false;
    for word in words(line) {
        let blank = usize::from(begun);
        if begun && width(&current) + blank + width(word) > columns {
            lines.push(std::mem::replace(&mut current, INDENT.to_owned()));
            begun = false;
        }
        if begun {
            current.push(' ');
        }
        let left = columns.saturating_sub(width(&current));
        current.push_str(&cut(word, left));
        begun = true;
    }
    lines.push(current);
    lines
}

/// Words between which a line may break: a number stays with its unit.
fn words(line: &str) -> Vec<&str> {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "%"];
    let is_unit = |word: &str| UNITS.contains(&word.trim_end_matches([',', ';', ':', ')']));
    let mut words: Vec<&str> = Vec::new();
    let mut start = 0;
    for word in line.split(' ') {
        let end = start + word.len();
        match words.last_mut() {
            Some(before) if is_unit(word) && before.ends_with(|last: char| last.is_ascii_digit()) => {
                // Both are of one line, with a blank between.
                *before = &line[start - 1 - before.len()..end];
            }
            _ => words.push(word),
        }
        start = end + 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::clean;

    #[test]
    fn a_cut_is_marked_and_fits() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd+");
        assert_eq!(cut("日本語", 4), "日+");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut_front("abcdef", 6), "abcdef");
        assert_eq!(cut_front("abcdef", 5), "+cdef");
        assert_eq!(cut_front("日本語", 4), "+語");
        assert_eq!(cut_front("abc", 0), "");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(flow("one two three", Some(8)), ["one two", "  three"]);
        assert_eq!(flow("one two three", None), ["one two three"]);
        assert_eq!(flow("one  two", Some(20)), ["one  two"]);
        assert_eq!(
            flow("at most 252 KiB, or 5 % (1 MiB) KiB", Some(12)),
            ["at most", "  252 KiB,", "  or 5 %", "  (1 MiB)", "  KiB"]
        );
    }

    proptest! {
        #[test]
        fn lines_fit(text in any::<String>(), columns in 3..100usize) {
            for line in flow(&clean(&text), Some(columns)) {
                prop_assert!(width(&line) <= columns, "{:?}", line);
            }
        }
    }
}
