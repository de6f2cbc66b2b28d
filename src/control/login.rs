//! Who is there: USER, PASS, REIN, HOST, QUIT.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::parameters::Parameters;
use super::protection::Protection;
use super::reply::Reply;
use super::session::{Answer, Errand, Session};
use crate::accounts::{Account, Caller, Refusal, is_anonymous};
use crate::engine::{Engine, NotLetIn};
use crate::limits::{Slots, UserPermit};
use crate::sessions::{CloseReason, LoginOutcome, What};
use crate::storage::{Storage, VirtualPath};
use crate::tls::Subject;

/// Somebody who is logged in.
pub(super) struct Login {
    pub account: Arc<Account>,
    pub storage: Storage,
    /// A place among the account's sessions; guests need none.
    pub _place: Option<UserPermit>,
    /// How fast the transfers of all the account's sessions go.
    pub throttles: Arc<Mutex<Slots>>,
}

impl Session {
    /// USER. Whether there is such an account is told by nothing here.
    pub(super) async fn user(&mut self, name: &[u8]) -> Answer {
        self.log_out();
        let reply = match std::str::from_utf8(name) {
            Ok(name) if is_anonymous(name) => {
                Reply::new(331, "Anonymous login: give your e-mail address as the password.")
            }
            Ok(text) if self.shared.in_force().settings.tls.certificate_login && self.certificate().is_some() => {
                // What does not fit is no failed login: the password is still to come.
                if let Ok(admitted) = self.check(text, None).await {
                    self.attempts += 1;
                    return self.decide(name, Ok(admitted), 232);
                }
                Reply::new(331, "Now the password.")
            }
            _ => Reply::new(331, "Now the password."),
        };
        self.user = Some(name.to_vec());
        reply.into()
    }

    /// The subject of the certificate that the client has shown.
    fn certificate(&self) -> Option<Subject> {
        Subject::of(self.wire.client_certificate()?)
    }

    pub(super) async fn pass(&mut self, password: &[u8]) -> Answer {
        let Some(user) = self.user.take() else {
            return Reply::new(503, "Send USER first.").into();
        };
        self.attempts += 1;
        let result = match self.wait_for_turn(&user).await {
            Ok(()) => match std::str::from_utf8(&user) {
                Ok(name) => self.check(name, Some(password)).await,
                Err(_) => Err(NotLetIn::Refused(Refusal::UnknownUser)),
            },
            Err(refused) => Err(refused),
        };
        self.decide(&user, result, 230)
    }

    /// What becomes of a login of `user`; `welcome` is the code of the reply to one that is let in.
    fn decide(&mut self, user: &[u8], result: Result<(Arc<Account>, Storage), NotLetIn>, welcome: u16) -> Answer {
        let client = self.recorder.ends().client.ip();
        let place = result.as_ref().map_or(Ok(None), |(account, _)| self.place(account));
        let outcome = match &result {
            Ok(_) if place.is_err() => LoginOutcome::TooManySessions,
            Ok(_) => LoginOutcome::Ok,
            Err(NotLetIn::Refused(Refusal::UnknownUser)) => LoginOutcome::UnknownUser,
            Err(NotLetIn::Refused(Refusal::WrongPassword)) => LoginOutcome::WrongPassword,
            Err(NotLetIn::Refused(Refusal::Disabled)) => LoginOutcome::Disabled,
            Err(NotLetIn::Refused(Refusal::Expired)) => LoginOutcome::Expired,
            Err(NotLetIn::Refused(Refusal::NotFromHere)) => LoginOutcome::NotFromHere,
            Err(NotLetIn::Refused(Refusal::NoCertificate)) => LoginOutcome::NoCertificate,
            Err(NotLetIn::Refused(Refusal::AnonymousOff)) => LoginOutcome::AnonymousOff,
            Err(NotLetIn::Refused(Refusal::Stopping) | NotLetIn::NoHome | NotLetIn::Unavailable) => {
                LoginOutcome::Unavailable
            }
        };
        // Only now: the login may have read the accounts file again.
        let printable = self.printable_user(user);
        match &result {
            // A guest shows no password, so that is no reason to forget anything.
            Ok((account, _)) if !account.anonymous => self.shared.limits.login_succeeded(user, client),
            Err(NotLetIn::Refused(refusal)) if *refusal != Refusal::Stopping => {
                self.shared.limits.login_failed(user, &printable, client, Instant::now());
            }
            _ => {}
        }
        self.recorder.record(What::Login { user: printable, outcome, attempts: self.attempts });
        match (result, place) {
            (Ok((account, _)), Err(limit)) => {
                let text = format!("{} has as many sessions as it may have: {limit}. Close one of them.", account.name);
                Reply::new(530, text).into()
            }
            (Ok((account, storage)), Ok(place)) => self.welcome(welcome, account, storage, place).into(),
            (Err(NotLetIn::NoHome), _) => {
                Reply::new(530, "Your home directory cannot be opened. Tell the administrator.").into()
            }
            (Err(NotLetIn::Refused(Refusal::Stopping) | NotLetIn::Unavailable), _) => {
                let text = "The server cannot log anybody in just now. Try again in a moment.";
                Answer::last(Reply::new(421, text), CloseReason::Overloaded)
            }
            (Err(NotLetIn::Refused(_)), _) => {
                self.failed_logins += 1;
                let limit = self.shared.in_force().settings.limits.login_attempts;
                if self.failed_logins < limit {
                    return Reply::new(530, "This name and this password do not belong together.").into();
                }
                Answer::last(Reply::new(421, format!("{limit} logins failed. Goodbye.")), CloseReason::FailedLogins)
            }
        }
    }

    /// Waits as long as failed logins like this one ask for. It comes before the password is looked at, so a right one
    /// waits as well: how long the answer takes tells nothing.
    async fn wait_for_turn(&mut self, user: &[u8]) -> Result<(), NotLetIn> {
        // Guests show no password that somebody could guess.
        let is_guest = std::str::from_utf8(user)
            .is_ok_and(|name| is_anonymous(name) && self.shared.in_force().accounts.knows(name));
        let client = self.recorder.ends().client.ip();
        let wait = self.shared.limits.login_wait(user, client, Instant::now());
        let Some(wait) = wait.filter(|_| !is_guest) else { return Ok(()) };
        let (user, failures, seconds) = (self.printable_user(user), wait.failures, wait.duration.as_secs());
        self.recorder.record(What::LoginDelayed { user, failures, seconds });
        let (stop, drain, make_way) =
            (CancellationToken::new(), self.shared.drain.clone(), self.permit.must_make_way());
        let turn = async {
            tokio::select! {
                () = stop.cancelled() => Err(NotLetIn::Unavailable),
                () = drain.cancelled() => Err(NotLetIn::Unavailable),
                () = make_way => Err(NotLetIn::Unavailable),
                () = sleep(wait.duration) => Ok(()),
            }
        };
        self.beside(&stop, Errand::Turn, Box::pin(turn)).await
    }

    /// A place among the account's sessions, or how many it may have.
    fn place(&self, account: &Account) -> Result<Option<UserPermit>, u32> {
        if account.anonymous && account.max_sessions.is_none() {
            return Ok(None);
        }
        let limit = account.max_sessions.unwrap_or(self.shared.in_force().settings.limits.max_sessions_per_user);
        self.shared.limits.enter(&account.name, limit).map(Some).ok_or(limit)
    }

    /// Has the engine check who this is, and notices meanwhile when the connection breaks.
    async fn check(&mut self, name: &str, password: Option<&[u8]>) -> Result<(Arc<Account>, Storage), NotLetIn> {
        let caller = Caller { address: self.recorder.ends().client.ip(), certificate: self.certificate() };
        let stop = CancellationToken::new();
        // With the accounts that are in force now.
        let accounts = Arc::clone(&self.shared.in_force().accounts);
        let mut engine = Engine::new(accounts, Arc::clone(&self.shared.homes));
        let login = Box::pin(stop.run_until_cancelled(engine.login(name, password, caller)));
        let result = self.beside(&stop, Errand::Login, login).await;
        self.engine = engine;
        result.unwrap_or(Err(NotLetIn::Unavailable))
    }

    fn welcome(&mut self, code: u16, account: Arc<Account>, storage: Storage, place: Option<UserPermit>) -> Reply {
        let text = format!("Welcome, {}. You may {}.", account.name, account.rights.sentence());
        self.recorder.now().user = Some(account.name.clone());
        let throttles = self.shared.limits.throttles_of(&account.name, Instant::now());
        self.login = Some(Login { account, storage, _place: place, throttles });
        self.permit.set_authenticated(true);
        Reply::new(code, text)
    }

    /// REIN: as if the connection had just been made. One that is encrypted stays so, against RFC 4217: a client that goes
    /// on in clear behind a REIN is none that we know, and whoever slips a REIN in must not switch the encryption off.
    pub(super) fn reinitialize(&mut self) -> Reply {
        self.log_out();
        self.protection = Protection::at_first(self.implicit, self.shared.in_force().settings.tls.data);
        Reply::new(220, self.shared.in_force().settings.server.greeting.as_str())
    }

    pub(super) fn log_out(&mut self) {
        if self.login.is_some() {
            self.login_since = Instant::now();
        }
        self.engine.log_out();
        self.login = None;
        self.recorder.now().user = None;
        self.permit.set_authenticated(false);
        self.user = None;
        self.directory = VirtualPath::root();
        self.parameters = Parameters::default();
        self.offer = None;
        self.offer_expired = false;
        self.rename_from = None;
    }

    /// HOST (RFC 7151): every name leads to the one site there is, but only before the login.
    pub(super) fn host(&self) -> Reply {
        match self.login {
            Some(_) => Reply::new(503, "HOST comes before USER; send REIN first."),
            None => Reply::new(220, self.shared.in_force().settings.server.greeting.as_str()),
        }
    }

    pub(super) fn goodbye(&self) -> Reply {
        let (files, sent, received) = (self.totals.transfers, self.totals.bytes_sent, self.totals.bytes_received);
        Reply::new(221, format!("Goodbye. {files} transfers, {sent} bytes to you, {received} bytes from you."))
    }

    /// A user's name as it may be put on record: people type passwords at this prompt.
    pub(super) fn printable_user(&self, name: &[u8]) -> String {
        match std::str::from_utf8(name) {
            Ok(name) if self.shared.in_force().accounts.knows(name) => name.to_owned(),
            _ => "(unknown)".to_owned(),
        }
    }
}
