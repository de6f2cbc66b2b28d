//! The engine: libunftp, the authority for login and for changes to the namespace, behind one door.
//!
//! A session that needs it opens one, asks it one line at a time and reads the reply's code; the true reason of a
//! refusal lies on the [`Desk`] that the session shares with the engine's authenticator and storage. What control
//! asks is always a line that the engine can parse: absolute normalised paths, escaped to ASCII.
//!
//! An engine is served over a TCP pair on loopback and costs three file descriptors, so a session that idles closes
//! it; the next command opens another, which logs in again with a one-time ticket instead of the password.

mod backend;
mod escape;
mod login;
mod pair;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libunftp::ServerBuilder;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::accounts::{Account, Accounts, Caller, Refusal};
use crate::storage::{Fault, FaultKind, Storage, VirtualPath};

use backend::Backend;
pub(crate) use backend::Homes;
use login::{Doorkeeper, Guestbook, Visitor};

/// How long the engine may take for one command. It covers a hanging network file system; an engine that is late is
/// thrown away.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a login may take: password checks wait for each other, one a core.
const LOGIN_PATIENCE: Duration = Duration::from_secs(300);

/// What the engine is asked to do with a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request<'a> {
    /// CWD: may it become the working directory?
    Enter,
    /// MKD
    MakeDirectory,
    /// RMD
    RemoveDirectory,
    /// DELE
    Delete,
    /// RNFR: is there something to rename?
    Find,
    /// RNFR with this path and RNTO in one, so that no engine needs to remember anything between two commands.
    RenameFrom(&'a VirtualPath),
}

/// Why somebody was not let in.
#[derive(Debug)]
pub(crate) enum NotLetIn {
    /// The accounts say no.
    Refused(Refusal),
    /// The account's home directory cannot be opened.
    NoHome,
    /// The engine failed, or there was no room for one.
    Unavailable,
}

/// What a session and its engine share: who is at the door, and what became of the last request.
#[derive(Debug, Default)]
struct Desk {
    papers: Mutex<Papers>,
    /// The session wants nothing any more, not even a password checked.
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Papers {
    /// Who wants in. Taken by the first look, so that it serves once.
    claim: Option<Claim>,
    /// Who was let in by the last claim, or why nobody was.
    admitted: Option<Result<Visitor, NotLetIn>>,
    /// Why the last request was refused.
    fault: Option<Fault>,
}

enum Claim {
    Password {
        name: String,
        /// `None` when a certificate stands for it.
        password: Option<Vec<u8>>,
        caller: Caller,
    },
    /// Logged in before; nothing is checked again.
    Ticket(Visitor),
}

/// Without the password: the engine's spans print whatever they can reach.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(***)",
            Self::Ticket(_) => "Ticket",
        })
    }
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our end of an engine's connection.
#[derive(Debug)]
struct Line {
    stream: BufReader<TcpStream>,
    _gone: DropGuard,
}

/// A session's door to its engine.
#[derive(Debug)]
pub(crate) struct Engine {
    accounts: Arc<Accounts>,
    homes: Arc<Homes>,
    desk: Arc<Desk>,
    line: Option<Line>,
    visitor: Option<Visitor>,
}

impl Engine {
    pub fn new(accounts: Arc<Accounts>, homes: Arc<Homes>) -> Self {
        Self { accounts, homes, desk: Arc::default(), line: None, visitor: None }
    }

    /// Logs `name` in, with a password or a certificate, and gives what the account may do and reach.
    pub async fn login(
        &mut self,
        name: &str,
        password: Option<&[u8]>,
        caller: Caller,
    ) -> Result<(Arc<Account>, Storage), NotLetIn> {
        self.log_out();
        let claim = Claim::Password { name: name.to_owned(), password: password.map(<[u8]>::to_owned), caller };
        let visitor = self.open(claim).await?;
        self.visitor = Some(visitor.clone());
        Ok((visitor.account, visitor.room.storage.clone()))
    }

    /// Forgets who is logged in (REIN, a second USER).
    pub fn log_out(&mut self) {
        self.close();
        self.visitor = None;
    }

    /// Gives the engine's descriptors back; the next request opens another.
    pub fn close(&mut self) {
        self.line = None;
    }

    /// Whether an engine is open.
    pub fn is_open(&self) -> bool {
        self.line.is_some()
    }

    /// Does what is requested, or says why not.
    pub async fn request(&mut self, request: Request<'_>, path: &VirtualPath) -> Result<(), Fault> {
        self.ensure_open().await?;
        let done = match request {
            Request::Enter => self.ask_about("CWD", path).await?,
            Request::MakeDirectory => self.ask_about("MKD", path).await?,
            Request::RemoveDirectory => self.ask_about("RMD", path).await?,
            Request::Delete => self.ask_about("DELE", path).await?,
            Request::Find => self.ask_about("RNFR", path).await?,
            Request::RenameFrom(from) => match self.ask_about("RNFR", from).await? {
                350 => self.ask_about("RNTO", path).await?,
                refused => refused,
            },
        };
        let fault = self.desk.papers().fault.take();
        match (done, fault) {
            (250 | 257 | 350, None) => Ok(()),
            (_, Some(fault)) => Err(fault),
            (code, None) => Err(broken(&format!("it answered {code}"))),
        }
    }

    async fn ensure_open(&mut self) -> Result<(), Fault> {
        if self.is_open() {
            return Ok(());
        }
        let Some(visitor) = self.visitor.clone() else {
            return Err(broken("nobody is logged in"));
        };
        match self.open(Claim::Ticket(visitor)).await {
            Ok(_) => Ok(()),
            Err(reason) => Err(broken(&format!("it refused a ticket: {reason:?}"))),
        }
    }

    /// Opens an engine and logs in with what `claim` says.
    async fn open(&mut self, claim: Claim) -> Result<Visitor, NotLetIn> {
        self.desk = Arc::default();
        self.desk.papers().claim = Some(claim);
        let code = self.open_with_desk().await;
        match (code, self.desk.papers().admitted.take()) {
            (Ok(230), Some(Ok(visitor))) => return Ok(visitor),
            (_, Some(Err(reason))) => {
                self.line = None;
                return Err(reason);
            }
            (code, _) => tracing::error!(?code, "no engine for a login"),
        }
        self.line = None;
        Err(NotLetIn::Unavailable)
    }

    async fn open_with_desk(&mut self) -> io::Result<u16> {
        let (ours, theirs) = pair::connect().await?;
        let (desk, accounts, homes) = (Arc::clone(&self.desk), Arc::clone(&self.accounts), Arc::clone(&self.homes));
        let gone = desk.gone.clone().drop_guard();
        serve(Doorkeeper { desk, accounts, homes }, theirs);
        self.line = Some(Line { stream: BufReader::new(ours), _gone: gone });
        self.reply(PATIENCE).await?;
        // The names are the desk's business; the engine gets constants that it can always parse.
        self.ask("USER session", PATIENCE).await?;
        self.ask("PASS ticket", LOGIN_PATIENCE).await
    }

    async fn ask_about(&mut self, verb: &str, path: &VirtualPath) -> Result<u16, Fault> {
        let line = format!("{verb} {}", escape::to_ascii(path.as_bytes()));
        self.ask(&line, PATIENCE).await.map_err(|error| broken(&error.to_string()))
    }

    /// Asks one line and reads the reply's code. A dropped call leaves no engine behind that still owes a reply: the
    /// line is taken out while it is used and put back when it has answered.
    async fn ask(&mut self, line: &str, limit: Duration) -> io::Result<u16> {
        let mut engine = self.line.take().ok_or(io::ErrorKind::NotConnected)?;
        engine.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
        self.line = Some(engine);
        self.reply(limit).await
    }

    /// Reads a reply to its last line.
    async fn reply(&mut self, limit: Duration) -> io::Result<u16> {
        let mut engine = self.line.take().ok_or(io::ErrorKind::NotConnected)?;
        let code = timeout(limit, last_line_code(&mut engine.stream)).await??;
        self.line = Some(engine);
        Ok(code)
    }
}

async fn last_line_code(engine: &mut BufReader<TcpStream>) -> io::Result<u16> {
    let mut line = String::new();
    loop {
        line.clear();
        if engine.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A line of a multi-line reply has something other than a space behind the code, or no code at all.
        let (code, rest) = line.split_at_checked(3).unwrap_or((&line, ""));
        if let (Ok(code), true) = (code.parse(), rest.starts_with([' ', '\r'])) {
            return Ok(code);
        }
    }
}

/// Serves one engine until our end of the pair is closed.
fn serve(doorkeeper: Doorkeeper, stream: TcpStream) {
    let desk = Arc::clone(&doorkeeper.desk);
    let guestbook = Arc::new(Guestbook(Arc::clone(&desk)));
    let server = ServerBuilder::with_user_detail_provider(Box::new(move || Backend::new(Arc::clone(&desk))), guestbook)
        .authenticator(Arc::new(doorkeeper))
        // Its clock writes a 221 that nobody asked for; idling is control's business.
        .idle_session_timeout(u64::MAX)
        .logger(slog::Logger::root(ToTracing, slog::o!()))
        .build();
    match server {
        // The task ends when the session drops its end of the pair, in milliseconds.
        Ok(server) => drop(tokio::spawn(server.service(stream))),
        Err(error) => tracing::error!(%error, "the engine does not start"),
    }
}

/// The engine's own log, which it writes with slog; seen at level `trace` only.
#[derive(Debug)]
struct ToTracing;

impl slog::Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        tracing::trace!("{}", record.msg());
        Ok(())
    }
}

fn broken(what: &str) -> Fault {
    tracing::error!(what, "the engine failed");
    Fault::new(FaultKind::Local, "The server's storage engine did not do it. Try again in a moment.")
}
