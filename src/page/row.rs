//! The rows of the page's table: a control connection or the data connection of a session, as netstat would have it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::sessions::{CloseReason, Mode, Side, TransferOutcome};

/// Which of a session's connections a row is about. It has one of each at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Control,
    Data,
}

/// What a row is told apart by.
pub(super) type RowId = (u64, Kind);

/// netstat's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum State {
    /// A passive port waits for its client.
    Listen,
    Established,
    /// The side that closed first remembers the connection.
    TimeWait,
    Closed,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub session: u64,
    pub kind: Kind,
    /// Where the session stands in the table; it keeps its place for as long as it is there.
    pub place: u32,
    pub user: Option<Arc<str>>,
    pub server: SocketAddr,
    /// None while a passive port waits.
    pub client: Option<SocketAddr>,
    pub state: State,
    /// Who closed first, which is who has the TIME_WAIT.
    pub closed_first: Option<Side>,
    /// How a data connection is made.
    pub mode: Option<Mode>,
    pub tls: bool,
    /// The last command, or what is transferred.
    pub verb: Arc<str>,
    /// What followed it, as the log has it.
    pub argument: Arc<str>,
    /// The last reply.
    pub code: Option<u16>,
    /// Bytes on a data connection.
    pub bytes: Option<u64>,
    /// In milliseconds since 1970, as browsers count.
    pub opened: u64,
    pub ended: Option<u64>,
    /// Events of the session so far, so that whoever looks at its ladder knows when there is more.
    pub steps: u32,
}

impl Row {
    pub fn new(session: u64, kind: Kind, place: u32, server: SocketAddr, opened: u64) -> Self {
        Self {
            session,
            kind,
            place,
            user: None,
            server,
            client: None,
            state: State::Established,
            closed_first: None,
            mode: None,
            tls: false,
            verb: "".into(),
            argument: "".into(),
            code: None,
            bytes: None,
            opened,
            ended: None,
            steps: 0,
        }
    }

    pub fn id(&self) -> RowId {
        (self.session, self.kind)
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Listen | State::Established)
    }

    /// The connection is over, and `closed_first` remembers it if it was closed in good order.
    pub fn end(&mut self, now: u64, closed_first: Option<Side>) {
        self.state = if closed_first.is_some() { State::TimeWait } else { State::Closed };
        (self.closed_first, self.ended) = (closed_first, Some(now));
    }
}

/// Whose TIME_WAIT a data connection becomes. One that breaks is reset, and nobody remembers it.
pub(super) fn remembers_data(verb: &str, outcome: TransferOutcome, closed_first: Side) -> Option<Side> {
    let is_upload = matches!(verb, "STOR" | "STOU" | "APPE");
    match outcome {
        TransferOutcome::Complete => Some(closed_first),
        TransferOutcome::Aborted if !is_upload => Some(closed_first),
        _ => None,
    }
}

/// The same of a control connection: the server closes it first wherever it has had the last word.
pub(super) fn remembers_control(reason: CloseReason) -> Option<Side> {
    use CloseReason::{FailedLogins, IdleTimeout, LoginTimeout, Quit};
    matches!(reason, Quit | IdleTimeout | LoginTimeout | FailedLogins).then_some(Side::Server)
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
