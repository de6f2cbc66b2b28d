//! Health checks: connections that were announced before they came. Each gets the greeting and the goodbye that a client
//! gets, over TLS where that begins with the connection, and nothing else; and it stands in no log, no limit and no table.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shared;
use super::reply::Reply;
use super::wire::{Incoming, Wire};

/// How long a health check may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Where health checks will come from.
#[derive(Debug, Default)]
pub(crate) struct Probes(Mutex<HashSet<SocketAddr>>);

/// A health check that is expected until this is dropped.
#[derive(Debug)]
pub(crate) struct Announced {
    probes: Arc<Probes>,
    from: SocketAddr,
}

impl Probes {
    /// Expects a health check from there.
    pub fn announce(self: &Arc<Self>, from: SocketAddr) -> Announced {
        self.expected().insert(from);
        Announced { probes: Arc::clone(self), from }
    }

    /// Whether this client is a health check.
    pub fn expect(&self, client: SocketAddr) -> bool {
        self.expected().contains(&client)
    }

    /// A set is whole at every moment, whoever panicked.
    fn expected(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.probes.expected().remove(&self.from);
    }
}

/// Serves a health check.
pub(crate) async fn serve_probe(shared: Arc<Shared>, stream: TcpStream, implicit: bool) {
    let mut wire = Wire::new(stream);
    // Whoever checks sees by itself what failed.
    let _ = shared.drain.run_until_cancelled(timeout(LIMIT, talk(&shared, &mut wire, implicit))).await;
    wire.close().await;
}

async fn talk(shared: &Shared, wire: &mut Wire, implicit: bool) -> io::Result<()> {
    let in_force = shared.in_force();
    if let Some(tls) = in_force.tls.as_ref().filter(|_| implicit) {
        let channel = tls.accept_control(wire.stream(), 0).await?;
        wire.encrypt(channel);
    }
    wire.queue(&Reply::new(220, in_force.settings.server.greeting.as_str()));
    wire.flush().await?;
    if let Incoming::Line(_) = wire.line().await? {
        wire.queue(&Reply::new(221, "Goodbye."));
        wire.flush().await?;
    }
    Ok(())
}
