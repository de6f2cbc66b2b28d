//! Password hashes: made, read and verified; never shown.

use std::fmt;

use anyhow::anyhow;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::{Output, PasswordHash as Phc};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};

/// More bytes than fit into a command line of FTP are no password for it.
pub const LONGEST_PASSWORD: usize = 1024;

/// Why nobody could log in with `password`, if so.
pub fn check_password(password: &[u8]) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty; for guests without a password set accounts.anonymous".to_owned());
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(format!("the password is longer than {LONGEST_PASSWORD} bytes"));
    }
    if password.iter().any(|byte| b"\r\n\0".contains(byte)) {
        return Err("the password has a line end or a NUL in it, which no FTP client can send".to_owned());
    }
    Ok(())
}

/// The [cost](PasswordHash::cost) above which a hash is refused: about ten seconds.
const COST_LIMIT: u64 = 1 << 24;

/// The memory above which a hash is refused, in KiB.
const MEMORY_LIMIT: u64 = 1 << 20;

/// A hash that a password can be verified against.
#[derive(Clone)]
pub struct PasswordHash(Kind);

/// The kinds of hashes, each with its parameters.
#[derive(Clone)]
enum Kind {
    /// What we make.
    Argon2id { phc: Box<Phc>, params: Params },
    /// What `htpasswd -B` makes.
    Bcrypt { text: String, cost: u32 },
    /// What `/etc/shadow` had for long.
    Sha512Crypt { text: String, rounds: u32 },
    /// What `/etc/shadow` has on Debian now.
    Yescrypt { text: String, params: yescrypt::Params },
}

impl PasswordHash {
    /// Hashes a password with argon2id, a new salt and the parameters that its RFC's authors recommend to servers.
    pub fn create(password: &[u8]) -> anyhow::Result<Self> {
        let params = Params::default();
        let hasher = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::default(), params.clone());
        let phc = hasher.hash_password(password).map_err(|err| anyhow!("cannot hash the password: {err}"))?;
        Ok(Self(Kind::Argon2id { phc: Box::new(phc), params }))
    }

    /// A hash that no password is known of.
    pub(super) fn of_nobody() -> anyhow::Result<Self> {
        let mut nobodys = [0; 32];
        getrandom::fill(&mut nobodys)?;
        Self::create(&nobodys)
    }

    /// Reads a hash as it stands in the accounts file.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let parts: Vec<&str> = text.strip_prefix('$').map_or_else(Vec::new, |rest| rest.split('$').collect());
        match parts.as_slice() {
            ["argon2id", ..] => argon2id(text).ok_or("it begins like an argon2id hash, but is not a complete one"),
            ["2a" | "2b" | "2y", rest @ ..] => {
                bcrypt(text, rest).ok_or("it begins like a bcrypt hash, but is not a complete one")
            }
            ["6", rest @ ..] => {
                sha512_crypt(text, rest).ok_or("it begins like a sha512-crypt hash, but is not a complete one")
            }
            ["y", rest @ ..] => yescrypt(text, rest).ok_or("it begins like a yescrypt hash, but is not a complete one"),
            _ => Err("it does not begin with $argon2id$, $2a$, $2b$, $2y$, $6$ or $y$"),
        }
        .map(Self)
        .and_then(Self::affordable)
    }

    /// Each try of a password costs the server as much, whoever tries.
    fn affordable(self) -> Result<Self, &'static str> {
        if self.cost() > COST_LIMIT {
            return Err("each login would take more than about ten seconds; hash the password with less cost");
        }
        let kibibytes = match &self.0 {
            Kind::Argon2id { params, .. } => params.m_cost().into(),
            Kind::Yescrypt { params, .. } => params.n().saturating_mul(params.r().into()) / 8,
            Kind::Bcrypt { .. } | Kind::Sha512Crypt { .. } => 0,
        };
        if kibibytes > MEMORY_LIMIT {
            return Err("each login would take more than 1 GiB of memory; hash the password with less");
        }
        Ok(self)
    }

    /// The hash as it stands in the accounts file.
    pub fn to_text(&self) -> String {
        match &self.0 {
            Kind::Argon2id { phc, .. } => phc.to_string(),
            Kind::Bcrypt { text, .. } | Kind::Sha512Crypt { text, .. } | Kind::Yescrypt { text, .. } => text.clone(),
        }
    }

    /// Whether this is the hash of `password`. Takes milliseconds to seconds of CPU on purpose.
    pub fn verify(&self, password: &[u8]) -> bool {
        match &self.0 {
            Kind::Argon2id { phc, params } => fits_argon2id(password, phc, params).unwrap_or(false),
            Kind::Bcrypt { text, .. } => bcrypt::verify(password, text).unwrap_or(false),
            Kind::Sha512Crypt { text, .. } => {
                sha_crypt::ShaCrypt::SHA512.verify_password(password, text.as_str()).is_ok()
            }
            Kind::Yescrypt { text, .. } => {
                yescrypt::Yescrypt::default().verify_password(password, text.as_str()).is_ok()
            }
        }
    }

    /// Whether a verification takes about as long: the same kind, and within the same power of two.
    pub(super) fn costs_about_as_much_as(&self, other: &Self) -> bool {
        let magnitude = |hash: &Self| hash.cost().checked_ilog2();
        std::mem::discriminant(&self.0) == std::mem::discriminant(&other.0) && magnitude(self) == magnitude(other)
    }

    /// About how much work a verification is: argon2id's kibibytes and passes, the others by what takes as long.
    pub(super) fn cost(&self) -> u64 {
        match &self.0 {
            Kind::Argon2id { params, .. } => u64::from(params.m_cost()) * u64::from(params.t_cost()),
            Kind::Bcrypt { cost, .. } => 80 << cost,
            Kind::Sha512Crypt { rounds, .. } => u64::from(*rounds),
            // Blocks of 128 bytes, written once and read once.
            Kind::Yescrypt { params, .. } => (params.n() / 4).saturating_mul(params.r().into()),
        }
    }
}

/// glibc maps what is larger than this by itself, and gives it back to the system when it is freed. Freed memory that is
/// smaller becomes part of the heaps of the threads that check: after 30 logins they had 100 MB for good. What is not
/// used of it costs nothing.
const MAPPED_BY_ITSELF: usize = (32 << 20) / Block::SIZE + 1;

/// Whether an argon2id hash is that of `password`; `None` where it cannot be computed.
fn fits_argon2id(password: &[u8], phc: &Phc, params: &Params) -> Option<bool> {
    let (salt, hash) = (phc.salt.as_ref()?, phc.hash.as_ref()?);
    let version = phc.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let blocks = usize::try_from(params.m_cost()).ok()?;
    let mut memory = Vec::with_capacity(blocks.max(MAPPED_BY_ITSELF));
    memory.resize(blocks, Block::new());
    let mut computed = vec![0; hash.len()];
    let hasher = Argon2::new(Algorithm::Argon2id, version, params.clone());
    hasher.hash_password_into_with_memory(password, salt, &mut computed, &mut memory[..]).ok()?;
    // It compares in constant time.
    Some(Output::new(&computed).ok()? == *hash)
}

fn argon2id(text: &str) -> Option<Kind> {
    let phc = Phc::new(text).ok()?;
    let params = Params::try_from(&phc).ok()?;
    (phc.salt.is_some() && phc.hash.is_some()).then(|| Kind::Argon2id { phc: Box::new(phc), params })
}

/// `$2b$12$` and 22 characters of salt and 31 of the hash.
fn bcrypt(text: &str, rest: &[&str]) -> Option<Kind> {
    let [cost, salt_and_hash] = rest else { return None };
    let number = cost.parse().ok().filter(|number| cost.len() == 2 && (4..=31).contains(number))?;
    let complete = is_base64(salt_and_hash, 53) && text.parse::<bcrypt::HashParts>().is_ok();
    complete.then(|| Kind::Bcrypt { text: text.to_owned(), cost: number })
}

/// `$6$salt$` or `$6$rounds=10000$salt$`, and 86 characters.
fn sha512_crypt(text: &str, rest: &[&str]) -> Option<Kind> {
    let (rounds, salt, hash) = match rest {
        [salt, hash] => (sha_crypt::Params::RECOMMENDED_ROUNDS, salt, hash),
        [rounds, salt, hash] => (rounds.strip_prefix("rounds=")?.parse().ok()?, salt, hash),
        _ => return None,
    };
    let possible = (sha_crypt::Params::ROUNDS_MIN..=sha_crypt::Params::ROUNDS_MAX).contains(&rounds);
    let complete = possible && (1..=16).contains(&salt.len()) && is_base64(hash, 86);
    complete.then(|| Kind::Sha512Crypt { text: text.to_owned(), rounds })
}

/// `$y$j9T$salt$` and 43 characters. A shorter hash would be that of many passwords, and an empty one of all.
fn yescrypt(text: &str, rest: &[&str]) -> Option<Kind> {
    let [params, salt, hash] = rest else { return None };
    let params = params.parse().ok()?;
    let complete = is_base64(salt, salt.len()) && is_base64(hash, 43);
    complete.then(|| Kind::Yescrypt { text: text.to_owned(), params })
}

fn is_base64(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn passwords_that_cannot_be_sent_are_refused() {
        for (password, good) in [("mooring", true), ("a b", true), ("", false), ("a\nb", false), ("a\r", false)] {
            assert_eq!(check_password(password.as_bytes()).is_ok(), good, "{password:?}");
        }
        assert!(check_password(&[b'x'; LONGEST_PASSWORD]).is_ok());
        assert!(check_password(&[b'x'; LONGEST_PASSWORD + 1]).is_err());
    }

    #[test]
    fn verifies_its_own_password_only_also_after_a_round_trip() {
        let hash = PasswordHash::create(b"mooring").unwrap();
        let read = PasswordHash::parse(&hash.to_text()).unwrap();
        assert!(read.verify(b"mooring"));
        assert!(!read.verify(b"Mooring"));
        assert!(!read.verify(b""));
    }

    /// Made by Debian's libcrypt.
    const OTHERS: [&str; 6] = [
        "$2b$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq",
        "$2y$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq",
        "$2a$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq",
        "$6$saltsalt$uiiOoO0QOHFgAj6Ju2v/76koAlVYwjpOhtH5hJ24PXXWQ6.g2YbTmDZdXhJkGEHDXy1xWA8JmyH3Hrazi1IEB1",
        "$6$rounds=1000$saltsaltsaltsalt$9FeuO.gJXQHef2lmvUVOBEq0VMeZDhiRXqTf7hOIixPoinIiemCW3igJY84TmDCq7IFDkh1ecAlV/Vsdyawmk0",
        "$y$j75$LdJMENpBABJJ3hIHjB1Bi.$jSuUrDLyoc1t/Jf6HxaSHlZPqy.2IkdFkyrocudY1a6",
    ];

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for text in OTHERS {
            let hash = PasswordHash::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert!(hash.verify(b"mooring"), "{text}");
            assert!(!hash.verify(b"Mooring") && !hash.verify(b""), "{text}");
            assert_eq!(hash.to_text(), text);
            assert!(hash.cost() > 0);
        }
    }

    #[test]
    fn hashes_of_other_programs_are_refused_when_a_part_is_missing() {
        for text in OTHERS {
            for end in 0..text.len() {
                assert!(PasswordHash::parse(&text[..end]).is_err(), "{}", &text[..end]);
            }
            assert!(PasswordHash::parse(&format!("{text}x")).is_err());
            assert!(PasswordHash::parse(&format!("x{text}")).is_err());
        }
        for text in [
            "$2b$99$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde",
            "$5$salt$hash",
            "$1$salt$hash",
            "$6$rounds=1$a$b",
        ] {
            assert!(PasswordHash::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_costs_of_different_kinds_can_be_compared() {
        let costs: Vec<u64> = OTHERS.iter().map(|text| PasswordHash::parse(text).unwrap().cost()).collect();
        let ours = PasswordHash::create(b"x").unwrap().cost();
        let strong = PasswordHash::parse(&OTHERS[0].replace("$04$", "$12$")).unwrap().cost();
        assert!(costs.iter().all(|cost| *cost < ours) && ours < strong, "{costs:?} {ours} {strong}");
    }

    #[test]
    fn hashes_that_would_keep_the_server_busy_are_refused() {
        let argon2id = |m: &str| format!("$argon2id$v=19$m={m},t=1,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ");
        for (good, bad, why) in [
            (OTHERS[0].replace("$04$", "$17$"), OTHERS[0].replace("$04$", "$18$"), "ten seconds"),
            (OTHERS[4].replace("=1000", "=16000000"), OTHERS[4].replace("=1000", "=999999999"), "ten seconds"),
            (argon2id("1048576"), argon2id("1048577"), "1 GiB"),
            (OTHERS[5].replace("$j75$", "$jG5$"), OTHERS[5].replace("$j75$", "$jJ5$"), "1 GiB"),
        ] {
            assert!(PasswordHash::parse(&good).is_ok(), "{good}");
            let found = PasswordHash::parse(&bad).unwrap_err();
            assert!(found.contains(why), "{bad}: {found}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let hash = PasswordHash::create(b"mooring").unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(not shown)");
    }

    #[test]
    fn other_hashes_and_clear_passwords_are_refused() {
        for text in
            ["", "mooring", "$argon2i$v=19$m=64,t=3,p=1$c2FsdA$aGFzaA", "$argon2id$", "$argon2id$v=19$m=64,t=3,p=1"]
        {
            assert!(PasswordHash::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        /// Of the fields that hashes are made of, so that much of it is nearly right. What is cheap enough is verified, too.
        #[test]
        fn any_text_is_a_hash_that_can_be_verified_or_refused(fields in vec(select(&[
            "argon2id", "argon2i", "2b", "2y", "6", "y", "v=19", "v=16", "m=8,t=1,p=1", "m=4294967295,t=1,p=1", "m=8,t=4294967295,p=1",
            "m=8,t=1,p=0", "04", "31", "99", "rounds=1000", "rounds=999999999", "j9T", "jAT", "j/T", "jzzzzzT", "", "c2FsdHNhbHQ", "salt",
            "YWFhYWFhYWFhYWFhYWFhYQ", "é", "............................", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ][..]), 1..6), password in vec(any::<u8>(), 0..100)) {
            let Ok(hash) = PasswordHash::parse(&format!("${}", fields.join("$"))) else { return Ok(()) };
            prop_assert!(hash.cost() <= COST_LIMIT);
            if hash.cost() < 5000 {
                prop_assert!(!hash.verify(&password));
            }
        }
    }
}
