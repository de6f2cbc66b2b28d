//! Replies (RFC 959, 4.2): a code for programs and lines of text for people.

use crate::storage::{Fault, FaultKind};

/// One reply. Its text is bytes, since names in it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub code: u16,
    lines: Vec<Vec<u8>>,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: impl Into<Vec<u8>>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// A reply of a first line, lines in between and a last line.
    pub fn long(code: u16, first: impl Into<Vec<u8>>, between: Vec<Vec<u8>>, last: &str) -> Self {
        let mut lines = vec![first.into()];
        lines.extend(between);
        lines.push(last.into());
        Self { code, lines }
    }

    /// A reply of these lines; of none it says "Done."
    pub fn lines(code: u16, lines: Vec<String>) -> Self {
        let lines: Vec<_> = lines.into_iter().map(String::into_bytes).collect();
        Self { code, lines: if lines.is_empty() { vec![b"Done.".to_vec()] } else { lines } }
    }

    /// A 257 reply that names a directory, quotes in it doubled (RFC 959, appendix II).
    pub fn directory(path: &[u8], remark: &str) -> Self {
        let quoted: Vec<u8> =
            path.iter().flat_map(|&b| std::iter::repeat_n(b, if b == b'"' { 2 } else { 1 })).collect();
        Self::new(257, [b"\"", quoted.as_slice(), b"\" ", remark.as_bytes()].concat())
    }

    /// The reply as it is sent. Line ends in a text would begin a line of their own and become `?`; byte 255 is
    /// doubled for Telnet.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let last = self.lines.len() - 1;
        for (number, line) in self.lines.iter().enumerate() {
            if number == 0 || number == last {
                bytes.extend_from_slice(format!("{}{}", self.code, if number == last { ' ' } else { '-' }).as_bytes());
            } else if line.first().is_some_and(u8::is_ascii_digit) {
                // It could pass for the last line (RFC 959, 4.2).
                bytes.push(b' ');
            }
            for &byte in line {
                match byte {
                    b'\r' | b'\n' | 0 => bytes.push(b'?'),
                    255 => bytes.extend_from_slice(&[255, 255]),
                    _ => bytes.push(byte),
                }
            }
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

/// The storage's reasons as RFC 959's codes.
impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Busy => 450,
            FaultKind::Local | FaultKind::TooMuch => 451,
            FaultKind::NoSpace => 452,
            FaultKind::Quota => 552,
            FaultKind::NameNotAllowed => 553,
            FaultKind::BadRequest | FaultKind::Stale => 554,
            FaultKind::NotFound
            | FaultKind::Permission
            | FaultKind::NotAFile
            | FaultKind::NotADirectory
            | FaultKind::Exists
            | FaultKind::NotEmpty => 550,
        };
        Self::new(code, fault.sentence)
    }
}

/// What a command comes to that the storage may refuse.
impl From<Result<Reply, Fault>> for Reply {
    fn from(result: Result<Reply, Fault>) -> Self {
        result.unwrap_or_else(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_line_and_many() {
        assert_eq!(Reply::new(200, "OK").to_bytes(), b"200 OK\r\n");
        let long = Reply::long(211, "Features:", vec![b" SIZE".to_vec(), b" UTF8".to_vec()], "End");
        assert_eq!(long.to_bytes(), b"211-Features:\r\n SIZE\r\n UTF8\r\n211 End\r\n");
    }

    #[test]
    fn a_name_forges_no_reply() {
        assert_eq!(Reply::new(550, "a\r\n226 b").to_bytes(), b"550 a??226 b\r\n");
    }

    #[test]
    fn quotes_in_a_directory_are_doubled() {
        assert_eq!(Reply::directory(b"/a\"b", "created").to_bytes(), b"257 \"/a\"\"b\" created\r\n");
    }

    proptest::proptest! {
        #[test]
        fn any_texts_make_one_reply(code in 100..600u16, lines in vec(vec(any::<u8>(), 0..40), 1..5)) {
            // The worst that a text can do: look like the last line.
            let forged = format!("{code} forged").into_bytes();
            let lines: Vec<_> = lines.into_iter().map(|line| if line.len() > 30 { forged.clone() } else { line }).collect();
            let bytes = Reply { code, lines: lines.clone() }.to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let sent: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert_eq!(sent.len(), lines.len());
            prop_assert!(sent.iter().all(|line| !line.contains(['\r', '\n', '\0'])));
            let last = format!("{code} ");
            let ends: Vec<bool> = sent.iter().map(|line| line.starts_with(&last)).collect();
            prop_assert_eq!(ends.iter().position(|end| *end), Some(lines.len() - 1), "{}", text);
        }
    }
}
