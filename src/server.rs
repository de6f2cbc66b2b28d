//! The server as a whole: its listeners, its sessions, and their end.

use std::fmt;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::{exposed, writing};
use crate::blocking;
use crate::control::{Announced, InForce, Practice, Shared, serve, serve_probe};
use crate::engine::Homes;
use crate::limits::{Limits, RememberedFailures, files};
use crate::reach::{self, Clients, Surroundings};
use crate::sessions::{Connection, ConnectionKind, Ends, Events, RefusedBecause, Whose};
use crate::settings::{Faults, Settings};
use crate::storage::Amount;

pub(crate) mod listeners;
mod reload;

pub use listeners::Inherited;
use listeners::{bind_all, take_over};
use reload::Reloading;
pub use reload::{Commit, Part, Reloaded};

/// The pause behind a failed accept. Out of descriptors, say, the next would fail at once and spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long sessions that are cut off may take for their last words.
const CUT_LIMIT: Duration = Duration::from_secs(2);

/// What a new root contains.
const WELCOME: (&str, &str) = (
    "welcome.txt",
    "This file came to you over FTP.\n\n\
     Your client asked for it on the control connection, and it arrived on a data connection.\n\
     Each has a port at both ends: `netstat -n` or `ss -tn` on your computer shows them,\n\
     and the server's log shows the same numbers.\n",
);

/// A running server. Dropping it stops nothing; [`Server::shut_down`] does. A clone is the same server.
#[derive(Debug, Clone)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    /// How many of the last addresses are for implicit FTPS.
    implicit: usize,
    sessions: TaskTracker,
    reloading: Arc<Mutex<Reloading>>,
    /// Who reloads now.
    reload_turn: Arc<tokio::sync::Mutex<()>>,
}

/// The quotas' books of the homes of a server.
#[derive(Debug, Clone)]
pub struct HomeBooks(Arc<Homes>);

impl HomeBooks {
    /// Somebody beside the sessions has made files in this home and removed others.
    pub fn changed_beside(&self, home: &Path, made: Amount, gone: Amount) -> io::Result<()> {
        self.0.changed_beside(home, made, gone)
    }
}

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The settings or the accounts file are wrong.
    Configuration(Faults),
    /// A control port could not be bound.
    Bind(String),
    /// Something else of the system, with what was attempted.
    System(String, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(faults) => faults.fmt(f),
            Self::Bind(reason) => f.write_str(reason),
            Self::System(attempt, error) => write!(f, "{attempt}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Starts a server: prepares the root, reads the accounts, binds every listener, and accepts from then on. It
    /// needs a multi-threaded tokio runtime, since transfers block their thread on the disk now and then.
    ///
    /// The process's umask becomes `storage.umask`.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_on(settings, Vec::new()).await
    }

    /// The same on sockets that somebody else has bound, those for implicit FTPS last; where there are any,
    /// `server.listen` and `tls.implicit` say nothing.
    pub async fn start_on(settings: Settings, inherited: Vec<Inherited>) -> Result<Self, StartError> {
        // The root comes first: homes are looked up below it, through its links.
        let homes = prepare_root(&settings)?;
        let in_force = reload::prepare(&settings, None).map_err(StartError::Configuration)?;
        let listeners = match inherited.is_empty() {
            true => bind_all(&settings)?,
            false => take_over(inherited, in_force.tls.is_some())?,
        };
        if let Some(advice) = files::advice(&settings, listeners.len(), false) {
            tracing::warn!("{advice}");
        }
        let around = Surroundings::look();
        advice(&in_force, &around).iter().for_each(|text| tracing::warn!("{text}"));
        let shared = Arc::new(Shared {
            homes: Arc::new(homes),
            limits: Limits::new(settings.limits.clone()),
            events: Events::new(),
            probes: Arc::default(),
            practice: OnceLock::new(),
            clients: Clients::behind(around.gateway),
            unreachable_said: Once::new(),
            hashing: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            current: ArcSwap::from_pointee(in_force),
        });
        blocking::watch(Arc::downgrade(&shared))
            .map_err(|error| StartError::System("starting a thread".to_owned(), error))?;
        let (mut addresses, implicit) = (Vec::new(), listeners.iter().filter(|(_, implicit)| *implicit).count());
        let sessions = TaskTracker::new();
        for (listener, implicit) in listeners {
            let address = listener.local_addr();
            let address = address.map_err(|error| StartError::System("reading a bound address".to_owned(), error))?;
            addresses.push(address);
            sessions.spawn(accept(listener, address, implicit, Arc::clone(&shared), sessions.clone()));
        }
        Ok(Self { shared, addresses, implicit, sessions, reloading: Arc::default(), reload_turn: Arc::default() })
    }

    /// The addresses of the control listeners, with the ports that they really have; those for implicit FTPS come last.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.in_force().settings)
    }

    /// Everything that happens in the sessions, from now on.
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// Its sockets: the listeners, and of each session the control connection, the passive port on offer and the data
    /// connection.
    pub fn connections(&self) -> Vec<Connection> {
        let mut connections = self.listeners();
        connections.extend(self.shared.events.live().connections());
        connections
    }

    /// The listeners among them.
    pub fn listeners(&self) -> Vec<Connection> {
        let implicit = self.addresses.len() - self.implicit;
        let row = |(index, &address)| Connection {
            tls: index >= implicit,
            ..Connection::listening(ConnectionKind::Listener, address)
        };
        self.addresses.iter().enumerate().map(row).collect()
    }

    /// How many passive ports are offered now, and how many there are.
    pub fn passive_ports(&self) -> (usize, usize) {
        self.shared.in_force().passive.in_use()
    }

    /// Whether it was told to stop, and accepts nobody any more.
    pub fn is_stopping(&self) -> bool {
        self.shared.drain.is_cancelled()
    }

    /// Expects a health check from this address, until what is returned is dropped.
    pub(crate) fn announce_health_check(&self, from: SocketAddr) -> Announced {
        self.shared.probes.announce(from)
    }

    /// Ends sessions with a 421, their transfers too, and says which: these are their control connections.
    pub fn kick(&self, whose: &Whose) -> Vec<Connection> {
        self.shared.events.live().kick(whose)
    }

    /// Has lessons given in the sessions, from their next command on. A server gives one lesson in its life; a second
    /// is not taken.
    pub fn practise(&self, practice: Arc<dyn Practice>) {
        let _ = self.shared.practice.set(practice);
    }

    /// Who gives lessons here, if anybody does.
    pub(crate) fn practice(&self) -> Option<&Arc<dyn Practice>> {
        self.shared.practice.get()
    }

    /// For whoever makes files below the root beside the sessions.
    pub fn books(&self) -> HomeBooks {
        HomeBooks(Arc::clone(&self.shared.homes))
    }

    /// The failed logins that slow the next ones down, from the oldest on.
    pub fn login_failures(&self) -> Vec<RememberedFailures> {
        self.shared.limits.failures(Instant::now())
    }

    /// Forgets the failed logins of this user and from this address, of all of them for `None`, and says how many
    /// entries that were. Logins that wait already go on waiting.
    pub fn clear_login_failures(&self, user: Option<&str>, address: Option<IpAddr>) -> usize {
        self.shared.limits.clear_failures(user, address)
    }

    /// Stops: accepts nobody any more, tells idle sessions 421, lets running transfers go on for
    /// `server.shutdown_grace`, and then cuts them off.
    pub async fn shut_down(self) {
        self.shared.drain.cancel();
        self.sessions.close();
        let grace = self.shared.in_force().settings.server.shutdown_grace;
        if timeout(grace, self.sessions.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(sessions = self.sessions.len(), "the grace period is over; sessions are cut off");
        self.shared.cut.cancel();
        // A session that hangs in the file system is left behind: the process ends without it.
        let _ = timeout(CUT_LIMIT, self.sessions.wait()).await;
    }
}

/// Accepts control connections until the server drains. Each becomes a task of its own.
async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    implicit: bool,
    shared: Arc<Shared>,
    sessions: TaskTracker,
) {
    let mut failing = false;
    while let Some(accepted) = shared.drain.run_until_cancelled(listener.accept()).await {
        let accepted = accepted.and_then(|(stream, client)| {
            prepare_control(&stream)?;
            let server = stream.local_addr()?;
            Ok((stream, Ends { client, server }))
        });
        match accepted {
            Ok((stream, ends)) => {
                failing = false;
                if shared.probes.expect(ends.client) {
                    sessions.spawn(serve_probe(Arc::clone(&shared), stream, implicit));
                    continue;
                }
                match shared.limits.admit(ends.client.ip(), Instant::now()) {
                    Ok(permit) => {
                        shared.clients.came_from(ends.client.ip()).iter().for_each(|text| tracing::warn!("{text}"));
                        drop(sessions.spawn(serve(Arc::clone(&shared), stream, address, ends, implicit, permit)))
                    }
                    Err(reason) => {
                        // In clear it would be no TLS.
                        if !implicit {
                            refuse(&stream, ends.client.ip(), reason);
                        }
                        shared.events.refused(ends, reason);
                    }
                }
            }
            Err(error) => {
                // Said once, not at every try.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, %address, "control connections cannot be accepted; trying again and again");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Tells a client why it is not served. What the kernel does not take at once is not sent, so that nobody waits here: a
/// new connection's buffer is empty and takes it.
fn refuse(stream: &TcpStream, client: IpAddr, reason: RefusedBecause) {
    let text = match reason {
        RefusedBecause::AddressDenied | RefusedBecause::AddressNotAllowed => {
            format!("Your address, {client}, is not served here.")
        }
        RefusedBecause::AcceptRate => format!("Your address, {client}, connects too often. Try again in a moment."),
        RefusedBecause::MaxSessionsPerIp => {
            format!("Your address, {client}, has as many sessions as it may have. Close one of them.")
        }
        RefusedBecause::MaxSessions => "The server has as many sessions as it may have. Try again later.".to_owned(),
        RefusedBecause::MaxUnauthenticated => {
            "Too many connections have not logged in yet. Try again in a moment.".to_owned()
        }
    };
    let socket = SockRef::from(stream);
    // A client that is gone hears nothing. What it has sent is read, since unread bytes would turn the close into a
    // reset, which wipes the reply out.
    let _ = socket.send(format!("421 {text}\r\n").as_bytes());
    let _ = socket.shutdown(Shutdown::Write);
    let _ = rustix::net::recv(stream, &mut [0; 4096], rustix::net::RecvFlags::DONTWAIT);
}

/// How the kernel asks whether a client is still there: it notices within two minutes that one has vanished while the
/// server works for it. Its own first question would come after two hours.
fn keepalive() -> TcpKeepalive {
    let (first, next) = (Duration::from_secs(60), Duration::from_secs(15));
    TcpKeepalive::new().with_time(first).with_interval(next).with_retries(4)
}

/// What every control connection is set to.
fn prepare_control(stream: &TcpStream) -> io::Result<()> {
    // Without it each reply behind a 150 waits 40 ms for the client's delayed ACK.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // The byte that Telnet sends urgently with an ABOR belongs into the stream.
    socket.set_out_of_band_inline(true)?;
    socket.set_tcp_keepalive(&keepalive())
}

/// What an administrator should look at before clients come, each with its cure.
fn advice(in_force: &InForce, around: &Surroundings) -> Vec<String> {
    let mut advice = reach::findings(&in_force.settings, around);
    advice.extend(writing::warnings(&in_force.accounts));
    advice.extend(exposed::warnings(&in_force.accounts, &in_force.settings));
    advice
}

/// Makes the root when it is missing, opens it, and clears what a killed server left behind in it.
fn prepare_root(settings: &Settings) -> Result<Homes, StartError> {
    let root = &settings.storage.root;
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(settings.storage.umask));
    let attempt = |what: &str| format!("{what} {}", root.display());
    if !root.exists() {
        std::fs::create_dir_all(root).map_err(|error| StartError::System(attempt("making the root"), error))?;
        let (name, text) = WELCOME;
        std::fs::write(root.join(name), text)
            .map_err(|error| StartError::System(attempt("writing a welcome file into"), error))?;
    }
    std::fs::read_dir(root).map_err(|error| StartError::System(attempt("reading the root"), error))?;
    let homes = Homes::open(root).map_err(|error| StartError::System(attempt("opening the root"), error))?;
    let cleared = homes.clear_leftovers();
    if cleared > 0 {
        tracing::info!(cleared, "removed temporary files of uploads that a stopped server left behind");
    }
    Ok(homes)
}
