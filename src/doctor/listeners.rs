//! The ports on which the server listens: free, held by itself, or by somebody else.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::{Finding, Level, Running};
use crate::ports::holder;
use crate::server::listeners::{claim, may_be_missing, ways_out};
use crate::settings::Settings;

/// What the kernel calls a process of this program.
const OURS: &str = env!("CARGO_PKG_NAME");

/// What is found about each port; and the running server, which answers or, asked by another user, only holds one of them.
pub(super) fn examine(settings: &Settings, answering: Option<Running>) -> (Vec<Finding>, Option<Running>) {
    // What it is, where another one is chosen, and where it is.
    let ports = [
        ("control port", "with --port", &settings.server.listen),
        ("implicit port", "in tls.implicit", &settings.tls.implicit),
        ("metrics port", "in metrics.listen", &settings.metrics.listen),
        ("page port", "with --page", &settings.page.listen),
    ];
    let ports = ports.into_iter().flat_map(|(about, place, all)| all.iter().map(move |one| (about, place, *one)));
    let mut running = answering;
    let found = ports.map(|(about, place, address)| {
        let (level, text) = look(settings, address, place, &mut running);
        Finding::new(level, about, text)
    });
    (found.collect(), running)
}

fn look(settings: &Settings, address: SocketAddr, place: &str, running: &mut Option<Running>) -> (Level, String) {
    if address.port() == 0 {
        return (Level::Good, format!("{address} is whichever port is free at the start"));
    }
    let error = match claim(address) {
        Ok(_) => return (Level::Good, format!("{address} is free, and this user may bind it")),
        Err(error) => error,
    };
    let holders = holder::of(address);
    let own = holders.iter().find(|holder| holder.name == OURS);
    let own = own.map(|own| Running { pid: own.pid, uid: own.uid, listeners: Vec::new() });
    let answers = running.clone().filter(|running| running.listeners.contains(&address));
    if let Some(server) = answers.or(own) {
        let text = format!("{address} is held by longshore (pid {}), which runs already", server.pid);
        running.get_or_insert(server);
        return (Level::Good, text);
    }
    if let [manager] = &holders[..]
        && manager.pid == 1
    {
        let text = format!(
            "{address} is held by {} (pid 1) for a socket unit; if that is longshore.socket, it hands the port over: \
             systemctl list-sockets",
            manager.name
        );
        return (Level::Note, text);
    }
    match error.kind() {
        ErrorKind::PermissionDenied if holders.is_empty() => {
            let ways = ways_out().map(|[way, what]| format!("{way} ({what})"));
            let user = rustix::process::geteuid().as_raw();
            (Level::Fault, format!("{address} may not be bound by user {user}; three ways out: {}", ways.join(", ")))
        }
        ErrorKind::PermissionDenied | ErrorKind::AddrInUse => {
            let text = format!(
                "{address} is held by {}; stop that one, or choose another port {place}",
                holder::named(&holders, address)
            );
            (Level::Fault, text)
        }
        _ if may_be_missing(&settings.server, address, &error) => {
            (Level::Note, format!("{address} cannot be had, since this machine has no IPv6; IPv4 is served alone"))
        }
        ErrorKind::AddrNotAvailable => (
            Level::Fault,
            format!("{address} is no address of this machine (ip address lists them); correct the settings"),
        ),
        _ => (Level::Fault, format!("{address} cannot be bound: {error}")),
    }
}
