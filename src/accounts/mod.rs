//! Who may log in, with what password, to which home and with what rights.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::SystemTime;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::limits::ByteRates;
use crate::settings::{Faults, Settings};
use crate::storage::Amount;
use crate::storage::rights::Rights;
use crate::tls::Subject;
use register::Register;

pub(crate) mod edit;
pub(crate) mod exposed;
pub(crate) mod file;
mod given;
mod password;
pub(crate) mod privacy;
mod register;
mod terms;
pub(crate) mod writing;

pub use password::{LONGEST_PASSWORD, PasswordHash, check_password};
pub use terms::Terms;

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name; `anonymous` for all guests.
    pub name: String,
    /// The directory that is `/` for this account, as an absolute path. It may not exist.
    pub home: PathBuf,
    /// What the account may do below its home.
    pub rights: Rights,
    /// Whether this is a guest without a password.
    pub anonymous: bool,
    /// How many sessions it may have, whatever `limits.max_sessions_per_user` says; 0 for any number.
    pub max_sessions: Option<u32>,
    /// How fast the files of all its sessions may go.
    pub rates: ByteRates,
    /// How much there may be below its home.
    pub quota: Amount,
    /// How its home is made when it is missing at a login, if it is.
    pub new_home: Option<NewHome>,
}

/// Who asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub address: IpAddr,
    /// The subject of the certificate that the client has shown.
    pub(crate) certificate: Option<Subject>,
}

/// How a missing home is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewHome {
    /// The directory whose contents it gets; `None` for an empty home.
    pub template: Option<PathBuf>,
}

/// Why somebody was not let in. Clients are told the same for each; the log tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such user.
    UnknownUser,
    /// There is, but the password is another.
    WrongPassword,
    /// The password is right, but the account is not enabled.
    Disabled,
    /// The password is right, but the account's last day is over.
    Expired,
    /// The password is right, but the client's address is not among those of the account.
    NotFromHere,
    /// The password is right, but the client has not shown the certificate that the account names.
    NoCertificate,
    /// `anonymous` or `ftp`, which the settings keep out.
    AnonymousOff,
    /// The password could not be checked, because the server is stopping.
    Stopping,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "there is no such user",
            Self::WrongPassword => "wrong password",
            Self::Disabled => "the account is disabled",
            Self::Expired => "the account has expired",
            Self::NotFromHere => "the account may not log in from this address",
            Self::NoCertificate => "the client has not shown the account's certificate",
            Self::AnonymousOff => "anonymous users are not let in",
            Self::Stopping => "the server is stopping",
        })
    }
}

/// Everybody who may log in. Edits of the accounts file take effect at the next login.
#[derive(Debug)]
pub struct Accounts {
    register: Arc<Register>,
    /// A check keeps a core and tens of megabytes busy: at most one a core.
    checks: Arc<Semaphore>,
}

/// Whether this is one of the names of guests, in any case, as old clients write it.
pub fn is_anonymous(name: &str) -> bool {
    ["anonymous", "ftp"].iter().any(|guest| guest.eq_ignore_ascii_case(name))
}

impl Accounts {
    /// Reads the accounts file that the settings name, if any. Homes need not exist.
    pub fn load(settings: &Settings) -> Result<Self, Faults> {
        Self::checked_by(Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))), settings)
    }

    /// Reads the accounts again, as these settings say. Checks that run already keep their cores.
    pub fn load_again(&self, settings: &Settings) -> Result<Self, Faults> {
        Self::checked_by(Arc::clone(&self.checks), settings)
    }

    fn checked_by(checks: Arc<Semaphore>, settings: &Settings) -> Result<Self, Faults> {
        let root = file::Root::of(settings)?;
        let register = Arc::new(Register::load(&settings.accounts, root)?);
        Ok(Self { register, checks })
    }

    /// Every account, the guests' last.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        let users = self.register.users();
        users.accounts().chain(users.guests().cloned()).collect()
    }

    /// Whether there is a user of this name; guests count when they are let in.
    pub fn knows(&self, name: &str) -> bool {
        let users = self.register.users();
        users.knows(name) || (is_anonymous(name) && users.guests().is_some())
    }

    /// The account of `name`, if `password` is its password and `caller` may log in to it now. Guests may have any
    /// password. `None` for the password will do where the account names a certificate, and `caller` has shown that.
    pub async fn authenticate(
        &self,
        name: &str,
        password: Option<&[u8]>,
        caller: &Caller,
    ) -> Result<Arc<Account>, Refusal> {
        if is_anonymous(name) {
            if !self.register.is_fresh() {
                let register = Arc::clone(&self.register);
                spawn_blocking(move || drop(register.fresh_users())).await.map_err(|_| Refusal::Stopping)?;
            }
            return self.register.users().check_guest(caller, SystemTime::now());
        }
        let permit = self.checks.clone().acquire_owned().await.map_err(|_| Refusal::Stopping)?;
        let (register, name, caller) = (Arc::clone(&self.register), name.to_owned(), caller.clone());
        let password = password.map(<[u8]>::to_owned);
        let check = spawn_blocking(move || {
            let result = register.fresh_users().check(&name, password.as_deref(), &caller, SystemTime::now());
            // Held by the work itself: a client that hangs up does not make room for another check beside it.
            drop(permit);
            result
        });
        check.await.map_err(|_| Refusal::Stopping)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Anonymous;

    const HERE: Caller = Caller { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), certificate: None };

    /// A file with one user, and its accounts.
    fn accounts(anonymous: Anonymous) -> (tempfile::NamedTempFile, Accounts) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hash = PasswordHash::create(b"mooring").unwrap().to_text();
        std::fs::write(&file, format!("[[user]]\nname = \"ann\"\npassword = \"{hash}\"\n")).unwrap();
        let mut settings = Settings::default();
        settings.accounts.file = Some(file.path().to_owned());
        settings.accounts.anonymous = anonymous;
        (file, Accounts::load(&settings).unwrap())
    }

    #[tokio::test]
    async fn right_password_opens_the_account_and_a_wrong_one_does_not() {
        let (_file, accounts) = accounts(Anonymous::ReadOnly);
        let ann = accounts.authenticate("ann", Some(b"mooring"), &HERE).await.unwrap();
        assert_eq!((&*ann.name, ann.anonymous), ("ann", false));
        assert_eq!(accounts.authenticate("ann", Some(b""), &HERE).await, Err(Refusal::WrongPassword));
        assert_eq!(accounts.authenticate("Ann", Some(b"mooring"), &HERE).await, Err(Refusal::UnknownUser));
        assert!(accounts.knows("ann") && !accounts.knows("Ann"));
    }

    #[tokio::test]
    async fn guests_need_no_password_where_they_are_let_in() {
        let (_file, open) = accounts(Anonymous::ReadOnly);
        for name in ["anonymous", "ftp", "Anonymous"] {
            assert!(open.knows(name));
            assert!(open.authenticate(name, Some(b""), &HERE).await.unwrap().anonymous);
        }
        let (_file, closed) = accounts(Anonymous::Off);
        assert!(!closed.knows("ftp"));
        assert_eq!(closed.authenticate("ftp", Some(b"x"), &HERE).await, Err(Refusal::AnonymousOff));
    }

    #[tokio::test]
    async fn checks_do_not_outnumber_the_cores() {
        let (_file, accounts) = accounts(Anonymous::ReadOnly);
        let cores = accounts.checks.available_permits();
        let taken = accounts.checks.acquire_many(u32::try_from(cores).unwrap()).await.unwrap();
        let check = accounts.authenticate("nobody", Some(b"x"), &HERE);
        tokio::pin!(check);
        assert!(is_pending(check.as_mut()).await);
        drop(taken);
        assert_eq!(check.await, Err(Refusal::UnknownUser));
    }

    async fn is_pending(check: impl Future) -> bool {
        tokio::time::timeout(std::time::Duration::ZERO, check).await.is_err()
    }
}
