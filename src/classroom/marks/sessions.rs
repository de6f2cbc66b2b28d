//! What answers are compared with: a student's sessions, and what was seen in them lately.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::steps::{is_listing, is_upload, name_of};
use crate::classroom::Observation;
use crate::classroom::journal::Entry;
use crate::classroom::lesson::Type;
use crate::sessions::{Mode, Side, TransferOutcome};

/// How long what was seen can be answered. curl has a session for every command, and FileZilla a second one for
/// transfers, so any of the last minutes is right.
pub(super) const WINDOW: TimeDelta = TimeDelta::minutes(15);

/// The sessions of a student that are remembered, and the facts. The oldest make way.
const MOST_SESSIONS: usize = 64;
const MOST_FACTS: usize = 500;

/// Verbs that client programs send, and nobody by hand.
const CHATTER: [&str; 5] = ["SYST", "FEAT", "OPTS", "TYPE", "CLNT"];

/// The sessions of one student, and the facts of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    sessions: VecDeque<Session>,
    facts: VecDeque<(Fact, Arc<Entry>)>,
}

/// A session in which the student was logged in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub number: u64,
    /// The entry of the login.
    pub login: Arc<Entry>,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// The word in its FEAT.
    pub word: String,
    /// When it was left.
    left: Option<DateTime<Utc>>,
    /// Whether it sent what only programs send.
    pub is_a_program: bool,
    /// Where the next transfer begins.
    pub resumed_from: u64,
    /// The last PASV, EPSV, PORT or EPRT.
    pub offer: Option<Arc<Entry>>,
    /// The last data connection.
    pub data: Option<Data>,
    /// How many there were.
    pub data_connections: u32,
}

/// A data connection.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub entry: Arc<Entry>,
    pub mode: Mode,
    server: SocketAddr,
    path: String,
    is_open: bool,
}

/// Something that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// The port that this verb named.
    Offered(String, u16),
    /// The server's port of a data connection over which a listing went.
    ListPort(u16),
    /// The server's port of a data connection in active mode.
    ActivePort(u16),
    /// Own connections that were open while this path was downloaded.
    Connections(String, u32),
    /// Who closed the data connection of a whole transfer of this verb; LIST stands for every listing.
    Closed(String, Side),
    /// An upload in TYPE A: its name and digest.
    Ascii(String, String),
}

impl Session {
    /// Whether it was there in the time for which answers are right.
    pub fn is_recent(&self, now: DateTime<Utc>) -> bool {
        self.left.is_none_or(|left| now - left <= WINDOW)
    }
}

impl Sessions {
    /// Takes over what was seen.
    pub fn follow(&mut self, number: u64, seen: &Observation, entry: &Arc<Entry>) {
        if let Observation::Login { client, server, program, word, .. } = seen {
            self.forget(number, entry.time);
            if self.sessions.len() >= MOST_SESSIONS {
                let over = self.sessions.iter().position(|session| session.left.is_some());
                self.sessions.remove(over.unwrap_or_default());
            }
            self.sessions.push_back(Session {
                number,
                login: Arc::clone(entry),
                client: *client,
                server: *server,
                word: word.clone(),
                left: None,
                is_a_program: *program,
                resumed_from: 0,
                offer: None,
                data: None,
                data_connections: 0,
            });
        }
        let Some(at) = self.sessions.iter().rposition(|session| session.number == number && session.left.is_none())
        else {
            return;
        };
        let facts = self.sessions[at].follow(seen, entry);
        if matches!(
            seen,
            Observation::Login { .. }
                | Observation::DataOpened { .. }
                | Observation::Transfer { .. }
                | Observation::Left
        ) {
            self.count(entry);
        }
        for fact in facts {
            self.add(fact, entry);
        }
    }

    /// How many connections there are, for whoever counts them during a download.
    fn count(&mut self, entry: &Arc<Entry>) {
        let data: Vec<&Data> =
            self.open().filter_map(|session| session.data.as_ref()).filter(|data| data.is_open).collect();
        let count = self.open().count() + data.len();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let facts: Vec<Fact> = data.iter().map(|data| Fact::Connections(data.path.clone(), count)).collect();
        facts.into_iter().for_each(|fact| self.add(fact, entry));
    }

    fn add(&mut self, fact: Fact, entry: &Arc<Entry>) {
        if self.facts.len() >= MOST_FACTS {
            self.facts.pop_front();
        }
        self.facts.push_back((fact, Arc::clone(entry)));
    }

    /// A session of this number is over.
    fn forget(&mut self, number: u64, now: DateTime<Utc>) {
        for session in self.sessions.iter_mut().filter(|session| session.number == number) {
            session.left.get_or_insert(now);
        }
    }

    /// All sessions are over: the server was started anew, and counts them anew.
    pub fn end_all(&mut self, now: DateTime<Utc>) {
        for session in &mut self.sessions {
            session.left.get_or_insert(now);
        }
    }

    /// The session of this number that is open.
    pub fn get(&self, number: u64) -> Option<&Session> {
        self.open().find(|session| session.number == number)
    }

    /// Those that are open, the oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|session| session.left.is_none())
    }

    /// Those of the last minutes, the oldest first.
    pub fn recent(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(move |session| session.is_recent(now))
    }

    /// Facts of the last minutes, the newest first.
    pub fn facts(&self, now: DateTime<Utc>) -> impl Iterator<Item = (&Fact, &Arc<Entry>)> {
        let facts = self.facts.iter().rev().map(|(fact, entry)| (fact, entry));
        facts.filter(move |(_, entry)| now - entry.time <= WINDOW)
    }
}

impl Session {
    /// Takes over what was seen, and gives what can be asked for.
    fn follow(&mut self, seen: &Observation, entry: &Arc<Entry>) -> Vec<Fact> {
        match seen {
            Observation::Left => self.left = Some(entry.time),
            Observation::Command { verb, argument, code, .. } => {
                self.is_a_program |= CHATTER.contains(&verb.as_str());
                match verb.as_str() {
                    "REST" if *code == 350 => self.resumed_from = argument.trim().parse().unwrap_or_default(),
                    "RETR" => self.resumed_from = 0,
                    verb if is_upload(verb) || is_listing(verb) => self.resumed_from = 0,
                    _ => {}
                }
            }
            Observation::Offered { verb, port, .. } => {
                self.offer = Some(Arc::clone(entry));
                return vec![Fact::Offered(verb.clone(), *port)];
            }
            Observation::DataOpened { mode, server, path, .. } => {
                self.data_connections += 1;
                let (entry, mode, server, path) = (Arc::clone(entry), *mode, *server, path.clone());
                self.data = Some(Data { entry, mode, server, path, is_open: true });
                if mode == Mode::Active {
                    return vec![Fact::ActivePort(server.port())];
                }
            }
            Observation::Transfer { verb, path, r#type, sha256, outcome, closed_first, .. } => {
                let data = self.data.as_mut();
                let port = data.map(|data| {
                    data.is_open = false;
                    data.server.port()
                });
                if *outcome == TransferOutcome::Complete {
                    let (listing, upload) = (is_listing(verb), is_upload(verb));
                    let kind = if listing { "LIST" } else { verb.as_str() };
                    let mut facts = vec![Fact::Closed(kind.to_owned(), *closed_first)];
                    facts.extend(port.filter(|_| listing).map(Fact::ListPort));
                    let sum = sha256.as_ref().filter(|_| upload && *r#type == Type::Ascii);
                    facts.extend(sum.map(|sum| Fact::Ascii(name_of(path).to_owned(), sum.clone())));
                    return facts;
                }
            }
            Observation::Login { .. } | Observation::Refused { .. } | Observation::DataFailed { .. } => {}
        }
        Vec::new()
    }
}
