//! Ports: IANA's three ranges, the kernel's own range, and the passive ports that are handed out.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

pub(crate) mod holder;

/// IANA's three port ranges (RFC 6335, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortClass {
    /// 0-1023, the well known ports.
    System,
    /// 1024-49151, the registered ports.
    User,
    /// 49152-65535, the private or ephemeral ports; never assigned to a service.
    Dynamic,
}

impl PortClass {
    /// The range that `port` lies in.
    pub fn of(port: u16) -> Self {
        match port {
            0..=1023 => Self::System,
            1024..=49151 => Self::User,
            49152..=65535 => Self::Dynamic,
        }
    }
}

impl fmt::Display for PortClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::User => "user",
            Self::Dynamic => "dynamic",
        })
    }
}

/// Pending connections a passive listener holds: the client's own and a few strangers that are turned away.
const PASSIVE_BACKLOG: i32 = 16;

/// The pool that passive ports are handed out from.
#[derive(Debug)]
pub struct PassivePorts {
    /// Ports that no outgoing connection of this machine is given by the kernel. They are tried first.
    quiet: Vec<u16>,
    /// Ports inside of the kernel's ephemeral range, where an outgoing connection may already sit.
    shared: Vec<u16>,
    offered: Arc<Mutex<HashSet<u16>>>,
}

impl PassivePorts {
    /// A pool of the ports in `range`.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self::beside(range, &Ephemeral::now())
    }

    /// A pool of other ports, which knows what this one has handed out.
    pub fn with_range(&self, range: RangeInclusive<u16>) -> Self {
        Self { offered: Arc::clone(&self.offered), ..Self::new(range) }
    }

    fn beside(range: RangeInclusive<u16>, kernel: &Ephemeral) -> Self {
        let (shared, quiet) = range.partition(|port| kernel.contains(*port));
        Self { quiet, shared, offered: Arc::default() }
    }

    /// Listens on `address` at a free port of the pool, at random (RFC 6056), and keeps it from other sessions until the listener
    /// is dropped. Fails with `AddrInUse` only when every port of the pool is taken.
    pub fn listen(self: &Arc<Self>, mut address: SocketAddr) -> io::Result<PassiveListener> {
        for part in [&self.quiet, &self.shared] {
            if part.is_empty() {
                continue;
            }
            let start = random_below(part.len())?;
            for step in 0..part.len() {
                let port = part[(start + step) % part.len()];
                if !self.offered().insert(port) {
                    continue;
                }
                // From here on dropping the reservation gives the port back.
                let reservation = Reservation { pool: Arc::clone(self), port };
                // Only the port changes: the scope of a link-local address stays.
                address.set_port(port);
                match listen(address) {
                    Ok(listener) => {
                        let offered = Arc::new(Offered { address, early: OnceLock::new() });
                        return Ok(PassiveListener { listener, offered, early: None, _reservation: reservation });
                    }
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// How many ports are offered now, and how many there are.
    pub fn in_use(&self) -> (usize, usize) {
        (self.offered().len(), self.quiet.len() + self.shared.len())
    }

    fn offered(&self) -> MutexGuard<'_, HashSet<u16>> {
        // A set of numbers is whole at every moment, whoever panicked.
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What others may know of a passive port while it is on offer.
#[derive(Debug)]
pub struct Offered {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the client's own connection came from, when it came before it was asked for.
    pub early: OnceLock<SocketAddr>,
}

/// A passive port that has been offered to one client.
#[derive(Debug)]
pub struct PassiveListener {
    listener: TcpListener,
    offered: Arc<Offered>,
    /// The client's own connection, when it came before it was asked for.
    early: Option<(TcpStream, SocketAddr)>,
    _reservation: Reservation,
}

impl PassiveListener {
    /// The address that it listens on, with the offered port.
    pub fn address(&self) -> SocketAddr {
        self.offered.address
    }

    /// What others may know of it; this is there for as long as it listens.
    pub fn watch(&self) -> Weak<Offered> {
        Arc::downgrade(&self.offered)
    }

    /// The next connection to the port and where it comes from.
    pub async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.early.take() {
            Some(early) => Ok(early),
            None => self.listener.accept().await,
        }
    }

    /// Where the next connection comes from that is not `client`'s; it is closed again. Strangers would fill the queue
    /// otherwise, before the client has come. The client's own is kept for [`Self::accept`], and nobody is accepted
    /// behind it. Dropping the call loses nothing.
    pub async fn stranger(&mut self, client: IpAddr) -> SocketAddr {
        while self.early.is_none() {
            match self.listener.accept().await {
                Ok((_, from)) if from.ip() != client => return from,
                Ok(own) => {
                    // Set once at most: nobody is accepted behind it.
                    let _ = self.offered.early.set(own.1);
                    self.early = Some(own);
                }
                // The transfer will meet it again, and say so.
                Err(_) => break,
            }
        }
        std::future::pending().await
    }
}

#[derive(Debug)]
struct Reservation {
    pool: Arc<PassivePorts>,
    port: u16,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.offered().remove(&self.port);
    }
}

/// `SO_REUSEADDR` lets a small range be used again while its last connections are in TIME_WAIT; Linux still refuses
/// a second listener on the port.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(PASSIVE_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The ports that the kernel takes for outgoing connections.
#[derive(Debug, Clone)]
pub(crate) struct Ephemeral {
    /// Where it takes them from.
    pub range: RangeInclusive<u16>,
    /// Those in there that it was told to leave alone.
    reserved: Vec<RangeInclusive<u16>>,
}

impl Ephemeral {
    /// As the kernel has them now; Linux's defaults where that cannot be read.
    pub fn now() -> Self {
        let read = |name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
        Self::of(&read("ip_local_port_range"), &read("ip_local_reserved_ports"))
    }

    /// As the kernel writes them: `32768 60999` and `8080,50000-50099`.
    pub fn of(range: &str, reserved: &str) -> Self {
        let mut ends = range.split_whitespace().map(str::parse);
        let range = match (ends.next(), ends.next()) {
            (Some(Ok(low)), Some(Ok(high))) => low..=high,
            _ => 32768..=60999,
        };
        let reserved = reserved.trim().split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Self { range, reserved: reserved.collect() }
    }

    /// Whether an outgoing connection may get this port.
    pub fn contains(&self, port: u16) -> bool {
        self.range.contains(&port) && !self.reserved.iter().any(|reserved| reserved.contains(&port))
    }
}

fn random_below(limit: usize) -> io::Result<usize> {
    Ok(getrandom::u32()? as usize % limit)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn classes_change_at_iana_s_borders() {
        assert_eq!([0, 1023].map(PortClass::of), [PortClass::System; 2]);
        assert_eq!([1024, 49151].map(PortClass::of), [PortClass::User; 2]);
        assert_eq!([49152, 65535].map(PortClass::of), [PortClass::Dynamic; 2]);
    }

    #[test]
    fn the_kernel_s_own_ports_come_last() {
        let pool = PassivePorts::beside(60996..=61001, &Ephemeral::of("32768\t60999\n", "8080,60997-60998\n"));
        assert_eq!((pool.quiet, pool.shared), (vec![60997, 60998, 61000, 61001], vec![60996, 60999]));
    }

    // Each test has a loopback address to itself, on which every port is free.

    #[tokio::test]
    async fn every_port_is_handed_out_once_and_comes_back() {
        let range = 61000..=61004;
        let pool = Arc::new(PassivePorts::new(range.clone()));
        let listen = || pool.listen((Ipv4Addr::new(127, 0, 61, 1), 0).into());
        let listeners: Vec<_> = range.clone().map(|_| listen().unwrap()).collect();
        let ports: HashSet<_> = listeners.iter().map(|listener| listener.address().port()).collect();
        assert_eq!(ports, range.collect());
        assert_eq!(listen().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        assert!(ports.contains(&listen().unwrap().address().port()));
    }

    #[tokio::test]
    async fn another_range_knows_what_is_handed_out() {
        let pool = Arc::new(PassivePorts::new(61000..=61000));
        let held = pool.listen((Ipv4Addr::new(127, 0, 61, 3), 0).into()).unwrap();
        let wider = Arc::new(pool.with_range(61000..=61001));
        // At another address the kernel would not mind.
        let listen = || wider.listen((Ipv4Addr::new(127, 0, 61, 4), 0).into());
        let second = listen().unwrap();
        assert_eq!(second.address().port(), 61001);
        assert!(listen().is_err());
        drop(held);
        assert_eq!(listen().unwrap().address().port(), 61000);
    }

    #[tokio::test]
    async fn a_port_that_another_program_holds_is_skipped() {
        let address = Ipv4Addr::new(127, 0, 61, 2);
        let _other = std::net::TcpListener::bind((address, 61000)).unwrap();
        let pool = Arc::new(PassivePorts::new(61000..=61001));
        for _ in 0..8 {
            assert_eq!(pool.listen((address, 0).into()).unwrap().address().port(), 61001);
        }
    }
}
