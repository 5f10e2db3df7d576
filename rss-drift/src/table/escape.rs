//! Names that a terminal may show: nothing in them can move the cursor. A process may name itself "\x1b[2J".

use std::fmt::Write as _;

/// Makes text harmless to a terminal: what is not printable (control characters, line breaks, marks that turn the direction of
/// writing) and the backslash are escaped as in Rust.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' => cleaned.push(character),
            _ => cleaned.extend(character.escape_debug()),
        }
    }
    cleaned
}

/// A name as people see it: cleaned, and `-` where it is empty, so that it has a place in a line of words.
#[must_use]
pub fn shown(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { clean(name) }
}

/// Lines of ours that may hold words of others (arguments, paths, what the system says): their line breaks stay, and so do
/// backslashes, by which what is cleaned already stays as it is.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => cleaned.push(character),
            _ if is_printable(character) => cleaned.push(character),
            _ => cleaned.extend(character.escape_debug()),
        }
    }
    cleaned
}

/// JSON that says the same without a character that moves a cursor. Those below the blank are escaped in JSON anyhow; line breaks
/// are only between its tokens.
#[must_use]
pub fn clean_json(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || is_printable(character) {
            cleaned.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(cleaned, "\\u{unit:04x}");
        }
    }
    cleaned
}

/// Whether a terminal shows it as it is, by the rule of [`char::escape_debug`].
fn is_printable(character: char) -> bool {
    matches!(character, '\'' | '"' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_moves_the_cursor_is_escaped() {
        assert_eq!(clean("\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(clean("a\nb\tc\r\u{7f}\u{9b}"), "a\\nb\\tc\\r\\u{7f}\\u{9b}");
        assert_eq!(clean("\u{202e}gnp"), "\\u{202e}gnp");
        assert_eq!(clean("e\u{301}\u{200b}"), "e\\u{301}\\u{200b}");
        assert_eq!(clean("\\n"), "\\\\n", "an escape that the process wrote itself is told from ours");
    }

    #[test]
    fn what_is_printable_stays() {
        for text in ["kworker/0:1-events", "it's \"a\" name", "größe", "日本", "(sd-pam)"] {
            assert_eq!(clean(text), text);
            assert_eq!(clean_lines(text), text);
            assert_eq!(clean_json(text), text);
        }
    }

    #[test]
    fn a_name_that_is_empty_has_a_place() {
        assert_eq!((shown(""), shown("a\n")), ("-".to_owned(), "a\\n".to_owned()));
    }

    #[test]
    fn lines_keep_their_breaks_and_what_is_cleaned() {
        assert_eq!(clean_lines("a\\u{1b}\n\tb\x1b[2J\u{9b}"), "a\\u{1b}\n\\tb\\u{1b}[2J\\u{9b}");
    }

    proptest! {
        #[test]
        fn cleaned_text_has_nothing_to_move_a_cursor(text in any::<String>()) {
            prop_assert!(!clean(&text).chars().any(char::is_control));
            prop_assert!(!clean_lines(&text).chars().any(|it| it.is_control() && it != '\n'));
            prop_assert_eq!(clean_lines(&clean(&text)), clean(&text));
        }

        #[test]
        fn json_says_the_same(text in any::<String>()) {
            let json = serde_json::json!({ "name": text.as_str(), text.as_str(): 1 });
            for written in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
                let cleaned = clean_json(&written);
                prop_assert!(!cleaned.chars().any(|it| it.is_control() && it != '\n'));
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&cleaned).unwrap(), &json);
            }
        }
    }
}
