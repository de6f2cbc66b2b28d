//! Password hashes: made, read and verified; never shown.

use std::fmt;

use anyhow::anyhow;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};

/// A hash that a password can be verified against.
#[derive(Clone)]
pub struct PasswordHash {
    phc: Phc,
    params: Params,
}

impl PasswordHash {
    /// Hashes a password with argon2id, a new salt and the parameters that its RFC's authors recommend to servers.
    pub fn create(password: &[u8]) -> anyhow::Result<Self> {
        Self::with_params(password, Params::default())
    }

    /// A hash of nobody's password, which takes as long to verify as `like`.
    pub(super) fn decoy(like: Option<&Self>) -> anyhow::Result<Self> {
        let mut nobodys = [0; 32];
        getrandom::fill(&mut nobodys)?;
        Self::with_params(&nobodys, like.map_or_else(Params::default, |like| like.params.clone()))
    }

    fn with_params(password: &[u8], params: Params) -> anyhow::Result<Self> {
        let hasher = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::default(), params.clone());
        let phc = hasher.hash_password(password).map_err(|err| anyhow!("cannot hash the password: {err}"))?;
        Ok(Self { phc, params })
    }

    /// Reads a hash as it stands in the accounts file.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const BROKEN: &str = "it begins like an argon2id hash, but is not a complete one";
        if !text.starts_with("$argon2id$") {
            return Err("it does not begin with $argon2id$");
        }
        let phc = Phc::new(text).map_err(|_| BROKEN)?;
        let params = Params::try_from(&phc).map_err(|_| BROKEN)?;
        match (&phc.salt, &phc.hash) {
            (Some(_), Some(_)) => Ok(Self { phc, params }),
            _ => Err(BROKEN),
        }
    }

    /// The hash as it stands in the accounts file.
    pub fn to_text(&self) -> String {
        self.phc.to_string()
    }

    /// Whether this is the hash of `password`. Takes tens of milliseconds of CPU on purpose.
    pub fn verify(&self, password: &[u8]) -> bool {
        Argon2::default().verify_password(password, &self.phc).is_ok()
    }

    /// How much work a verification is.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifies_its_own_password_only_also_after_a_round_trip() {
        let hash = PasswordHash::create(b"mooring").unwrap();
        let read = PasswordHash::parse(&hash.to_text()).unwrap();
        assert!(read.verify(b"mooring"));
        assert!(!read.verify(b"Mooring"));
        assert!(!read.verify(b""));
    }

    #[test]
    fn decoy_costs_as_much_as_its_model() {
        let text = "$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ";
        let model = PasswordHash::parse(text).unwrap();
        assert_eq!(PasswordHash::decoy(Some(&model)).unwrap().cost(), 64 * 3);
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
}
