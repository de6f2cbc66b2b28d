//! What differs from student to student, made from the class's secret: always the same for one student, and nobody can
//! compute it for another.

use std::fmt;
use std::fs;
use std::io;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Directory;
use super::credentials::{ADJECTIVES, NOUNS};
use crate::accounts::PasswordHash;

/// The secret of a class, see [`Directory::secret`].
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// What is made for one student and one purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Secret {
    /// Reads the file.
    pub fn load(directory: &Directory) -> io::Result<Self> {
        let path = directory.secret();
        let named = |error: io::Error| {
            io::Error::other(format!("cannot read the secret of the class in {}: {error}", path.display()))
        };
        let text = fs::read(&path).map_err(named)?;
        match text.trim_ascii() {
            // An empty one would be everybody's.
            [] => Err(named(io::Error::other("it is empty; make a new class"))),
            secret => Ok(Self(secret.to_vec())),
        }
    }

    /// The seed of a student, by the user name, for one purpose, such as a file's path.
    pub fn seed(&self, user: &str, purpose: &str) -> Seed {
        // No user name has a NUL in it, so no two pairs look alike.
        Seed(digest(&self.0, &[user.as_bytes(), b"\0", purpose.as_bytes()]))
    }

    /// The PIN of a student on the page: six digits. It is on the card, and another with each new password, so that a
    /// lost card is worth nothing. It is short; whoever asks for it has to count attempts.
    pub fn pin(&self, user: &str, password: &PasswordHash) -> String {
        format!("{:06}", self.seed(user, &format!("pin\0{}", password.to_text())).number(1_000_000))
    }
}

impl Seed {
    /// A number below `limit`.
    pub fn number(&self, limit: u64) -> u64 {
        // The numbers are small, so that what is behind the last whole multiple makes no difference.
        self.bytes().take(8).fold(0, |number, byte| number << 8 | u64::from(byte)) % limit
    }

    /// A word to be read and typed, such as `quick-river-482`.
    pub fn word(&self) -> String {
        let mut bytes = self.bytes();
        let mut choose = |limit: usize| {
            let number = bytes.by_ref().take(4).fold(0_usize, |number, byte| number << 8 | usize::from(byte));
            number % limit
        };
        let mut word = |words: &'static str| {
            let count = words.split(' ').count();
            words.split(' ').nth(choose(count)).unwrap_or_default()
        };
        let (adjective, noun) = (word(ADJECTIVES), word(NOUNS));
        format!("{adjective}-{noun}-{}", 100 + choose(900))
    }

    /// As many bytes as are taken.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        (0_u64..).flat_map(|block| digest(&self.0, &[&block.to_be_bytes()]))
    }
}

fn digest(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret(b"secret".to_vec())
    }

    /// Files that are handed out are compared with what is computed, also by a later version. (The numbers are Python's.)
    #[test]
    fn a_seed_is_the_same_for_ever() {
        let seed = secret().seed("otter", "/quest/read/note.txt");
        assert_eq!(seed.bytes().take(4).collect::<Vec<_>>(), [210, 153, 107, 91]);
        assert_eq!((seed.word(), seed.number(1000)), ("mild-cousin-831".to_owned(), 232));
    }

    #[test]
    fn student_purpose_and_secret_each_make_another() {
        let seed = |secret: &[u8], user: &str, purpose: &str| Secret(secret.to_vec()).seed(user, purpose);
        let one = seed(b"a", "otter", "x");
        assert_eq!(one, seed(b"a", "otter", "x"));
        for other in
            [seed(b"b", "otter", "x"), seed(b"a", "fox", "x"), seed(b"a", "otter", "y"), seed(b"a", "otte", "rx")]
        {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_new_password_is_a_new_pin() {
        let hash = || PasswordHash::create(b"river-quick-47").unwrap();
        let (one, other) = (hash(), hash());
        let pin = secret().pin("otter", &one);
        assert!(pin.len() == 6 && pin.bytes().all(|digit| digit.is_ascii_digit()), "{pin}");
        assert_eq!(pin, secret().pin("otter", &one));
        assert_ne!(pin, secret().pin("otter", &other));
        assert_ne!(pin, secret().pin("fox", &one));
    }

    #[test]
    fn an_empty_secret_is_none() {
        let base = tempfile::tempdir().unwrap();
        let directory = Directory::at(base.path());
        assert!(Secret::load(&directory).unwrap_err().to_string().contains("cannot read the secret"));
        fs::write(directory.secret(), "\n").unwrap();
        assert!(Secret::load(&directory).unwrap_err().to_string().contains("it is empty"));
        fs::write(directory.secret(), "secret\n").unwrap();
        assert_eq!(Secret::load(&directory).unwrap().seed("a", "b"), secret().seed("a", "b"));
    }
}
