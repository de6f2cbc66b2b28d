//! Who is there: USER, PASS, REIN, HOST, QUIT.

use std::sync::Arc;

use super::parameters::Parameters;
use super::reply::Reply;
use super::session::{Answer, Session};
use crate::accounts::{Account, Refusal};
use crate::engine::NotLetIn;
use crate::sessions::{CloseReason, LoginOutcome, What};
use crate::storage::rights::Rights;
use crate::storage::{Storage, VirtualPath};

/// Failed logins that end a session, as in vsftpd and ProFTPD.
const FAILED_LOGIN_LIMIT: u32 = 3;

/// Somebody who is logged in.
pub(super) struct Login {
    pub account: Arc<Account>,
    pub storage: Storage,
}

impl Session {
    /// USER. Whether there is such an account is told by nothing here.
    pub(super) fn user(&mut self, name: &[u8]) -> Reply {
        self.log_out();
        self.user = Some(name.to_vec());
        match name {
            b"anonymous" | b"ftp" => Reply::new(331, "Anonymous login: give your e-mail address as the password."),
            _ => Reply::new(331, "Now the password."),
        }
    }

    pub(super) async fn pass(&mut self, password: &[u8]) -> Answer {
        let Some(user) = self.user.take() else {
            return Reply::new(503, "Send USER first.").into();
        };
        self.attempts += 1;
        let result = match std::str::from_utf8(&user) {
            Ok(name) => self.engine.login(name, password).await,
            Err(_) => Err(NotLetIn::Refused(Refusal::UnknownUser)),
        };
        let outcome = match &result {
            Ok(_) => LoginOutcome::Ok,
            Err(NotLetIn::Refused(Refusal::UnknownUser)) => LoginOutcome::UnknownUser,
            Err(NotLetIn::Refused(Refusal::WrongPassword)) => LoginOutcome::WrongPassword,
            Err(NotLetIn::Refused(Refusal::AnonymousOff)) => LoginOutcome::AnonymousOff,
            Err(NotLetIn::Refused(Refusal::Stopping) | NotLetIn::Unavailable(_)) => LoginOutcome::Unavailable,
        };
        // Only now: the login may have read the accounts file again.
        let printable = self.printable_user(&user);
        self.recorder.record(What::Login { user: printable, outcome, attempts: self.attempts });
        match result {
            Ok((account, storage)) => self.welcome(account, storage).into(),
            Err(NotLetIn::Unavailable(reason)) => Reply::new(530, reason).into(),
            Err(NotLetIn::Refused(_)) => {
                self.failed_logins += 1;
                if self.failed_logins < FAILED_LOGIN_LIMIT {
                    return Reply::new(530, "This name and this password do not belong together.").into();
                }
                let text = format!("{FAILED_LOGIN_LIMIT} logins failed. Goodbye.");
                Answer::last(Reply::new(421, text), CloseReason::FailedLogins)
            }
        }
    }

    fn welcome(&mut self, account: Arc<Account>, storage: Storage) -> Reply {
        let may = match account.rights {
            Rights::ReadOnly => "list and download",
            Rights::ReadWrite => "list, download and upload",
        };
        let text = format!("Welcome, {}. You may {may}.", account.name);
        self.login = Some(Login { account, storage });
        Reply::new(230, text)
    }

    /// REIN: as if the connection had just been made.
    pub(super) fn reinitialize(&mut self) -> Reply {
        self.log_out();
        Reply::new(220, self.shared.settings.server.greeting.as_str())
    }

    fn log_out(&mut self) {
        self.engine.log_out();
        self.login = None;
        self.user = None;
        self.directory = VirtualPath::root();
        self.parameters = Parameters::default();
        self.offer = None;
        self.rename_from = None;
    }

    /// HOST (RFC 7151): every name leads to the one site there is, but only before the login.
    pub(super) fn host(&self) -> Reply {
        match self.login {
            Some(_) => Reply::new(503, "HOST comes before USER; send REIN first."),
            None => Reply::new(220, self.shared.settings.server.greeting.as_str()),
        }
    }

    pub(super) fn goodbye(&self) -> Reply {
        let (files, sent, received) = (self.totals.transfers, self.totals.bytes_sent, self.totals.bytes_received);
        Reply::new(221, format!("Goodbye. {files} transfers, {sent} bytes to you, {received} bytes from you."))
    }

    /// A user's name as it may be put on record: people type passwords at this prompt.
    pub(super) fn printable_user(&self, name: &[u8]) -> String {
        match std::str::from_utf8(name) {
            Ok(name) if self.shared.accounts.knows(name) => name.to_owned(),
            _ => "(unknown)".to_owned(),
        }
    }
}
