//! One session: its loop, and what its commands come to.

mod errand;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until};

use super::Shared;
use super::command::{self, Command, Syntax, Verb};
use super::login::Login;
use super::offers::next_stranger;
use super::parameters::Parameters;
use super::protection::Protection;
use super::reply::Reply;
use super::wire::{Incoming, LINE_LIMIT, Wire};
use crate::data::{Offer, turned_away};
use crate::engine::Engine;
use crate::limits::{SessionPermit, Slots};
use crate::sessions::{CloseReason, Ends, Recorder, Totals, What};
use crate::settings::PassivePeer;
use crate::storage::VirtualPath;
use crate::tls::Tls;

pub(super) use errand::{Errand, Interruption};

/// How long a client may take to read that the server has cut it off.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long an engine stays open behind the last command that needed it. A class that looks at netstat between two
/// commands does not see the engine's loopback connection.
const ENGINE_IDLE: Duration = Duration::from_millis(500);

/// A session and everything it knows.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) waiting: VecDeque<Vec<u8>>,
    pub(super) recorder: Recorder,
    pub(super) totals: Totals,
    pub(super) engine: Engine,
    /// Who is logged in.
    pub(super) login: Option<Login>,
    /// What USER said, until PASS.
    pub(super) user: Option<Vec<u8>>,
    /// Logins tried in this session.
    pub(super) attempts: u32,
    pub(super) failed_logins: u32,
    /// Since when a login is waited for.
    pub(super) login_since: Instant,
    pub(super) directory: VirtualPath,
    pub(super) parameters: Parameters,
    /// Whether the connection was encrypted from its beginning.
    pub(super) implicit: bool,
    pub(super) protection: Protection,
    /// What the control connection was encrypted with.
    pub(super) tls: Option<Arc<Tls>>,
    /// The address of the next data connection.
    pub(super) offer: Option<Offer>,
    /// Since when there is an offer.
    pub(super) offered_at: Instant,
    /// Whether the last offer was taken back because nobody used it.
    pub(super) offer_expired: bool,
    /// This session's place among all.
    pub(super) permit: SessionPermit,
    /// How fast its transfers go, all together.
    pub(super) throttles: Slots,
    /// What RNFR said, until RNTO.
    pub(super) rename_from: Option<VirtualPath>,
    interrupted: Option<Interruption>,
}

/// What a command comes to: a reply, and perhaps the session's end.
pub(super) struct Answer {
    reply: Reply,
    close: Option<CloseReason>,
    /// Whether a TLS handshake follows.
    encrypt: bool,
}

impl Answer {
    /// A reply that ends the session.
    pub fn last(reply: Reply, reason: CloseReason) -> Self {
        Self { reply, close: Some(reason), encrypt: false }
    }

    /// A reply that a TLS handshake follows.
    pub fn then_encrypt(reply: Reply) -> Self {
        Self { reply, close: None, encrypt: true }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, close: None, encrypt: false }
    }
}

/// Serves one control connection to its end. An `implicit` one begins with a TLS handshake.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    listener: SocketAddr,
    ends: Ends,
    implicit: bool,
    permit: SessionPermit,
) {
    let recorder = shared.events.open_session(listener, ends, implicit);
    let mut session = Session {
        wire: Wire::new(stream),
        waiting: VecDeque::new(),
        recorder,
        totals: Totals::default(),
        engine: Engine::new(Arc::clone(&shared.in_force().accounts), Arc::clone(&shared.homes)),
        login: None,
        user: None,
        attempts: 0,
        failed_logins: 0,
        login_since: Instant::now(),
        directory: VirtualPath::root(),
        parameters: Parameters::default(),
        implicit,
        protection: Protection::at_first(implicit, shared.in_force().settings.tls.data),
        tls: None,
        offer: None,
        offered_at: Instant::now(),
        offer_expired: false,
        permit,
        throttles: Slots::default(),
        rename_from: None,
        interrupted: None,
        shared,
    };
    let reason = match session.run().await {
        // Who does not listen has been kicked all the same.
        Err(_) | Ok(CloseReason::ClientLeft) if session.recorder.kicked().is_cancelled() => CloseReason::Kicked,
        ended => ended.unwrap_or_else(|_| session.why_broken()),
    };
    let Session { wire, recorder, totals, engine, offer, login, permit, .. } = session;
    // The engine, the offered port and the user's place go before the client gets its last moment.
    drop((engine, offer, login));
    recorder.close(reason, totals);
    wire.close().await;
    // Only now is there a descriptor less.
    drop(permit);
}

impl Session {
    /// From the greeting to the end. An error says that the control connection broke.
    async fn run(&mut self) -> io::Result<CloseReason> {
        if self.implicit
            && let Err(reason) = Box::pin(self.encrypt()).await
        {
            return Ok(reason);
        }
        self.say(&Reply::new(220, self.shared.in_force().settings.server.greeting.as_str())).await?;
        loop {
            let line = match self.next_line().await? {
                Ok(line) => line,
                Err(reason) => {
                    self.farewell(reason).await?;
                    return Ok(reason);
                }
            };
            if let Some(reason) = self.obey(&line).await? {
                return Ok(reason);
            }
        }
    }

    /// The next command line, or why there is none.
    async fn next_line(&mut self) -> io::Result<Result<Vec<u8>, CloseReason>> {
        let shared = Arc::clone(&self.shared);
        let kicked = self.recorder.kicked().clone();
        if kicked.is_cancelled() {
            return Ok(Err(CloseReason::Kicked));
        }
        if shared.drain.is_cancelled() {
            return Ok(Err(CloseReason::Shutdown));
        }
        if let Some(line) = self.waiting.pop_front() {
            return Ok(Ok(line));
        }
        let in_force = shared.in_force();
        let server = &in_force.settings.server;
        let idle = Instant::now() + server.idle_timeout;
        let login = self.login_deadline();
        let (deadline, reason) = match self.login {
            None if login < idle => (login, CloseReason::LoginTimeout),
            _ => (idle, CloseReason::IdleTimeout),
        };
        let own = self.recorder.ends().client.ip();
        let screened = server.passive_peer == PassivePeer::SameAddress;
        let offer = self.offered_at + in_force.settings.limits.passive_offer_timeout;
        loop {
            tokio::select! {
                biased;
                () = kicked.cancelled() => return Ok(Err(CloseReason::Kicked)),
                () = shared.drain.cancelled() => return Ok(Err(CloseReason::Shutdown)),
                // Before the wire: a stream of commands does not put the end of the login time off.
                () = sleep_until(deadline.into()) => return Ok(Err(reason)),
                () = self.permit.must_make_way() => return Ok(Err(CloseReason::MadeWay)),
                () = sleep_until(offer.into()), if self.holds_a_port() => self.expire_offer(),
                incoming = self.wire.line() => return Ok(match incoming? {
                    Incoming::Line(line) => Ok(line),
                    Incoming::TooLong => Err(CloseReason::LineTooLong),
                    Incoming::End => Err(CloseReason::ClientLeft),
                }),
                ends = next_stranger(&mut self.offer, own), if screened => turned_away(&self.recorder, ends),
                () = sleep(ENGINE_IDLE), if self.engine.is_open() => self.engine.close(),
            }
        }
    }

    /// Tells the client why the session ends, where it did not end it by itself.
    async fn farewell(&mut self, reason: CloseReason) -> io::Result<()> {
        let in_force = self.shared.in_force();
        let server = &in_force.settings.server;
        let (code, text) = match reason {
            CloseReason::Shutdown => (421, "The server is shutting down. Come back later.".to_owned()),
            CloseReason::Kicked => (421, "An administrator has ended this session. Goodbye.".to_owned()),
            CloseReason::IdleTimeout => {
                (421, format!("Nothing came for {} s. Goodbye.", server.idle_timeout.as_secs()))
            }
            CloseReason::LoginTimeout => {
                (421, format!("No login within {} s. Goodbye.", server.login_timeout.as_secs()))
            }
            CloseReason::MadeWay => {
                (421, "Too many connections from your address have not logged in yet. Goodbye.".to_owned())
            }
            CloseReason::LineTooLong => (500, format!("A command line has {LINE_LIMIT} bytes at most. Goodbye.")),
            CloseReason::Quit
            | CloseReason::ClientLeft
            | CloseReason::FailedLogins
            | CloseReason::Overloaded
            | CloseReason::OtherProtocol
            | CloseReason::TlsFailed => return Ok(()),
        };
        self.say(&Reply::new(code, text)).await
    }

    /// Answers one line, and puts it on record.
    async fn obey(&mut self, line: &[u8]) -> io::Result<Option<CloseReason>> {
        let begun = Instant::now();
        let (verb, argument, answer) = match command::parse(line) {
            Err(_) if command::is_http(line) => {
                let reply = Reply::new(500, "This is FTP, and that was HTTP. Goodbye.");
                ("", String::new(), Answer::last(reply, CloseReason::OtherProtocol))
            }
            // A line that is no command is not put on record: it may be a password.
            Err((verb, reply)) => (verb, String::new(), Answer::from(reply)),
            Ok(command) => (command.syntax.name, self.printable_argument(&command), self.answer(command).await),
        };
        self.wire.queue(&answer.reply);
        self.record_command(verb, argument, &answer.reply, begun);
        let ended = match self.interrupted.take() {
            None => None,
            Some(Interruption::Abort(times)) => {
                // The second half of an ABOR (RFC 959, 4.1.3): the transfer got its 426 before.
                for _ in 0..times {
                    let reply = Reply::new(226, "ABOR: nothing is being transferred any more.");
                    self.wire.queue(&reply);
                    self.record_command("ABOR", String::new(), &reply, begun);
                }
                None
            }
            Some(Interruption::Left) => return Ok(Some(CloseReason::ClientLeft)),
            Some(Interruption::LineTooLong) => Some(CloseReason::LineTooLong),
            Some(Interruption::Shutdown) => Some(CloseReason::Shutdown),
            Some(Interruption::Kicked) => Some(CloseReason::Kicked),
        };
        match ended {
            Some(reason) => self.farewell(reason).await?,
            None => self.flush().await?,
        }
        if ended.is_none()
            && answer.encrypt
            && let Err(reason) = Box::pin(self.encrypt()).await
        {
            return Ok(Some(reason));
        }
        Ok(ended.or(answer.close))
    }

    fn record_command(&self, verb: &'static str, argument: String, reply: &Reply, begun: Instant) {
        self.recorder.record(What::Command { verb, argument, code: reply.code, duration: begun.elapsed() });
    }

    /// Does what a command asks for.
    async fn answer(&mut self, Command { syntax, argument }: Command) -> Answer {
        if let Some(reply) = self.refused(syntax, &argument) {
            return reply.into();
        }
        let argument = argument.as_slice();
        let reply = match syntax.verb {
            Verb::User => return self.user(argument).await,
            Verb::Pass => return self.pass(argument).await,
            Verb::Rein => self.reinitialize(),
            Verb::Quit => return Answer::last(self.goodbye(), CloseReason::Quit),
            Verb::Acct => Reply::new(202, "No account is needed here."),
            Verb::Host => self.host(),

            Verb::Auth => return self.authenticate(argument),
            Verb::Pbsz => self.protection_buffer_size(argument),
            Verb::Prot => self.protect(argument),
            Verb::Ccc => self.clear_command_channel(),

            Verb::Type => self.set_type(argument),
            Verb::Mode => self.mode(argument),
            Verb::Stru => self.structure(argument),
            Verb::Opts => self.options(argument),
            Verb::Rest => self.restart(argument),
            Verb::Allo => self.allocate(argument),

            Verb::Pasv => self.pasv().await,
            Verb::Epsv => self.epsv(argument),
            Verb::Port => self.port(argument),
            Verb::Eprt => self.eprt(argument),

            Verb::Pwd => self.print_directory(),
            Verb::Cwd => self.change_directory(argument).await.into(),
            Verb::Cdup => self.change_directory(b"..").await.into(),
            Verb::Mkd => self.make_directory(argument).await.into(),
            Verb::Rmd => self.remove_directory(argument).await.into(),
            Verb::Dele => self.delete(argument).await.into(),
            Verb::Rnfr => self.rename_from(argument).await.into(),
            Verb::Rnto => self.rename_to(argument).await.into(),
            Verb::Size => self.size(argument),
            Verb::Mdtm => self.modification_time(argument),
            Verb::Mfmt => self.set_modification_time(argument),
            Verb::Mlst => self.facts_of(argument),
            Verb::Site => self.site(argument),

            Verb::Retr => self.retrieve(syntax.name, argument).await,
            Verb::Stor | Verb::Appe => self.store(syntax.name, argument).await,
            Verb::Stou => self.store_unique(argument).await,
            Verb::List | Verb::Nlst | Verb::Mlsd => self.list(syntax, argument).await,
            Verb::Hash | Verb::Xmd5 | Verb::Xsha256 => self.hash(syntax.verb, argument).await,
            Verb::Abor => Reply::new(226, "There is nothing to abort."),

            Verb::Stat => self.status(argument),
            Verb::Help => self.help(argument),
            Verb::Feat => self.features(),
            Verb::Syst => Reply::new(215, "UNIX Type: L8"),
            Verb::Noop | Verb::Clnt => Reply::new(200, "OK."),
        };
        reply.into()
    }

    /// What has to come before this command is answered, whether something runs beside it or not.
    fn refused(&self, syntax: &Syntax, argument: &[u8]) -> Option<Reply> {
        let login = || {
            let missing = !syntax.before_login && self.login.is_none();
            missing.then(|| Reply::new(530, "Log in first, with USER and PASS."))
        };
        self.refused_in_clear(syntax.verb, argument).or_else(login)
    }

    /// Sends a reply at once.
    pub(super) async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        self.wire.queue(reply);
        self.flush().await
    }

    /// Sends what is queued. Nobody waits for a client that reads nothing when the session is cut off, or when it is a
    /// stranger's whose time is over or who has to make way: slow reading puts that off no more than silence does.
    async fn flush(&mut self) -> io::Result<()> {
        let (cut, kicked, deadline) = (self.shared.cut.clone(), self.recorder.kicked().clone(), self.login_deadline());
        let (make_way, is_stranger) = (self.permit.must_make_way(), self.login.is_none());
        let given_up = async {
            tokio::select! {
                () = cut.cancelled() => {}
                () = kicked.cancelled() => {}
                () = make_way => {}
                () = sleep_until(deadline.into()), if is_stranger => {}
            }
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            sent = self.wire.flush() => sent,
            () = given_up => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Until when somebody has to be logged in.
    fn login_deadline(&self) -> Instant {
        self.login_since + self.shared.in_force().settings.server.login_timeout
    }

    /// Why a session has ended whose control connection failed.
    fn why_broken(&self) -> CloseReason {
        match self.login {
            None if self.permit.makes_way() => CloseReason::MadeWay,
            None if Instant::now() > self.login_deadline() => CloseReason::LoginTimeout,
            _ => CloseReason::ClientLeft,
        }
    }

    /// The argument as it may be put on record.
    fn printable_argument(&self, command: &Command) -> String {
        let argument = &command.argument;
        match command.syntax.verb {
            Verb::Pass | Verb::Acct if !argument.is_empty() => "***".to_owned(),
            Verb::User => self.printable_user(argument),
            Verb::Site => without_answer(&String::from_utf8_lossy(argument)),
            _ => String::from_utf8_lossy(argument).into_owned(),
        }
    }
}

/// What a SITE command says without an answer to a lesson's task: whoever looks at commands may still have to find it.
fn without_answer(argument: &str) -> String {
    let words: Vec<&str> = argument.splitn(3, ' ').collect();
    match words[..] {
        [word, task, _] if word.eq_ignore_ascii_case("ANSWER") => format!("{word} {task} ***"),
        _ => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_nowhere_on_record_but_with_its_lesson() {
        for (argument, shown) in [
            ("answer A3 40001 user", "answer A3 ***"),
            ("ANSWER A3", "ANSWER A3"),
            ("HINT A3 x", "HINT A3 x"),
            ("CHMOD 644 a b", "CHMOD 644 a b"),
        ] {
            assert_eq!(without_answer(argument), shown);
        }
    }
}
