//! An error with its causes, for people: each cause once. Some errors say their cause themselves, and name it as their source too.

/// The error and its causes, from the outermost on.
#[must_use]
pub fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = text + ": " + &cause;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    /// Says its cause itself, as the errors of aya and many of ours do.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the task iterator: {0}")]
    struct Says(#[from] io::Error);

    /// Leaves that to whoever prints it.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the probe")]
    struct Leaves(#[source] Says);

    fn gone() -> io::Error {
        io::Error::from_raw_os_error(libc::EIO)
    }

    #[test]
    fn each_cause_is_said_once() {
        let what = "cannot read the task iterator: Input/output error (os error 5)";
        assert_eq!(with_causes(&Says(gone()).into()), what);
        let error = Err::<(), _>(Leaves(Says(gone()))).context("run").expect_err("it is an error");
        assert_eq!(with_causes(&error), format!("run: cannot open the probe: {what}"));
    }

    #[test]
    fn every_cause_is_said() {
        let error = Err::<(), _>(gone()).context("cannot read x").context("cannot measure");
        let text = with_causes(&error.expect_err("it is an error"));
        assert_eq!(text, "cannot measure: cannot read x: Input/output error (os error 5)");
    }
}
