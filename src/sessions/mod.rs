//! Sessions on record: each gets a number, and everything that happens in it goes out as an [`Event`].
//!
//! There is one broadcast, and its readers know it; it knows none of them. It holds the newest [`HELD`] events: a
//! reader that falls further behind is told how many it has missed, and no reader can hold a session up.
//!
//! What each session is doing now stands in a table beside it, as [`Connection`]s.

mod event;
mod gathered;
mod live;
pub mod log;
pub mod xferlog;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::SystemTime;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use live::{Entry, Live, Now};

pub(crate) use event::word;
pub use event::{CloseReason, Ends, Event, Family, LoginOutcome, Mode, RefusedBecause, Side, TransferOutcome, What};
pub(crate) use live::Running;
pub use live::{Connection, ConnectionKind, ConnectionState, Whose};

/// Events that are kept for a slow reader: about a second of the busiest traffic measured (10,000 small files a
/// second, five events each), some 2 MB of slots.
pub const HELD: usize = 65_536;

/// The stream of events of one server.
#[derive(Debug)]
pub struct Events {
    sender: broadcast::Sender<Arc<Event>>,
    sessions: AtomicU64,
    live: Arc<Live>,
}

impl Events {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { sender: broadcast::Sender::new(HELD), sessions: AtomicU64::new(0), live: Arc::default() })
    }

    /// The sessions that there are now.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// All events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
    }

    /// Puts on record that a connection has become no session.
    pub(crate) fn refused(&self, ends: Ends, reason: RefusedBecause) {
        let event = Event { time: SystemTime::now(), what: What::Refused { reason }, session: 0, ends };
        // An error only says that nobody listens.
        let _ = self.sender.send(Arc::new(event));
    }

    /// Begins the record of a session.
    pub(crate) fn open_session(self: &Arc<Self>, listener: SocketAddr, ends: Ends, tls: bool) -> Recorder {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let recorder = Recorder { events: Arc::clone(self), entry: self.live.open(session, ends) };
        recorder.record(What::SessionOpened { listener, family: ends.family(), tls });
        recorder
    }
}

/// The record of one session.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    events: Arc<Events>,
    entry: Arc<Entry>,
}

/// What a session has carried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Transfers that were completed.
    pub transfers: u64,
    /// Bytes sent on data connections.
    pub bytes_sent: u64,
    /// Bytes received on data connections.
    pub bytes_received: u64,
}

impl Recorder {
    /// The session's number.
    pub fn session(&self) -> u64 {
        self.entry.session
    }

    /// The control connection.
    pub fn ends(&self) -> Ends {
        self.entry.ends
    }

    /// What the session is doing, as the table of all sessions shows it.
    pub fn now(&self) -> MutexGuard<'_, Now> {
        self.entry.now()
    }

    /// Cancelled when somebody wants the session to end.
    pub fn kicked(&self) -> &CancellationToken {
        &self.entry.kick
    }

    /// Puts on record what happened on the control connection.
    pub fn record(&self, what: What) {
        self.record_at(self.ends(), what);
    }

    /// Puts on record what happened on the data connection `ends`.
    pub fn record_at(&self, ends: Ends, what: What) {
        let event = Arc::new(Event { time: SystemTime::now(), what, session: self.session(), ends });
        self.entry.follow(&event);
        // An error only says that nobody listens.
        let _ = self.events.sender.send(event);
    }

    /// Ends the record.
    pub fn close(self, reason: CloseReason, totals: Totals) {
        let Totals { transfers, bytes_sent, bytes_received } = totals;
        let duration = self.entry.opened.elapsed();
        self.record(What::SessionClosed { reason, transfers, bytes_sent, bytes_received, duration });
    }
}
