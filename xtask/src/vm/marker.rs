//! The end of a guest's output: the status of its command, told from what the command itself printed.

/// Record separator: the status stands between two of them.
const SEPARATOR: u8 = 0x1e;

/// A status with the space before and the separator after it.
const LONGEST: usize = 5;

/// Splits what comes over the serial port into the command's output and its status.
pub(crate) struct Splitter {
    token: Vec<u8>,
    held: Vec<u8>,
    status: Option<i32>,
}

impl Splitter {
    /// `token` is the word that the guest was told to put before the status.
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.as_bytes().to_vec(), held: Vec::new(), status: None }
    }

    /// Takes the next bytes and returns those that are certainly output. What could become the status is held back.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut output = Vec::new();
        while let Some(start) = self.held.iter().position(|&byte| byte == SEPARATOR) {
            output.extend(self.held.drain(..start));
            match self.parse() {
                Parsed::Status(status) => {
                    self.status = Some(status);
                    self.held.clear();
                }
                Parsed::Partial => return output,
                Parsed::Output => output.extend(self.held.drain(..1)),
            }
        }
        output.append(&mut self.held);
        output
    }

    /// What is held back at the end of the stream is output after all.
    pub(crate) fn finish(self) -> (Vec<u8>, Option<i32>) {
        (self.held, self.status)
    }

    /// The status, once it has come.
    pub(crate) fn status(&self) -> Option<i32> {
        self.status
    }

    /// Judges what is held, which begins with a separator.
    fn parse(&self) -> Parsed {
        let rest = &self.held[1..];
        let prefix = rest.len().min(self.token.len());
        if rest[..prefix] != self.token[..prefix] {
            return Parsed::Output;
        }
        let Some(rest) = rest.get(self.token.len()..) else { return Parsed::Partial };
        let Some(end) = rest.iter().position(|&byte| byte == SEPARATOR) else {
            return if rest.len() < LONGEST { Parsed::Partial } else { Parsed::Output };
        };
        let status = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.trim().parse().ok());
        status.map_or(Parsed::Output, Parsed::Status)
    }
}

enum Parsed {
    Status(i32),
    Partial,
    Output,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the stream in pieces of every size: how a serial port cuts it must not matter.
    fn split(stream: &[u8]) -> (Vec<u8>, Option<i32>) {
        let mut results = (1..=stream.len()).map(|size| {
            let mut splitter = Splitter::new("token");
            let mut output: Vec<u8> = stream.chunks(size).flat_map(|piece| splitter.feed(piece)).collect();
            let (held, status) = splitter.finish();
            output.extend(held);
            (output, status)
        });
        let first = results.next().unwrap();
        assert!(results.all(|result| result == first), "the pieces' size matters for {stream:?}");
        first
    }

    #[test]
    fn the_status_is_not_output() {
        assert_eq!(split(b"out\n\x1etoken 0\x1e"), (b"out\n".to_vec(), Some(0)));
        assert_eq!(split(b"\x1etoken 127\x1e"), (Vec::new(), Some(127)));
        assert_eq!(split(b"no newline\x1etoken 3\x1e"), (b"no newline".to_vec(), Some(3)));
    }

    #[test]
    fn separators_of_the_command_are_output() {
        assert_eq!(split(b"a\x1eb\x1e\x1ec\x1etoken 1\x1e"), (b"a\x1eb\x1e\x1ec".to_vec(), Some(1)));
        assert_eq!(
            split(b"\x1etoken of another kind\x1e"),
            (b"\x1etoken of another kind\x1e".to_vec(), None)
        );
        assert_eq!(split(b"\x1etoken x\x1e"), (b"\x1etoken x\x1e".to_vec(), None));
    }

    #[test]
    fn a_stream_that_breaks_off_has_no_status() {
        assert_eq!(split(b"half\x1etok"), (b"half\x1etok".to_vec(), None));
        assert_eq!(split(b"\x1etoken 1"), (b"\x1etoken 1".to_vec(), None));
    }
}
