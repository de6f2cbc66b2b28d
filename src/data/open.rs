//! How a data connection comes about: the client connects to a passive port, or the server to the client's.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::limits::Throttles;
use crate::ports::{PassiveListener, PortClass};
use crate::sessions::{Ends, Mode, Recorder, Side, What};
use crate::settings::PassivePeer;
use crate::tls::Channel;

/// How long a client may take to connect to its passive port. Somebody who types the connection by hand needs this
/// long; `data_timeout` may make it shorter.
const ACCEPT_LIMIT: Duration = Duration::from_secs(30);

/// How long the server tries to connect to the client: the first SYN and two repetitions (1 s and 3 s later).
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Where the next data connection will come from or go to.
#[derive(Debug)]
pub(crate) enum Offer {
    /// PASV, EPSV: the client connects to this port.
    Passive(PassiveListener),
    /// PORT, EPRT: the server connects to this address, which control has checked.
    Active(SocketAddr),
}

/// What a session's data connections have in common.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The session's record; it knows the control connection.
    pub recorder: Recorder,
    /// Who may connect to a passive port.
    pub peer: PassivePeer,
    /// How long nothing may move (`data_timeout`).
    pub patience: Duration,
    /// Ends the transfer at once.
    pub stop: CancellationToken,
    /// Bytes carried so far, for STAT.
    pub moved: Arc<AtomicU64>,
    /// How fast they may go.
    pub throttles: Throttles,
}

/// An open data connection.
#[derive(Debug)]
pub(crate) struct DataConnection {
    pub(super) stream: TcpStream,
    /// Encryption, where the client asked for it.
    pub(super) tls: Option<Mutex<Channel>>,
    pub(super) terms: Terms,
    /// Both ends.
    pub ends: Ends,
    /// Whether everything was carried.
    pub(super) whole: bool,
}

/// Why there is no data connection.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// It was not waited for any longer.
    Stopped,
    /// A sentence for the client's 425.
    Failed(String),
}

impl Offer {
    /// Opens the data connection, and puts on record how that went.
    pub async fn open(mut self, terms: Terms) -> Result<DataConnection, NotOpened> {
        let begun = Instant::now();
        let (mode, opened_by, to) = match &self {
            Self::Passive(listener) => (Mode::Passive, Side::Client, listener.address()),
            Self::Active(client) => (Mode::Active, Side::Server, *client),
        };
        let open = async {
            match &mut self {
                Self::Passive(listener) => accept(listener, &terms).await,
                Self::Active(client) => connect(*client, &terms).await,
            }
        };
        let reason = match terms.stop.run_until_cancelled(open).await {
            Some(Ok((stream, ends))) => {
                let running = terms.recorder.now().running.as_ref().map(|running| (running.verb, running.path.clone()));
                let (verb, path) = running.unwrap_or_default();
                let waited = begun.elapsed();
                terms.recorder.record_at(ends, What::DataOpened { mode, opened_by, waited, verb, path });
                return Ok(DataConnection { stream, tls: None, terms, ends, whole: false });
            }
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        let why = reason.clone().unwrap_or_else(|| "it was not waited for any longer".to_owned());
        terms.recorder.record(failed(mode, to, why));
        Err(reason.map_or(NotOpened::Stopped, NotOpened::Failed))
    }
}

fn failed(mode: Mode, to: SocketAddr, reason: String) -> What {
    let (address, port, port_class) = (to.ip(), to.port(), PortClass::of(to.port()));
    What::DataFailed { mode, address, port, port_class, reason }
}

/// Puts on record that a stranger connected to a passive port.
pub(crate) fn turned_away(recorder: &Recorder, ends: Ends) {
    let reason = format!("{} is not the address of the control connection; turned away", ends.client.ip());
    recorder.record_at(ends, failed(Mode::Passive, ends.server, reason));
}

/// Waits for the client; strangers are turned away, on record, and the wait goes on.
async fn accept(listener: &mut PassiveListener, terms: &Terms) -> Result<(TcpStream, Ends), String> {
    let (limit, server) = (ACCEPT_LIMIT.min(terms.patience), listener.address());
    let control = terms.recorder.ends();
    let wait = async {
        loop {
            let (stream, client) = listener.accept().await?;
            let ends = Ends { client, server };
            if client.ip() == control.client.ip() {
                return Ok((stream, ends));
            }
            if terms.peer == PassivePeer::Any {
                let session = terms.recorder.session();
                tracing::warn!(session, %client, control = %control.client, "a data connection from another address");
                return Ok((stream, ends));
            }
            turned_away(&terms.recorder, ends);
        }
    };
    match timeout(limit, wait).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(no_socket(&error)),
        Err(_) => Err(format!(
            "You did not connect to my port {} within {} s. If you tried, a firewall in between blocks it: \
             try active mode, or ask the administrator to let the passive ports through.",
            server.port(),
            limit.as_secs()
        )),
    }
}

/// Connects from the control port minus one (RFC 959, 3.2: the adjacent port; 20 for 21), which firewalls know, or
/// from any port where that one may not be bound or still has an old connection to the same client port.
async fn connect(client: SocketAddr, terms: &Terms) -> Result<(TcpStream, Ends), String> {
    let (limit, control) = (CONNECT_LIMIT.min(terms.patience), terms.recorder.ends());
    let beside = control.server.port().saturating_sub(1);
    let attempt = async {
        match connect_from(control.server, beside, client).await {
            Err(error) if beside != 0 && is_about_our_port(&error) => connect_from(control.server, 0, client).await,
            result => result,
        }
    };
    match timeout(limit, attempt).await {
        Ok(Ok(stream)) => match stream.local_addr() {
            Ok(server) => Ok((stream, Ends { client, server })),
            Err(error) => Err(no_socket(&error)),
        },
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(format!("Your computer refused my connection to {client}: nothing listens there. Try passive mode."))
        }
        Ok(Err(error)) => Err(format!("I could not connect to you at {client}: {error}. Try passive mode.")),
        Err(_) => Err(format!(
            "I could not connect to you at {client} in {} s; a firewall on your computer probably blocked it. \
             Try passive mode.",
            limit.as_secs()
        )),
    }
}

/// Connects from the address of `server`, an IPv6 scope included, and `port`.
async fn connect_from(mut server: SocketAddr, port: u16, client: SocketAddr) -> io::Result<TcpStream> {
    server.set_port(port);
    // TCP would connect the socket to itself.
    if server == client {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let socket = if client.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Several connections may leave from the one port at the same time.
    socket.set_reuseaddr(true)?;
    socket.bind(server)?;
    socket.connect(client).await
}

fn is_about_our_port(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    matches!(error.kind(), AddrInUse | AddrNotAvailable | PermissionDenied)
}

/// The sentence for a socket that this machine does not give us (out of descriptors, say).
fn no_socket(error: &io::Error) -> String {
    format!("The server has no socket for a data connection: {error}. Try again in a moment.")
}
