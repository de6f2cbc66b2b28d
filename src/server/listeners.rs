//! The listeners of control connections: bound by the server, or by somebody else for it.

use std::env;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

use super::StartError;
use crate::columns::columns;
use crate::ports::holder;
use crate::settings::{ServerSettings, Settings};

/// Control connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that somebody else has bound, such as systemd for a `.socket` unit.
#[derive(Debug)]
pub struct Inherited {
    /// It listens already.
    pub listener: std::net::TcpListener,
    /// Whether it is for implicit FTPS.
    pub implicit: bool,
}

/// The sockets of somebody else, if sessions can be served on them.
pub(super) fn take_over(inherited: Vec<Inherited>, certificate: bool) -> Result<Vec<(TcpListener, bool)>, StartError> {
    let take = |Inherited { listener, implicit }: Inherited| {
        let failed = |error| StartError::System("taking over a socket of the service manager".to_owned(), error);
        let address = listener.local_addr().map_err(failed)?;
        if address.is_ipv6() && !SockRef::from(&listener).only_v6().map_err(failed)? {
            let text = format!(
                "the socket {address} of the service manager is for IPv4 too, whose clients would show up with IPv6 \
                 addresses; write BindIPv6Only=ipv6-only and a ListenStream= line for each into the .socket unit"
            );
            return Err(StartError::Bind(text));
        }
        if implicit && !certificate {
            let text = format!("the socket {address} of the service manager is for implicit FTPS; set tls.certificate");
            return Err(StartError::Bind(text));
        }
        listener.set_nonblocking(true).map_err(failed)?;
        Ok((TcpListener::from_std(listener).map_err(failed)?, implicit))
    };
    inherited.into_iter().map(take).collect()
}

/// Binds all listeners or none, and says of each whether it is for implicit FTPS.
pub(super) fn bind_all(settings: &Settings) -> Result<Vec<(TcpListener, bool)>, StartError> {
    let mut listeners: Vec<_> =
        bind_explicit(&settings.server)?.into_iter().map(|listener| (listener, false)).collect();
    for &address in &settings.tls.implicit {
        let listener = bind(address).map_err(|error| StartError::Bind(bind_advice(address, &error)))?;
        listeners.push((listener, true));
    }
    Ok(listeners)
}

fn bind_explicit(server: &ServerSettings) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for &address in &server.listen {
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if may_be_missing(server, address, &error) => {
                tracing::info!(%error, "this machine has no IPv6; serving IPv4 only");
            }
            Err(error) => return Err(StartError::Bind(bind_advice(address, &error))),
        }
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = claim(address)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A socket that holds the address and lets nobody in yet.
pub(crate) fn claim(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Two sockets, never one for both: no client shows up with a v4-mapped address.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Of the default pair, IPv6 may be missing on a machine that has none.
pub(crate) fn may_be_missing(server: &ServerSettings, address: SocketAddr, error: &io::Error) -> bool {
    use rustix::io::Errno;
    let by_default =
        ServerSettings::default().listen.iter().map(SocketAddr::ip).eq(server.listen.iter().map(SocketAddr::ip));
    let no_ipv6 = matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL));
    by_default && address.is_ipv6() && no_ipv6
}

/// Ways out for who may not bind a system port, with what each is.
pub(crate) fn ways_out() -> [[String; 2]; 3] {
    let program = env::current_exe().map_or("longshore".to_owned(), |program| program.display().to_string());
    let capability = format!("sudo setcap cap_net_bind_service=+ep {program}");
    [
        ("--port 2121", "a port that everybody may bind"),
        (&*capability, "the right to bind, for this program"),
        ("AmbientCapabilities=CAP_NET_BIND_SERVICE", "the same for a systemd service, as in the package's unit"),
    ]
    .map(|(way, what)| [way.to_owned(), what.to_owned()])
}

fn bind_advice(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let ways = ways_out().map(|[way, what]| [format!("  {way}"), what]);
            format!(
                "port {port} is a system port and you may not bind it. Three ways out:\n{}",
                columns(&ways).trim_end()
            )
        }
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken by {}. Stop that one, or choose another port with --port.",
            holder::named(&holder::of(address), address)
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine (ip address lists them). Correct server.listen.")
        }
        _ => format!("listening on {address}: {error}"),
    }
}
