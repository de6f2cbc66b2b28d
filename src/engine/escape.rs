//! Paths as ASCII, reversibly: the engine would turn other bytes into U+FFFD and end its session at a CR.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Letters, digits and `/._-` stand for themselves; any other byte is `%` and two hexadecimal digits.
pub(super) fn to_ascii(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => text.push(char::from(byte)),
            _ => drop(write!(text, "%{byte:02x}")),
        }
    }
    text
}

/// What [`to_ascii`] was given.
pub(super) fn from_ascii(path: &Path) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes().iter();
    let mut plain = Vec::with_capacity(bytes.len());
    while let Some(&byte) = bytes.next() {
        let digits = (byte == b'%').then(|| bytes.as_slice().get(..2)).flatten();
        let code =
            digits.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|d| u8::from_str_radix(d, 16).ok());
        if code.is_some() {
            bytes.nth(1);
        }
        plain.push(code.unwrap_or(byte));
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let ascii = to_ascii(&all);
        assert!(ascii.is_ascii() && !ascii.contains([' ', '\r', '\n', '\0']));
        assert_eq!(from_ascii(Path::new(&ascii)).as_os_str().as_bytes(), all);
    }

    #[test]
    fn a_percent_sign_in_a_name_stays_one() {
        assert_eq!(from_ascii(Path::new(&to_ascii(b"/100%41"))), Path::new("/100%41"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back(bytes in vec(any::<u8>(), 0..100)) {
            let ascii = to_ascii(&bytes);
            prop_assert!(ascii.bytes().all(|byte| byte.is_ascii_graphic()));
            let path = from_ascii(Path::new(&ascii));
            prop_assert_eq!(path.as_os_str().as_bytes(), bytes);
        }
    }
}
