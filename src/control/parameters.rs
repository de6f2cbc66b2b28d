//! How transfers are done: TYPE, MODE, STRU, OPTS, REST, ALLO.

use super::reply::Reply;
use super::session::Session;
use crate::blocking::briefly;
use crate::settings::Ascii;
use crate::storage::{Algorithm, FactSet};

/// What a client can set for its transfers. RFC 959's defaults where it has any.
#[derive(Debug)]
pub(super) struct Parameters {
    /// TYPE A.
    pub ascii: bool,
    /// Where the next transfer begins.
    pub offset: u64,
    /// The facts that MLSD and MLST give.
    pub facts: FactSet,
    /// What HASH computes.
    pub hash: Algorithm,
    /// EPSV ALL was sent (RFC 2428, 4): nothing but EPSV may set up a data connection.
    pub epsv_only: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        // RFC 959, 3.1.1.1: ASCII is the default type, and ftp.exe relies on it.
        Self { ascii: true, offset: 0, facts: FactSet::default(), hash: Algorithm::Sha256, epsv_only: false }
    }
}

impl Session {
    pub(super) fn set_type(&mut self, argument: &[u8]) -> Reply {
        let (ascii, text) = match argument.to_ascii_uppercase().as_slice() {
            b"A" | b"A N" if self.shared.in_force().settings.transfer.ascii == Ascii::Convert => {
                (true, "Type is ASCII: line ends are converted.")
            }
            b"A" | b"A N" => (true, "Type is ASCII, but this server converts nothing."),
            b"I" | b"L 8" => (false, "Type is binary: bytes stay as they are."),
            _ => return Reply::new(504, "Only TYPE A and TYPE I are served."),
        };
        self.parameters.ascii = ascii;
        Reply::new(200, text)
    }

    /// Whether line ends are converted in this session now.
    pub(super) fn converts(&self) -> bool {
        self.parameters.ascii && self.shared.in_force().settings.transfer.ascii == Ascii::Convert
    }

    pub(super) fn mode(&mut self, argument: &[u8]) -> Reply {
        match argument {
            b"S" | b"s" => Reply::new(200, "Mode is stream."),
            _ => Reply::new(504, "Only MODE S (stream) is served."),
        }
    }

    pub(super) fn structure(&mut self, argument: &[u8]) -> Reply {
        match argument {
            b"F" | b"f" => Reply::new(200, "Structure is file."),
            _ => Reply::new(504, "Only STRU F (file) is served."),
        }
    }

    pub(super) fn options(&mut self, argument: &[u8]) -> Reply {
        let (name, value) = match argument.iter().position(|&byte| byte == b' ') {
            Some(space) => (&argument[..space], argument[space + 1..].trim_ascii()),
            None => (argument, &[][..]),
        };
        match name.to_ascii_uppercase().as_slice() {
            b"UTF8" | b"UTF-8" => {
                Reply::new(200, "Names are bytes here, and UTF-8 is what most clients take them for.")
            }
            b"MLST" => {
                self.parameters.facts = FactSet::parse(value);
                Reply::new(200, format!("MLST OPTS {}", self.parameters.facts))
            }
            b"HASH" if value.is_empty() => Reply::new(200, self.parameters.hash.name()),
            b"HASH" => match Algorithm::parse(value) {
                Some(algorithm) => {
                    self.parameters.hash = algorithm;
                    Reply::new(200, algorithm.name())
                }
                None => Reply::new(504, "Only SHA-256 and MD5 are served."),
            },
            _ => Reply::new(501, "Only OPTS UTF8, OPTS MLST and OPTS HASH are served."),
        }
    }

    pub(super) fn restart(&mut self, argument: &[u8]) -> Reply {
        if self.converts() {
            return Reply::new(
                501,
                "An offset means nothing in a text whose line ends change. Send TYPE I (binary) first.",
            );
        }
        match number(argument) {
            Some(offset) => {
                self.parameters.offset = offset;
                Reply::new(350, format!("The next transfer begins at {offset}."))
            }
            None => Reply::new(501, "REST needs a number of bytes."),
        }
    }

    /// ALLO: whether there is room; nothing is set aside.
    pub(super) fn allocate(&mut self, argument: &[u8]) -> Reply {
        // `ALLO 100 R 10` names a record size, which STRU F does not have.
        let bytes = argument.split(|&byte| byte == b' ').next().and_then(number);
        let free = self.login.as_ref().map(|login| briefly(|| login.storage.free_bytes(&self.directory)));
        match (bytes, free) {
            (None, _) => Reply::new(501, "ALLO needs a number of bytes."),
            (Some(bytes), Some(Ok(free))) if bytes > free => {
                Reply::new(452, format!("There is no room for that: {free} bytes are free."))
            }
            (_, Some(Err(fault))) => fault.into(),
            _ => Reply::new(200, "There is room."),
        }
    }
}

/// A decimal number and nothing else; a sign is none.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest::proptest! {
        #[test]
        fn any_number_is_its_digits_and_all_else_is_none(value in proptest::num::u64::ANY, text in "[-+ 0-9a-fx]{0,24}") {
            prop_assert_eq!(number(value.to_string().as_bytes()), Some(value));
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            prop_assert_eq!(number(text.as_bytes()), text.parse().ok().filter(|_| digits));
        }
    }
}
