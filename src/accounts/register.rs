//! The users of the accounts file, as the file is now.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::file::{self, Given, Listed, Root, Says, User};
use super::{Account, Caller, NewHome, PasswordHash, Refusal, Terms, given};
use crate::settings::{AccountSettings, Faults};

/// All users of one version of the file.
#[derive(Debug)]
pub(super) struct Users {
    by_name: HashMap<String, Entry>,
    guests: Option<(Arc<Account>, Terms)>,
    /// One hash for each kind and cost in the file, so that time does not tell which users there are.
    decoys: Vec<PasswordHash>,
}

#[derive(Debug)]
struct Entry {
    account: Arc<Account>,
    password: PasswordHash,
    terms: Terms,
}

impl Users {
    pub fn new(listed: Listed, template: Option<&Path>) -> anyhow::Result<Self> {
        let Listed { users, guests } = listed;
        let mut hashes: Vec<&PasswordHash> = users.iter().map(|user| &user.password).collect();
        hashes.sort_by_key(|hash| std::cmp::Reverse(hash.cost()));
        let mut decoys: Vec<PasswordHash> = Vec::new();
        for hash in hashes {
            if !decoys.iter().any(|decoy| decoy.costs_about_as_much_as(hash)) {
                decoys.push(hash.clone());
            }
        }
        if decoys.is_empty() {
            decoys.push(PasswordHash::of_nobody()?);
        }
        let account = |name: String, anonymous, says: Says| {
            let new_home = says.create_home.then(|| NewHome { template: template.map(Path::to_owned) });
            let Says { home, rights, terms, max_sessions, rates, quota, .. } = says;
            (Arc::new(Account { name, home, rights, anonymous, max_sessions, rates, quota, new_home }), terms)
        };
        let entry = |user: User| {
            let (account, terms) = account(user.name.clone(), false, user.says);
            (user.name, Entry { account, password: user.password, terms })
        };
        let guests = guests.map(|says| account(file::GUESTS.to_owned(), true, says));
        Ok(Self { by_name: users.into_iter().map(entry).collect(), guests, decoys })
    }

    fn read(file: Option<&Path>, given: &[Given], root: &Root, template: Option<&Path>) -> Result<Self, Faults> {
        let mut listed = file.map_or_else(|| Ok(Listed::nobody(root)), |file| file::read(file, root))?;
        let mut faults = Faults::default();
        given.iter().for_each(|given| file::add(given, root, &mut listed.users, &mut faults));
        let listed = faults.or(listed)?;
        Self::new(listed, template).map_err(|err| Faults::one("accounts", err.to_string()))
    }

    /// The guests' account, if they are let in at all.
    pub fn guests(&self) -> Option<&Arc<Account>> {
        self.guests.as_ref().map(|(account, _)| account)
    }

    /// The same, if its terms let `caller` in now.
    pub fn check_guest(&self, caller: &Caller, now: SystemTime) -> Result<Arc<Account>, Refusal> {
        let (account, terms) = self.guests.as_ref().ok_or(Refusal::AnonymousOff)?;
        terms.check(now, caller).map(|()| Arc::clone(account))
    }

    /// Every user's account, by name.
    pub fn accounts(&self) -> impl Iterator<Item = Arc<Account>> {
        let mut accounts: Vec<_> = self.by_name.values().map(|entry| Arc::clone(&entry.account)).collect();
        accounts.sort_by(|one, other| one.name.cmp(&other.name));
        accounts.into_iter()
    }

    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The account of `name`, if `password` is its password and its terms let `caller` in now; without a password, if its
    /// terms name a certificate. Every refusal of a password costs the same: a [`PasswordHash::verify`] of each kind and
    /// cost that there is.
    pub fn check(
        &self,
        name: &str,
        password: Option<&[u8]>,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<Arc<Account>, Refusal> {
        let entry = self.by_name.get(name);
        let admit = |entry: &Entry| entry.terms.check(now, caller).map(|()| Arc::clone(&entry.account));
        let Some(password) = password else {
            let entry = entry.filter(|entry| entry.terms.client_certificate.is_some());
            return admit(entry.ok_or(Refusal::UnknownUser)?);
        };
        let result = match entry {
            None => Err(Refusal::UnknownUser),
            Some(entry) if entry.password.verify(password) => admit(entry),
            Some(_) => Err(Refusal::WrongPassword),
        };
        if result.is_err() {
            for decoy in self.decoys_beside(entry) {
                decoy.verify(password);
            }
        }
        result
    }

    /// What is verified besides the user's own hash, if there is that user.
    fn decoys_beside(&self, entry: Option<&Entry>) -> impl Iterator<Item = &PasswordHash> {
        self.decoys.iter().filter(move |decoy| !entry.is_some_and(|entry| entry.password.costs_about_as_much_as(decoy)))
    }
}

/// The accounts file, and its users as they were read last, with those whom no file has.
#[derive(Debug)]
pub(super) struct Register {
    file: Option<PathBuf>,
    given: Vec<Given>,
    root: Root,
    /// What new homes are made from.
    template: Option<PathBuf>,
    last: Mutex<Reading>,
}

#[derive(Debug, Clone)]
struct Reading {
    version: Option<Version>,
    users: Arc<Users>,
}

impl Register {
    /// Reads the accounts file, if the settings name one, and hashes the passwords of those whom they give.
    pub fn load(settings: &AccountSettings, root: Root) -> Result<Self, Faults> {
        let (file, template) = (settings.file.clone(), settings.template.clone());
        let given = given::hashed(&settings.given)?;
        let version = Version::of(file.as_deref());
        let users = Arc::new(Users::read(file.as_deref(), &given, &root, template.as_deref())?);
        Ok(Self { file, given, root, template, last: Mutex::new(Reading { version, users }) })
    }

    /// The users as they were read last.
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.last().users)
    }

    /// Whether the file is as it was read last.
    pub fn is_fresh(&self) -> bool {
        Version::of(self.file.as_deref()) == self.last().version
    }

    /// The users as the file has them now. A file with faults leaves them as they were; the faults are logged once.
    pub fn fresh_users(&self) -> Arc<Users> {
        // Looked at before the file is read: an edit in between shows the next time.
        let version = Version::of(self.file.as_deref());
        let last = self.last().clone();
        if version == last.version {
            return last.users;
        }
        // Nobody waits for the disk meanwhile; two logins at the same time both read.
        let users = match Users::read(self.file.as_deref(), &self.given, &self.root, self.template.as_deref()) {
            Ok(users) => {
                tracing::info!("the accounts file has changed and was read again");
                Arc::new(users)
            }
            Err(faults) => {
                for fault in faults.iter() {
                    tracing::error!("{}: {}", fault.origin, fault.text);
                }
                tracing::error!("the accounts stay as they were before the accounts file was changed");
                last.users
            }
        };
        *self.last() = Reading { version, users: Arc::clone(&users) };
        users
    }

    fn last(&self) -> MutexGuard<'_, Reading> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells two versions of a file apart. The time is that of the last change (ctime): unlike that of the last write,
/// no program can set it back, and new permissions, which may cure a fault, move it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(file: Option<&Path>) -> Option<Self> {
        let found = fs::metadata(file?).ok()?;
        Some(Self { inode: found.ino(), size: found.size(), changed: (found.ctime(), found.ctime_nsec()) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use super::*;
    use crate::settings::Settings;

    fn check(users: &Users, name: &str, password: &[u8]) -> Result<(), Refusal> {
        let caller = Caller { address: Ipv4Addr::LOCALHOST.into(), certificate: None };
        users.check(name, Some(password), &caller, SystemTime::now()).map(drop)
    }

    #[test]
    fn a_refusal_costs_the_same_whoever_is_asked_for() {
        let cheap = "$6$rounds=1000$saltsaltsaltsalt$9FeuO.gJXQHef2lmvUVOBEq0VMeZDhiRXqTf7hOIixPoinIiemCW3igJY84TmDCq7IFDkh1ecAlV/Vsdyawmk0";
        let middling = "$2b$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq";
        let ours = PasswordHash::create(b"mooring").unwrap().to_text();
        let hashes = [("ann", cheap), ("bob", middling), ("eve", &ours), ("ida", &ours)];
        let text: String =
            hashes.iter().map(|(name, hash)| format!("[[user]]\nname = \"{name}\"\npassword = \"{hash}\"\n")).collect();
        let root = Root::of(&Settings::default()).unwrap();
        let users = Users::new(file::parse(&text, "a.toml", &root).unwrap(), None).unwrap();
        let costs = |name: &str| {
            let entry = users.by_name.get(name);
            let own = entry.map(|entry| entry.password.cost());
            let mut costs: Vec<u64> =
                own.into_iter().chain(users.decoys_beside(entry).map(PasswordHash::cost)).collect();
            costs.sort_unstable();
            costs
        };
        assert_eq!(costs("nobody").len(), 3);
        for (name, _) in hashes {
            assert_eq!(costs(name), costs("nobody"), "{name}");
            assert_eq!(check(&users, name, b"wrong"), Err(Refusal::WrongPassword));
        }
        let empty = Users::new(Listed::nobody(&root), None).unwrap();
        assert_eq!(empty.decoys_beside(None).count(), 1, "nor does an empty file tell that it is empty");
    }

    /// Or the password of somebody who may not log in from there could be guessed by its time.
    #[test]
    fn right_passwords_that_do_not_help_cost_the_same() {
        let cheap = "$2b$04$abcdefghijklmnopqrstuuQ1vn8MsPdHZ7xqxnKAfHoO2HThGD8vq";
        let ours = PasswordHash::create(b"x").unwrap().to_text();
        let text = format!(
            "[[user]]\nname = \"ann\"\npassword = \"{cheap}\"\nenabled = false\n[[user]]\nname = \"bob\"\npassword = \"{ours}\"\n"
        );
        let root = Root::of(&Settings::default()).unwrap();
        let users = Users::new(file::parse(&text, "a.toml", &root).unwrap(), None).unwrap();
        let least = |name: &str, password: &[u8], refusal: Refusal| {
            let time = |_| {
                let begun = Instant::now();
                assert_eq!(check(&users, name, password), Err(refusal));
                begun.elapsed()
            };
            (0..3).map(time).min().unwrap()
        };
        let right = least("ann", b"mooring", Refusal::Disabled);
        let wrong = least("ann", b"wrong", Refusal::WrongPassword);
        assert!(right > wrong / 2, "{right:?}, {wrong:?}");
    }

    #[test]
    fn edits_take_effect_at_the_next_login_and_faulty_ones_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.toml");
        let hash = PasswordHash::create(b"mooring").unwrap().to_text();
        let write = |name: &str| fs::write(&path, format!("[[user]]\nname = \"{name}\"\npassword = \"{hash}\"\n"));
        write("ann").unwrap();
        let mut settings = Settings::default();
        settings.accounts.file = Some(path.clone());
        let register = Register::load(&settings.accounts, Root::of(&settings).unwrap()).unwrap();
        assert!(Arc::ptr_eq(&register.fresh_users(), &register.users()), "an unchanged file is not read again");

        write("robert").unwrap();
        assert_eq!(check(&register.fresh_users(), "ann", b"mooring"), Err(Refusal::UnknownUser));
        assert!(check(&register.fresh_users(), "robert", b"mooring").is_ok());
        assert!(register.users().knows("robert"));

        fs::write(&path, "[[user]").unwrap();
        assert!(register.fresh_users().knows("robert"));
        fs::remove_file(&path).unwrap();
        assert!(register.fresh_users().knows("robert"));
        write("eve").unwrap();
        assert!(register.fresh_users().knows("eve"));
    }
}
