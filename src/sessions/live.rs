//! The sessions that there are now: what each has open, and the way to tell it to leave.
//!
//! Nobody reads events for it. A recorder writes what it sends out into its session's entry first, so the table is never
//! behind; the entry goes with the last recorder, however a session ends.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Ends, Event, Mode, Side, What};
use crate::ports::{Offered, PortClass};

/// The most characters that a row says of a path or an argument.
const TEXT_LIMIT: usize = 256;

/// A socket of the server: one row of the table that `longshore sessions` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// What it is for.
    pub kind: ConnectionKind,
    /// As netstat says it.
    pub state: ConnectionState,
    /// The server's end.
    pub local: SocketAddr,
    /// Its port.
    pub local_port: u16,
    /// That port's class.
    pub local_port_class: PortClass,
    /// The client's end.
    pub foreign: Option<SocketAddr>,
    /// Its port.
    pub foreign_port: Option<u16>,
    /// That port's class.
    pub foreign_port_class: Option<PortClass>,
    /// Who made the connection.
    pub opened_by: Option<Side>,
    /// Whether it is encrypted, or will be from its beginning.
    pub tls: bool,
    /// The session that it belongs to.
    pub session: Option<u64>,
    /// Who is logged in there.
    pub user: Option<String>,
    /// The session's last command, or the one that runs; for a data connection what is transferred.
    pub verb: Option<String>,
    /// What followed the verb, as the log has it, or the transfer's path; 256 characters at most.
    pub argument: Option<String>,
    /// The last reply to the command.
    pub code: Option<u16>,
    /// Bytes that a data connection has carried.
    pub bytes: Option<u64>,
    /// Those a second, on average.
    pub bytes_per_second: Option<u64>,
    /// For how long it has been open.
    pub seconds: Option<f64>,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// Control connections arrive here.
    Listener,
    /// A control connection.
    Control,
    /// A passive port that waits for its client.
    Passive,
    /// A data connection.
    Data,
}

/// netstat's word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectionState {
    /// It waits for connections.
    Listen,
    /// It is open.
    Established,
}

/// Whose sessions are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// The one of this number.
    Session(u64),
    /// Those of the user who is logged in with this name.
    User(String),
    /// Those from this address.
    Address(IpAddr),
}

/// All sessions of a server.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<BTreeMap<u64, Weak<Entry>>>);

/// One session.
#[derive(Debug)]
pub(crate) struct Entry {
    table: Arc<Live>,
    pub session: u64,
    /// The control connection.
    pub ends: Ends,
    pub opened: Instant,
    /// Tells it to leave.
    pub kick: CancellationToken,
    now: Mutex<Now>,
}

/// What a session is doing.
#[derive(Debug, Default)]
pub(crate) struct Now {
    /// Who is logged in.
    pub user: Option<String>,
    /// The passive port, for as long as it is on offer.
    pub offered: Weak<Offered>,
    /// The transfer that is under way.
    pub running: Option<Running>,
    tls: bool,
    command: Option<Arc<Event>>,
}

/// A transfer that is under way.
#[derive(Debug)]
pub(crate) struct Running {
    pub verb: &'static str,
    pub path: String,
    /// Bytes so far.
    pub moved: Arc<AtomicU64>,
    /// Its connection, once it is open.
    pub data: Option<Data>,
}

/// An open data connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    pub ends: Ends,
    mode: Mode,
    tls: bool,
    opened: Instant,
}

impl Live {
    pub fn open(self: &Arc<Self>, session: u64, ends: Ends) -> Arc<Entry> {
        let (table, now) = (Arc::clone(self), Mutex::default());
        let kick = CancellationToken::new();
        let entry = Arc::new(Entry { table, session, ends, opened: Instant::now(), kick, now });
        whole(&self.0).insert(session, Arc::downgrade(&entry));
        entry
    }

    /// The rows of all sessions, the oldest session first.
    pub fn connections(&self) -> Vec<Connection> {
        self.entries().iter().flat_map(|entry| entry.rows()).collect()
    }

    /// Tells sessions to leave, and says which.
    pub fn kick(&self, whose: &Whose) -> Vec<Connection> {
        let is_meant = |entry: &Entry| match whose {
            Whose::Session(number) => entry.session == *number,
            Whose::User(name) => entry.now().user.as_ref() == Some(name),
            Whose::Address(address) => entry.ends.client.ip() == *address,
        };
        let meant = self.entries().into_iter().filter(|entry| is_meant(entry));
        meant
            .map(|entry| {
                entry.kick.cancel();
                entry.control(&entry.now())
            })
            .collect()
    }

    /// They are collected first: one that ends meanwhile takes itself out of the map, which must not be locked then.
    fn entries(&self) -> Vec<Arc<Entry>> {
        whole(&self.0).values().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        whole(&self.table.0).remove(&self.session);
    }
}

impl Entry {
    /// What the session is doing.
    pub fn now(&self) -> MutexGuard<'_, Now> {
        whole(&self.now)
    }

    /// Takes over what has just happened.
    pub fn follow(&self, event: &Arc<Event>) {
        match &event.what {
            What::Command { .. } => self.now().command = Some(Arc::clone(event)),
            What::TlsOpened { .. } if event.ends == self.ends => self.now().tls = true,
            What::TlsOpened { .. } => {
                if let Some(Running { data: Some(data), .. }) = &mut self.now().running {
                    data.tls = true;
                }
            }
            What::DataOpened { mode, .. } => {
                if let Some(running) = &mut self.now().running {
                    running.data = Some(Data { ends: event.ends, mode: *mode, tls: false, opened: Instant::now() });
                }
            }
            _ => {}
        }
    }

    fn rows(&self) -> Vec<Connection> {
        let now = self.now();
        let mut rows = vec![self.control(&now)];
        let (session, user) = (Some(self.session), now.user.clone());
        let is_open = now.running.as_ref().is_some_and(|running| running.data.is_some());
        if let Some(offered) = now.offered.upgrade() {
            let row = Connection::listening(ConnectionKind::Passive, offered.address);
            rows.push(Connection { session, user: user.clone(), ..row });
            if let Some(&client) = offered.early.get().filter(|_| !is_open) {
                let ends = Ends { client, server: offered.address };
                let row = Connection::open(ConnectionKind::Data, ends, Side::Client);
                rows.push(Connection { session, user: user.clone(), ..row });
            }
        }
        if let Some(Running { verb, path, moved, data: Some(data) }) = &now.running {
            let (bytes, seconds) = (moved.load(Ordering::Relaxed), data.opened.elapsed().as_secs_f64());
            let side = if data.mode == Mode::Passive { Side::Client } else { Side::Server };
            rows.push(Connection {
                session,
                user,
                tls: data.tls,
                verb: Some((*verb).to_owned()),
                argument: Some(short(path)),
                bytes: Some(bytes),
                bytes_per_second: Some((bytes as f64 / seconds.max(0.001)) as u64),
                seconds: Some(seconds),
                ..Connection::open(ConnectionKind::Data, data.ends, side)
            });
        }
        rows
    }

    /// The control connection's row.
    fn control(&self, now: &Now) -> Connection {
        let (verb, argument, code) = match (&now.running, now.command.as_deref().map(|event| &event.what)) {
            (Some(running), _) => {
                (Some(running.verb.to_owned()), Some(short(&running.path)), running.data.map(|_| 150))
            }
            (None, Some(What::Command { verb, argument, code, .. })) => {
                (Some((*verb).to_owned()), Some(short(argument)), Some(*code))
            }
            _ => (None, None, None),
        };
        Connection {
            session: Some(self.session),
            user: now.user.clone(),
            tls: now.tls,
            verb,
            argument,
            code,
            seconds: Some(self.opened.elapsed().as_secs_f64()),
            ..Connection::open(ConnectionKind::Control, self.ends, Side::Client)
        }
    }
}

impl Connection {
    /// A socket that waits for connections.
    pub(crate) fn listening(kind: ConnectionKind, local: SocketAddr) -> Self {
        Self {
            kind,
            state: ConnectionState::Listen,
            local,
            local_port: local.port(),
            local_port_class: PortClass::of(local.port()),
            foreign: None,
            foreign_port: None,
            foreign_port_class: None,
            opened_by: None,
            tls: false,
            session: None,
            user: None,
            verb: None,
            argument: None,
            code: None,
            bytes: None,
            bytes_per_second: None,
            seconds: None,
        }
    }

    fn open(kind: ConnectionKind, ends: Ends, opened_by: Side) -> Self {
        Self {
            state: ConnectionState::Established,
            foreign: Some(ends.client),
            foreign_port: Some(ends.client.port()),
            foreign_port_class: Some(PortClass::of(ends.client.port())),
            opened_by: Some(opened_by),
            ..Self::listening(kind, ends.server)
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}

/// Each change of what is locked here is one step, so it is whole whoever panicked.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::sessions::Events;

    fn ends(client: &str) -> Ends {
        Ends { client: client.parse().unwrap(), server: "192.0.2.1:21".parse().unwrap() }
    }

    #[test]
    fn a_session_is_listed_while_anybody_records_it() {
        let events = Events::new();
        let first = events.open_session("0.0.0.0:21".parse().unwrap(), ends("192.0.2.7:51312"), false);
        let second = events.open_session("0.0.0.0:21".parse().unwrap(), ends("192.0.2.8:51313"), false);
        let numbers = || events.live().connections().iter().map(|row| row.session.unwrap()).collect::<Vec<_>>();
        let of_a_transfer = first.clone();
        drop(first);
        assert_eq!(numbers(), [1, 2]);
        drop(of_a_transfer);
        assert_eq!(numbers(), [2]);
        drop(second);
        assert!(whole(&events.live().0).is_empty());
    }

    #[test]
    fn whoever_is_meant_is_kicked_and_nobody_else() {
        let events = Events::new();
        let open = |client: &str, user: Option<&str>| {
            let recorder = events.open_session("0.0.0.0:21".parse().unwrap(), ends(client), false);
            recorder.now().user = user.map(str::to_owned);
            recorder
        };
        let sessions = [
            open("192.0.2.7:1111", Some("ann")),
            open("192.0.2.7:2222", Some("bob")),
            open("192.0.2.8:1111", Some("ann")),
            open("192.0.2.9:1111", None),
        ];
        let kicked =
            |whose: Whose| -> Vec<u64> { events.live().kick(&whose).iter().map(|row| row.session.unwrap()).collect() };
        assert_eq!(kicked(Whose::Session(4)), [4]);
        assert_eq!(kicked(Whose::User("ann".to_owned())), [1, 3]);
        assert_eq!(kicked(Whose::User("an".to_owned())), [0; 0]);
        assert_eq!(kicked(Whose::Address("192.0.2.9".parse().unwrap())), [4]);
        let told = sessions.each_ref().map(|session| session.kicked().is_cancelled());
        assert_eq!(told, [true, false, true, true]);
    }

    #[test]
    fn a_passive_port_is_listed_for_as_long_as_somebody_holds_it() {
        let events = Events::new();
        let session = events.open_session("0.0.0.0:21".parse().unwrap(), ends("192.0.2.7:1111"), false);
        let port = Arc::new(Offered { address: "192.0.2.1:50000".parse().unwrap(), early: OnceLock::new() });
        session.now().offered = Arc::downgrade(&port);
        let listed = || events.live().connections().into_iter().filter(|row| row.kind == ConnectionKind::Passive);
        assert_eq!(listed().next().unwrap().local, port.address);
        drop(port);
        assert_eq!(listed().count(), 0);
    }
}
