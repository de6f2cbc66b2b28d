//! Who is there: USER, PASS, REIN, HOST, QUIT.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::parameters::Parameters;
use super::reply::Reply;
use super::session::{Answer, AtEnd, Session};
use crate::accounts::{Account, Refusal, is_anonymous};
use crate::engine::{Engine, NotLetIn};
use crate::sessions::{CloseReason, LoginOutcome, What};
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
        match std::str::from_utf8(name) {
            Ok(name) if is_anonymous(name) => {
                Reply::new(331, "Anonymous login: give your e-mail address as the password.")
            }
            _ => Reply::new(331, "Now the password."),
        }
    }

    pub(super) async fn pass(&mut self, password: &[u8]) -> Answer {
        let Some(user) = self.user.take() else {
            return Reply::new(503, "Send USER first.").into();
        };
        self.attempts += 1;
        let result = match std::str::from_utf8(&user) {
            Ok(name) => self.check(name, password).await,
            Err(_) => Err(NotLetIn::Refused(Refusal::UnknownUser)),
        };
        let outcome = match &result {
            Ok(_) => LoginOutcome::Ok,
            Err(NotLetIn::Refused(Refusal::UnknownUser)) => LoginOutcome::UnknownUser,
            Err(NotLetIn::Refused(Refusal::WrongPassword)) => LoginOutcome::WrongPassword,
            Err(NotLetIn::Refused(Refusal::Disabled)) => LoginOutcome::Disabled,
            Err(NotLetIn::Refused(Refusal::Expired)) => LoginOutcome::Expired,
            Err(NotLetIn::Refused(Refusal::NotFromHere)) => LoginOutcome::NotFromHere,
            Err(NotLetIn::Refused(Refusal::AnonymousOff)) => LoginOutcome::AnonymousOff,
            Err(NotLetIn::Refused(Refusal::Stopping) | NotLetIn::NoHome | NotLetIn::Unavailable) => {
                LoginOutcome::Unavailable
            }
        };
        // Only now: the login may have read the accounts file again.
        let printable = self.printable_user(&user);
        self.recorder.record(What::Login { user: printable, outcome, attempts: self.attempts });
        match result {
            Ok((account, storage)) => self.welcome(account, storage).into(),
            Err(NotLetIn::NoHome) => {
                Reply::new(530, "Your home directory cannot be opened. Tell the administrator.").into()
            }
            Err(NotLetIn::Refused(Refusal::Stopping) | NotLetIn::Unavailable) => {
                let text = "The server cannot log anybody in just now. Try again in a moment.";
                Answer::last(Reply::new(421, text), CloseReason::Overloaded)
            }
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

    /// Has the engine check who this is, and notices meanwhile when the connection breaks.
    async fn check(&mut self, name: &str, password: &[u8]) -> Result<(Arc<Account>, Storage), NotLetIn> {
        let stop = CancellationToken::new();
        let idle = Engine::new(Arc::clone(&self.shared.accounts), Arc::clone(&self.shared.homes));
        let mut engine = std::mem::replace(&mut self.engine, idle);
        let login = stop.run_until_cancelled(engine.login(name, password, self.recorder.ends().client.ip()));
        let result = self.beside(&stop, AtEnd::GoOn, login).await;
        self.engine = engine;
        result.unwrap_or(Err(NotLetIn::Unavailable))
    }

    fn welcome(&mut self, account: Arc<Account>, storage: Storage) -> Reply {
        let text = format!("Welcome, {}. You may {}.", account.name, account.rights.sentence());
        self.login = Some(Login { account, storage });
        Reply::new(230, text)
    }

    /// REIN: as if the connection had just been made.
    pub(super) fn reinitialize(&mut self) -> Reply {
        self.log_out();
        Reply::new(220, self.shared.settings.server.greeting.as_str())
    }

    fn log_out(&mut self) {
        if self.login.is_some() {
            self.login_since = Instant::now();
        }
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
