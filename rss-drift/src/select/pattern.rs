//! Patterns of names, paths and command lines on the command line: as they are, with `*` and `?`, or `/regex/`.

use regex_lite::Regex;
use wildmatch::WildMatch;

/// What a text is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// The text itself.
    Exact(String),
    /// `*` is any text, `/` too, and `?` is any character: of the whole text.
    Glob(WildMatch),
    /// Somewhere in the text.
    Regex(Regex),
}

impl Pattern {
    /// A text, a glob, or a regex between two slashes.
    ///
    /// # Errors
    /// What of a regex cannot be understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
            Some(regex) if !regex.is_empty() => match Regex::new(regex) {
                Ok(regex) => Ok(Self::Regex(regex)),
                Err(error) => Err(format!("no regular expression: {error}")),
            },
            _ => Self::glob(text),
        }
    }

    /// A text or a glob: a path has slashes itself.
    ///
    /// # Errors
    /// Where nothing is given.
    pub(crate) fn glob(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("give a name, or a pattern with * and ?".to_owned()),
            _ if text.contains(['*', '?']) => Ok(Self::Glob(WildMatch::new(text))),
            _ => Ok(Self::Exact(text.to_owned())),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Glob(glob) => glob.matches(text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    /// The text, where only that matches.
    pub(crate) fn exact(&self) -> Option<&str> {
        if let Self::Exact(text) = self { Some(text) } else { None }
    }

    /// As it was written.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Exact(text) => text.clone(),
            Self::Glob(glob) => glob.to_string(),
            Self::Regex(regex) => format!("/{regex}/"),
        }
    }
}

/// The parts of a list with commas. Those within a `/regex/` are its own: it goes up to the next slash that ends its part.
pub(crate) fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = list;
    loop {
        let regex = rest.strip_prefix('/').map_or(0, |inner| end_of_regex(inner).map_or(0, |end| end + 1));
        let Some(comma) = rest[regex..].find(',') else {
            parts.push(rest);
            return parts;
        };
        let (part, behind) = rest.split_at(regex + comma);
        parts.push(part);
        rest = &behind[1..];
    }
}

/// Behind the slash that ends a part, in what follows the one that begins it.
fn end_of_regex(inner: &str) -> Option<usize> {
    let ends = |at: usize| inner[at + 1..].is_empty() || inner[at + 1..].starts_with(',');
    inner.match_indices('/').map(|(at, _)| at).find(|&at| ends(at)).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn a_name_a_glob_and_a_regex() {
        assert!(matches("sh", "sh") && !matches("sh", "bash") && !matches("sh", "SH"));
        assert!(matches("*sh", "bash") && !matches("*sh", "shell"));
        assert!(matches("?sh", "zsh") && !matches("?sh", "bash"));
        assert!(matches("/sh/", "shell") && !matches("/^sh$/", "bash"));
        assert!(matches("/^(ba|z)?sh$/", "zsh") && matches("/sh{1,2}/", "shh"));
        // Characters that mean something in a regex only.
        assert!(matches("[kworker]", "[kworker]") && !matches("a.c", "abc"));
        // Slashes alone are a path, or a name.
        assert!(matches("/", "/") && matches("//", "//") && matches("/bin/*", "/bin/sh -c x/y"));
    }

    #[test]
    fn a_bad_regex_says_why() {
        let error = Pattern::parse("/a(/").unwrap_err();
        assert!(error.starts_with("no regular expression: ") && error.contains("group"), "{error}");
        assert!(Pattern::parse("").is_err());
    }

    #[test]
    fn a_regex_keeps_its_commas() {
        for (list, parts) in [
            ("a", &["a"][..]),
            ("a,b*", &["a", "b*"]),
            ("/x{1,2}/,b", &["/x{1,2}/", "b"]),
            ("a,/x,/y/,/z/", &["a", "/x,/y/", "/z/"]),
            ("/a/b,c/", &["/a/b,c/"]),
            ("/usr,b", &["/usr", "b"]),
            ("a,", &["a", ""]),
            ("", &[""]),
        ] {
            assert_eq!(split(list), parts, "{list}");
        }
    }

    #[test]
    fn what_was_written_is_told() {
        for text in ["sh", "*s?", "/^sh$/"] {
            assert_eq!(Pattern::parse(text).unwrap().written(), text);
        }
    }
}
