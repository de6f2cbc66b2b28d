//! One session: its loop, and what goes on beside a running transfer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::command::{self, Command, Verb};
use super::login::Login;
use super::parameters::Parameters;
use super::reply::Reply;
use super::status::Running;
use super::wire::{Incoming, LINE_LIMIT, Wire};
use crate::data::Offer;
use crate::engine::Engine;
use crate::sessions::{CloseReason, Ends, Recorder, Totals, What};
use crate::storage::VirtualPath;

/// Commands that may wait for a transfer's end. Further ones are refused, so that an ABOR behind them is still seen.
const WAITING_LIMIT: usize = 16;

/// How long an engine stays open behind the last command that needed it. A class that looks at netstat between two
/// commands does not see the engine's loopback connection.
const ENGINE_IDLE: Duration = Duration::from_millis(500);

/// A session and everything it knows.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    wire: Wire,
    waiting: VecDeque<Vec<u8>>,
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
    pub(super) directory: VirtualPath,
    pub(super) parameters: Parameters,
    /// The address of the next data connection.
    pub(super) offer: Option<Offer>,
    /// What RNFR said, until RNTO.
    pub(super) rename_from: Option<VirtualPath>,
    /// The transfer that is under way.
    pub(super) running: Option<Running>,
    interrupted: Option<Interruption>,
}

/// Something that ends a transfer from the control side.
#[derive(Debug)]
pub(super) enum Interruption {
    /// ABOR, this many times.
    Abort(u32),
    /// The control connection broke.
    Left,
    /// A command line over the limit.
    LineTooLong,
    /// The server was told to stop, and the grace period is over.
    Shutdown,
}

/// What a command comes to: a reply, and perhaps the session's end.
pub(super) struct Answer {
    reply: Reply,
    close: Option<CloseReason>,
}

impl Answer {
    /// A reply that ends the session.
    pub fn last(reply: Reply, reason: CloseReason) -> Self {
        Self { reply, close: Some(reason) }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, close: None }
    }
}

/// Serves one control connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream, listener: SocketAddr, ends: Ends) {
    let recorder = shared.events.open_session(listener, ends);
    let mut session = Session {
        wire: Wire::new(stream),
        waiting: VecDeque::new(),
        recorder,
        totals: Totals::default(),
        engine: Engine::new(Arc::clone(&shared.accounts), Arc::clone(&shared.homes)),
        login: None,
        user: None,
        attempts: 0,
        failed_logins: 0,
        directory: VirtualPath::root(),
        parameters: Parameters::default(),
        offer: None,
        rename_from: None,
        running: None,
        interrupted: None,
        shared,
    };
    let reason = session.run().await.unwrap_or(CloseReason::ClientLeft);
    // The engine and the offered port go before the client gets its last moment.
    let Session { wire, recorder, totals, .. } = session;
    recorder.close(reason, totals);
    wire.close().await;
}

impl Session {
    /// From the greeting to the end. An error says that the control connection broke.
    async fn run(&mut self) -> io::Result<CloseReason> {
        self.say(&Reply::new(220, self.shared.settings.server.greeting.as_str())).await?;
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
        if shared.drain.is_cancelled() {
            return Ok(Err(CloseReason::Shutdown));
        }
        if let Some(line) = self.waiting.pop_front() {
            return Ok(Ok(line));
        }
        let server = &shared.settings.server;
        let idle = Instant::now() + server.idle_timeout;
        let login = self.recorder.opened() + server.login_timeout;
        let (deadline, reason) = match self.login {
            None if login < idle => (login, CloseReason::LoginTimeout),
            _ => (idle, CloseReason::IdleTimeout),
        };
        loop {
            tokio::select! {
                biased;
                () = shared.drain.cancelled() => return Ok(Err(CloseReason::Shutdown)),
                incoming = self.wire.line() => return Ok(match incoming? {
                    Incoming::Line(line) => Ok(line),
                    Incoming::TooLong => Err(CloseReason::LineTooLong),
                    Incoming::End => Err(CloseReason::ClientLeft),
                }),
                () = sleep_until(deadline.into()) => return Ok(Err(reason)),
                () = sleep(ENGINE_IDLE), if self.engine.is_open() => self.engine.close(),
            }
        }
    }

    /// Tells the client why the session ends, where it did not end it by itself.
    async fn farewell(&mut self, reason: CloseReason) -> io::Result<()> {
        let server = &self.shared.settings.server;
        let (code, text) = match reason {
            CloseReason::Shutdown => (421, "The server is shutting down. Come back later.".to_owned()),
            CloseReason::IdleTimeout => {
                (421, format!("Nothing came for {} s. Goodbye.", server.idle_timeout.as_secs()))
            }
            CloseReason::LoginTimeout => {
                (421, format!("No login within {} s. Goodbye.", server.login_timeout.as_secs()))
            }
            CloseReason::LineTooLong => (500, format!("A command line has {LINE_LIMIT} bytes at most. Goodbye.")),
            CloseReason::Quit | CloseReason::ClientLeft | CloseReason::FailedLogins => return Ok(()),
        };
        self.say(&Reply::new(code, text)).await
    }

    /// Answers one line, and puts it on record.
    async fn obey(&mut self, line: &[u8]) -> io::Result<Option<CloseReason>> {
        let begun = Instant::now();
        let (verb, argument, answer) = match command::parse(line) {
            // A line that is no command is not put on record: it may be a password.
            Err(reply) => ("", String::new(), Answer::from(reply)),
            Ok(command) => (command.syntax.name, self.printable_argument(&command), self.answer(command).await?),
        };
        let said = self.say(&answer.reply).await;
        self.recorder.record(What::Command { verb, argument, code: answer.reply.code, duration: begun.elapsed() });
        said?;
        match self.interrupted.take() {
            None => Ok(answer.close),
            Some(Interruption::Abort(times)) => {
                for _ in 0..times {
                    self.abort_done(begun).await?;
                }
                Ok(answer.close)
            }
            Some(Interruption::Left) => Ok(Some(CloseReason::ClientLeft)),
            Some(Interruption::LineTooLong) => {
                self.farewell(CloseReason::LineTooLong).await?;
                Ok(Some(CloseReason::LineTooLong))
            }
            Some(Interruption::Shutdown) => {
                self.farewell(CloseReason::Shutdown).await?;
                Ok(Some(CloseReason::Shutdown))
            }
        }
    }

    /// The second half of an ABOR (RFC 959, 4.1.3): the transfer got its 426 before.
    async fn abort_done(&mut self, begun: Instant) -> io::Result<()> {
        self.say(&Reply::new(226, "ABOR: nothing is being transferred any more.")).await?;
        let (verb, argument) = ("ABOR", String::new());
        self.recorder.record(What::Command { verb, argument, code: 226, duration: begun.elapsed() });
        Ok(())
    }

    /// Does what a command asks for.
    async fn answer(&mut self, Command { syntax, argument }: Command) -> io::Result<Answer> {
        if !syntax.before_login && self.login.is_none() {
            return Ok(Reply::new(530, "Log in first, with USER and PASS.").into());
        }
        let argument = argument.as_slice();
        let reply = match syntax.verb {
            Verb::User => self.user(argument),
            Verb::Pass => return Ok(self.pass(argument).await),
            Verb::Rein => self.reinitialize(),
            Verb::Quit => return Ok(Answer::last(self.goodbye(), CloseReason::Quit)),
            Verb::Acct => Reply::new(202, "No account is needed here."),
            Verb::Host => self.host(),

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
            Verb::Cwd => self.change_directory(argument).await,
            Verb::Cdup => self.change_directory(b"..").await,
            Verb::Mkd => self.make_directory(argument).await,
            Verb::Rmd => self.remove_directory(argument).await,
            Verb::Dele => self.delete(argument).await,
            Verb::Rnfr => self.rename_from(argument).await,
            Verb::Rnto => self.rename_to(argument).await,
            Verb::Size => self.size(argument),
            Verb::Mdtm => self.modification_time(argument),
            Verb::Mfmt => self.set_modification_time(argument),
            Verb::Mlst => self.facts_of(argument),
            Verb::Site => self.site(argument),

            Verb::Retr => self.retrieve(syntax.name, argument).await?,
            Verb::Stor | Verb::Appe => self.store(syntax.name, argument).await?,
            Verb::Stou => self.store_unique(argument).await?,
            Verb::List | Verb::Nlst | Verb::Mlsd => self.list(syntax, argument).await?,
            Verb::Hash | Verb::Xmd5 | Verb::Xsha256 => self.hash(syntax.verb, argument).await?,
            Verb::Abor => Reply::new(226, "There is nothing to abort."),

            Verb::Stat => self.status(argument),
            Verb::Help => self.help(argument),
            Verb::Feat => self.features(),
            Verb::Syst => Reply::new(215, "UNIX Type: L8"),
            Verb::Noop | Verb::Clnt => Reply::new(200, "OK."),
        };
        Ok(reply.into())
    }

    /// Sends a reply.
    pub(super) async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        self.wire.say(reply).await
    }

    /// Runs `work`, and goes on reading the control connection beside it: ABOR cancels `stop`, STAT and NOOP are
    /// answered, everything else waits its turn. `work` must end soon after `stop`.
    pub(super) async fn beside<T>(&mut self, stop: &CancellationToken, work: impl Future<Output = T>) -> io::Result<T> {
        let shared = Arc::clone(&self.shared);
        let mut work = pin!(work);
        let mut listening = true;
        loop {
            tokio::select! {
                biased;
                incoming = self.wire.line(), if listening => match incoming {
                    Ok(Incoming::Line(line)) => self.line_beside(line).await?,
                    // The client may close its side behind its last command and still wait for what it asked for.
                    Ok(Incoming::End) => listening = false,
                    Ok(Incoming::TooLong) => self.interrupted = Some(Interruption::LineTooLong),
                    Err(_) => self.interrupted = Some(Interruption::Left),
                },
                () = shared.cut.cancelled(), if !stop.is_cancelled() => {
                    self.interrupted = Some(Interruption::Shutdown);
                }
                done = &mut work => return Ok(done),
            }
            if let Some(interruption) = &self.interrupted {
                stop.cancel();
                listening &= matches!(interruption, Interruption::Abort(_));
            }
        }
    }

    /// A command that comes while a transfer runs.
    async fn line_beside(&mut self, line: Vec<u8>) -> io::Result<()> {
        let command = command::parse(&line).ok();
        match command.as_ref().map(|command| command.syntax.verb) {
            Some(Verb::Abor) => {
                let times = if let Some(Interruption::Abort(times)) = self.interrupted { times } else { 0 };
                self.interrupted = Some(Interruption::Abort(times + 1));
            }
            // Replies keep their order: behind a command that waits, these wait too.
            Some(Verb::Stat | Verb::Noop) if self.waiting.is_empty() && self.interrupted.is_none() => {
                if let Some(Command { syntax, argument }) = command {
                    let begun = Instant::now();
                    let reply = if syntax.verb == Verb::Stat { self.status(&argument) } else { Reply::new(200, "OK.") };
                    self.say(&reply).await?;
                    let (verb, argument) = (syntax.name, String::from_utf8_lossy(&argument).into_owned());
                    self.recorder.record(What::Command { verb, argument, code: reply.code, duration: begun.elapsed() });
                }
            }
            _ if self.waiting.len() < WAITING_LIMIT => self.waiting.push_back(line),
            _ => {
                let text =
                    format!("{WAITING_LIMIT} commands wait for the transfer's end already; this one is dropped.");
                self.say(&Reply::new(503, text)).await?;
            }
        }
        Ok(())
    }

    /// Which interruption ended the running transfer.
    pub(super) fn interruption(&self) -> Option<&Interruption> {
        self.interrupted.as_ref()
    }

    /// The argument as it may be put on record.
    fn printable_argument(&self, command: &Command) -> String {
        let argument = &command.argument;
        match command.syntax.verb {
            Verb::Pass | Verb::Acct if !argument.is_empty() => "***".to_owned(),
            Verb::User => self.printable_user(argument),
            _ => String::from_utf8_lossy(argument).into_owned(),
        }
    }
}
