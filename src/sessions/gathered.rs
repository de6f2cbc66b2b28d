//! Events as a log reads them on a thread of its own: in bunches.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Event;

/// How long the first event of a bunch waits for company. Waking a thread, and a write, for every single event cost
/// a session a fifth of its small files a second.
const GATHER: Duration = Duration::from_millis(5);

/// What came next.
pub(super) enum Next {
    Event(Arc<Event>),
    /// This many events came too fast.
    Missed(u64),
}

/// The events, until the last session and the server are gone.
pub(super) struct Gathered(Receiver<Arc<Event>>);

impl Gathered {
    pub fn from(events: Receiver<Arc<Event>>) -> Self {
        Self(events)
    }

    /// Waits for the next one; where none is there yet, `idle` is done first.
    pub fn next(&mut self, idle: impl FnOnce()) -> Option<Next> {
        match self.0.try_recv() {
            Ok(event) => Some(Next::Event(event)),
            Err(TryRecvError::Lagged(missed)) => Some(Next::Missed(missed)),
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => {
                idle();
                let next = self.0.blocking_recv();
                sleep(GATHER);
                match next {
                    Ok(event) => Some(Next::Event(event)),
                    Err(RecvError::Lagged(missed)) => Some(Next::Missed(missed)),
                    Err(RecvError::Closed) => None,
                }
            }
        }
    }
}
