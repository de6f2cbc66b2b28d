//! A connected pair of TCP sockets on loopback. (The engine asks for a peer address, which a Unix pair lacks.)

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Our end and the engine's.
pub(super) async fn connect() -> io::Result<(TcpStream, TcpStream)> {
    // A listener per pair: a shared one could be kept busy by any local process.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    // Bound before it connects, so that its address is known when somebody else turns up at the listener.
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    let accept = async {
        loop {
            let (stream, peer) = listener.accept().await?;
            if peer == address {
                return Ok(stream);
            }
        }
    };
    let (ours, theirs) = tokio::try_join!(socket.connect(listener.local_addr()?), accept)?;
    ours.set_nodelay(true)?;
    theirs.set_nodelay(true)?;
    // Closed with a reset: no TIME_WAIT line of ours in the netstat that a class looks at.
    SockRef::from(&ours).set_linger(Some(Duration::ZERO))?;
    Ok((ours, theirs))
}
