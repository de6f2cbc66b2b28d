//! HTTP listeners: connections in bounds, for whatever router is served on them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Connections at the same time to one listener; further ones wait in the kernel's queue.
pub const CONNECTIONS: usize = 512;

/// How many of them may be one address's, so that it keeps nobody else out; further ones are closed at once. It may be a
/// whole class behind a router.
const OF_AN_ADDRESS: usize = 384;

/// How long a client may take to send the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const HEAD_SIZE: usize = 16 << 10;

/// How long a client may read nothing of what it was sent.
const STALLED: Duration = Duration::from_secs(30);

/// What the kernel keeps of an answer that is not read yet.
const SEND_BUFFER: usize = 128 << 10;

/// The pause behind a failed accept, which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener on `address`, and where it really is.
pub async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves `router`, which finds the client's address in `ConnectInfo`, until `stop` is cancelled, which ends all connections.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (places, addresses) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Addresses::default()));
    let accept = async {
        loop {
            // It is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, client)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(own) = addresses.enter(client.ip()) else { continue };
            bound(&stream);
            let router = router.clone().layer(Extension(ConnectInfo(client)));
            let (service, stop) = (TowerToHyperService::new(router), stop.clone());
            tokio::spawn(async move {
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_SIZE);
                let connection = http.serve_connection(TokioIo::new(stream), service);
                // Whatever breaks a connection is the client's business.
                let _ = stop.run_until_cancelled(connection).await;
                drop((place, own));
            });
        }
    };
    stop.run_until_cancelled(accept).await;
}

/// A client that asks and does not read holds a place and memory; the kernel knows best when that is so.
fn bound(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // Where a kernel refuses one, it has bounds of its own.
    let _ = socket.set_tcp_user_timeout(Some(STALLED));
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    let _ = socket.set_tcp_nodelay(true);
}

/// How many connections each address has.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// A connection of an address, counted until it is dropped.
#[derive(Debug)]
struct Counted(Arc<Addresses>, IpAddr);

impl Addresses {
    fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Counted> {
        let mut counts = self.counts();
        let count = counts.entry(ip).or_default();
        if *count >= OF_AN_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Counted(Arc::clone(self), ip))
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Numbers are whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leaves_room_for_others() {
        let (addresses, [ip, other]) =
            (Arc::new(Addresses::default()), ["192.0.2.7", "192.0.2.8"].map(|ip| ip.parse().unwrap()));
        let mut held: Vec<_> = (0..OF_AN_ADDRESS).map(|_| addresses.enter(ip).unwrap()).collect();
        assert!(addresses.enter(ip).is_none() && addresses.enter(other).is_some());
        held.pop();
        assert!(addresses.enter(ip).is_some());
        held.clear();
        assert!(addresses.counts().is_empty());
    }
}
