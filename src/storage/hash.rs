//! Digests of files, for HASH, XSHA256 and XMD5.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use md5::Md5;
use sha2::{Digest, Sha256};

/// How much is read between two looks at the cancellation: about a millisecond's work.
const PIECE: u64 = 1024 * 1024;

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

/// The lowercase hexadecimal digest of the bytes from `start` up to, and without, `end`, or the file's end without one.
///
/// `None` when `cancelled` was set meanwhile. A file that ends before `end` is an error (`UnexpectedEof`).
pub fn hash(
    file: File,
    start: u64,
    end: Option<u64>,
    algorithm: Algorithm,
    cancelled: &AtomicBool,
) -> io::Result<Option<String>> {
    match algorithm {
        Algorithm::Sha256 => digest::<Sha256>(file, start, end, cancelled),
        Algorithm::Md5 => digest::<Md5>(file, start, end, cancelled),
    }
}

fn digest<D: Digest>(
    mut file: File,
    start: u64,
    end: Option<u64>,
    cancelled: &AtomicBool,
) -> io::Result<Option<String>> {
    file.seek(SeekFrom::Start(start))?;
    let mut left = end.map(|end| end.saturating_sub(start));
    let mut piece = Vec::new();
    let mut digest = D::new();
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        piece.clear();
        let wanted = left.map_or(PIECE, |left| left.min(PIECE));
        let read = (&file).take(wanted).read_to_end(&mut piece)? as u64;
        digest.update(&piece);
        left = left.map(|left| left - read);
        match left {
            Some(0) => break,
            Some(_) if read < wanted => return Err(io::ErrorKind::UnexpectedEof.into()),
            None if read < wanted => break,
            _ => {}
        }
    }
    Ok(Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(contents: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(contents).unwrap();
        file
    }

    fn sha256(contents: &[u8], start: u64, end: Option<u64>) -> io::Result<Option<String>> {
        hash(file(contents), start, end, Algorithm::Sha256, &AtomicBool::new(false))
    }

    #[test]
    fn digests_are_the_published_ones() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc", 0, None).unwrap().unwrap(), abc);
        assert_eq!(sha256(b"xxabcyy", 2, Some(5)).unwrap().unwrap(), abc);
        let md5 = hash(file(b"abc"), 0, None, Algorithm::Md5, &AtomicBool::new(false));
        assert_eq!(md5.unwrap().unwrap(), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn files_longer_than_a_piece_are_hashed_whole() {
        let contents = vec![7; PIECE as usize + 1];
        let whole = sha256(&contents, 0, None).unwrap();
        assert_eq!(sha256(&contents, 0, Some(PIECE + 1)).unwrap(), whole);
        assert_ne!(sha256(&contents, 0, Some(PIECE)).unwrap(), whole);
    }

    #[test]
    fn a_file_that_ends_too_early_has_no_digest() {
        assert_eq!(sha256(b"abc", 0, Some(4)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_cancelled_hash_ends() {
        let cancelled = AtomicBool::new(true);
        assert_eq!(hash(file(b"abc"), 0, None, Algorithm::Sha256, &cancelled).unwrap(), None);
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Algorithm::parse(b"sha-256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::parse(b"CRC32"), None);
    }
}
