//! Who holds a port, as far as `/proc` tells: the sockets of this network namespace, and the processes that this user may
//! look into.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process, all_processes};

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its number, as seen from here.
    pub pid: i32,
    /// What the kernel calls it: fifteen bytes of its program's name.
    pub name: String,
    /// Who runs it.
    pub uid: u32,
}

/// The processes whose listening sockets keep others from `address`. One socket may have several; empty where it is free,
/// and where its processes cannot be seen.
pub(crate) fn of(address: SocketAddr) -> Vec<Holder> {
    let tables = [tcp(), tcp6()].into_iter().flat_map(Result::unwrap_or_default);
    let sockets: BTreeSet<u64> = tables.filter(|socket| holds(socket, address)).map(|socket| socket.inode).collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let processes = all_processes().into_iter().flatten().flatten();
    processes.filter_map(|process| has_any(&process, &sockets).then(|| holder(&process)).flatten()).collect()
}

/// "vsftpd (pid 812)", or how to find out.
pub(crate) fn named(holders: &[Holder], address: SocketAddr) -> String {
    match holders {
        [] => format!(
            "a process that cannot be seen from here, another user's or one outside of this container: as root, \
             ss -ltnp 'sport = :{}' names it",
            address.port()
        ),
        several => {
            let names: Vec<_> =
                several.iter().map(|it| format!("{} (pid {})", it.name.escape_debug(), it.pid)).collect();
            names.join(" and ")
        }
    }
}

/// Whether this socket keeps `address` from being bound. One for all of IPv6 may be for all of IPv4, too: the table does not
/// say, and this is asked of addresses that could not be bound.
fn holds(socket: &TcpNetEntry, address: SocketAddr) -> bool {
    let (own, wanted) = (socket.local_address.ip().to_canonical(), address.ip());
    let meets = match (own, wanted) {
        (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
        _ => own == wanted || own.is_unspecified() || wanted.is_unspecified(),
    };
    socket.state == TcpState::Listen && socket.local_address.port() == address.port() && meets
}

fn has_any(process: &Process, sockets: &BTreeSet<u64>) -> bool {
    let descriptors = process.fd().into_iter().flatten().flatten();
    descriptors.into_iter().any(|fd| matches!(fd.target, FDTarget::Socket(inode) if sockets.contains(&inode)))
}

fn holder(process: &Process) -> Option<Holder> {
    Some(Holder { pid: process.pid(), name: process.stat().ok()?.comm, uid: process.uid().ok()? })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_holds_what_it_listens_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = std::process::id() as i32;
        let holds = |ip: &str| {
            let holders = of((ip.parse::<IpAddr>().unwrap(), address.port()).into());
            holders.iter().any(|holder| holder.pid == own) && named(&holders, address).contains(&format!("(pid {own})"))
        };
        assert!(holds("127.0.0.1") && holds("0.0.0.0"));
        assert!(!holds("127.0.0.2"));
        drop(listener);
        assert!(!holds("127.0.0.1"));
        let unseen = named(&[], address);
        assert!(unseen.ends_with(&format!("ss -ltnp 'sport = :{}' names it", address.port())), "{unseen}");
    }
}
