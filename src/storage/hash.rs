//! Digests of files, for HASH, XSHA256 and XMD5.

use std::fs::File;
use std::io::{self, Read};

use md5::Md5;
use sha2::{Digest, Sha256};

/// How much is read at a time.
const BUFFER: usize = 256 * 1024;

/// A hash function that clients may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// MD5, for old clients that compare and do not trust.
    Md5,
}

impl Algorithm {
    /// All of them, the preferred one first.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

    /// The name in FEAT, OPTS HASH and HASH (draft-bryan-ftpext-hash).
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// The algorithm of this name, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| name.eq_ignore_ascii_case(algorithm.name().as_bytes()))
    }
}

/// The digest of a file, computed in steps so that whoever asks for one can stop between them.
#[derive(Debug)]
pub struct Hasher {
    file: File,
    left: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Sha256(Sha256),
    Md5(Md5),
}

impl Hasher {
    /// A digest of the `size` bytes of `file` from where it stands.
    pub fn new(file: File, size: u64, algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Md5 => State::Md5(Md5::new()),
        };
        Self { file, left: size, state }
    }

    /// Reads up to `limit` bytes more; true when these were the last. A file that ends before its size is an error
    /// (`UnexpectedEof`).
    pub fn step(&mut self, limit: u64) -> io::Result<bool> {
        let end = self.left.saturating_sub(limit);
        let mut buffer = vec![0; BUFFER];
        while self.left > end {
            let wanted = BUFFER.min(usize::try_from(self.left - end).unwrap_or(BUFFER));
            let bytes = &mut buffer[..wanted];
            self.file.read_exact(bytes)?;
            match &mut self.state {
                State::Sha256(state) => state.update(bytes),
                State::Md5(state) => state.update(bytes),
            }
            self.left -= wanted as u64;
        }
        Ok(self.left == 0)
    }

    /// The digest of what was read, in lowercase hexadecimal.
    pub fn finish(self) -> String {
        match self.state {
            State::Sha256(state) => hexadecimal(&state.finalize()),
            State::Md5(state) => hexadecimal(&state.finalize()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn hasher(contents: &[u8], size: u64, algorithm: Algorithm) -> Hasher {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(contents).unwrap();
        file.rewind().unwrap();
        Hasher::new(file, size, algorithm)
    }

    fn digest(contents: &[u8], algorithm: Algorithm, step: u64) -> String {
        let mut hasher = hasher(contents, contents.len() as u64, algorithm);
        while !hasher.step(step).unwrap() {}
        hasher.finish()
    }

    #[test]
    fn digests_are_the_published_ones() {
        for step in [1, 2, 3, 4] {
            assert_eq!(
                digest(b"abc", Algorithm::Sha256, step),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            );
            assert_eq!(digest(b"abc", Algorithm::Md5, step), "900150983cd24fb0d6963f7d28e17f72");
        }
        assert_eq!(digest(b"", Algorithm::Md5, 1), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn a_step_reads_no_more_than_its_limit() {
        let mut hasher = hasher(&vec![7; 3 * BUFFER], 3 * BUFFER as u64, Algorithm::Sha256);
        assert!(!hasher.step(BUFFER as u64 + 1).unwrap());
        assert_eq!(hasher.file.stream_position().unwrap(), BUFFER as u64 + 1);
        assert!(hasher.step(u64::MAX).unwrap());
        assert_eq!(hasher.finish(), digest(&vec![7; 3 * BUFFER], Algorithm::Sha256, u64::MAX));
    }

    #[test]
    fn only_the_size_asked_for_is_read_and_a_file_that_ends_before_is_an_error() {
        let mut longer = hasher(b"abcyy", 3, Algorithm::Sha256);
        assert!(longer.step(100).unwrap());
        assert_eq!(longer.finish(), digest(b"abc", Algorithm::Sha256, 3));
        let error = hasher(b"abc", 4, Algorithm::Sha256).step(100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Algorithm::parse(b"sha-256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::parse(b"CRC32"), None);
    }
}
