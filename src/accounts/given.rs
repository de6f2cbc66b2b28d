//! Accounts that no file has, since variables of the image give them.

use super::file::Given;
use super::{PasswordHash, check_password};
use crate::settings::{Faults, GivenUser};

/// The kinds of hashes, by how they begin.
const HASHES: [&str; 6] = ["$argon2id$", "$2a$", "$2b$", "$2y$", "$6$", "$y$"];

/// The users with hashes for their passwords. One that begins as a hash does is taken for one, or refused.
pub(super) fn hashed(users: &[GivenUser]) -> Result<Vec<Given>, Faults> {
    let mut faults = Faults::default();
    let mut hashed = Vec::new();
    for GivenUser { origin, name, password, home } in users {
        match hash(password.reveal()) {
            Ok(password) => {
                let (origin, name, home) = (origin.clone(), name.clone(), home.clone());
                hashed.push(Given { origin, name, password, home });
            }
            Err(why) => faults.push(origin, why),
        }
    }
    faults.or(hashed)
}

fn hash(password: &str) -> Result<PasswordHash, String> {
    if HASHES.iter().any(|kind| password.starts_with(kind)) {
        return PasswordHash::parse(password).map_err(|why| {
            format!(
                "the password is taken for a hash: {why}; in compose write $$ for each $ of it, in a shell put single \
                 quotes around it, or use a file (FTP_PASS_FILE, USERS_FILE)"
            )
        });
    }
    check_password(password.as_bytes())?;
    PasswordHash::create(password.as_bytes()).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    fn user(password: &str) -> GivenUser {
        let password = Secret::new(password.to_owned());
        GivenUser { origin: "FTP_USER".to_owned(), name: "ann".to_owned(), password, home: None }
    }

    #[test]
    fn a_password_may_be_a_hash_but_not_a_part_of_one() {
        let hash = "$2b$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq";
        let users = hashed(&[user("mooring"), user(hash), user("$ecret")]).unwrap();
        assert!(users[0].password.verify(b"mooring") && users[1].password.verify(b"mooring"));
        assert!(users[2].password.verify(b"$ecret"));
        let faults = hashed(&[user("$2b$04$abc"), user("a\nb")]).unwrap_err().to_string();
        assert!(
            faults.contains("FTP_USER: the password is taken for a hash: it begins like a bcrypt hash"),
            "{faults}"
        );
        assert!(faults.contains("write $$ for each $") && faults.contains("a line end") && !faults.contains("abc"));
    }
}
