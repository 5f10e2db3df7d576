//! What is special about a guest beside its kernel and its number of CPUs, and which live tests it is for.

/// A way to boot a guest.
#[derive(Debug)]
pub(crate) struct Variant {
    /// The word for it in tables; empty for the usual guest.
    pub(crate) name: &'static str,
    /// Words for the kernel's command line.
    pub(crate) words: &'static str,
    /// Parts of the names of the live tests that it is for; without any, all that its number of CPUs has something to say to.
    pub(crate) tests: &'static [&'static str],
}

impl Variant {
    /// One that boots like the others, but with these words, and is called by them.
    pub(crate) const fn of_words(words: &'static str, tests: &'static [&'static str]) -> Self {
        Self { name: words, words, tests }
    }
}

/// Names make them.
impl PartialEq for Variant {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Variant {}

/// The usual guest.
pub(crate) static PLAIN: Variant = Variant::of_words("", &[]);

/// Nothing can be measured there, and how that is told is all that is tested.
pub(crate) static LOCKDOWN: Variant =
    Variant { name: "lockdown", words: "lockdown=confidentiality", tests: &["lockdown"] };
