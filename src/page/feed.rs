//! Server-sent events: what the hub tells, for one reader.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::hub::{Change, Hub};
use super::view::Face;

/// Readers of the projector's face; it is open to everybody.
const PROJECTORS: usize = 64;

/// Readers of the teacher's face.
const TEACHERS: usize = 16;

/// Readers of one student's face: a few tabs, and a phone.
const OF_A_STUDENT: usize = 4;

/// What a reader is told when nothing happens, so that both sides notice a dead connection.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The readers of a page.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<HashMap<Audience, VecDeque<CancellationToken>>>);

/// Who shares a number of places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Audience {
    Projector,
    Teacher,
    Student(Arc<str>),
}

impl Readers {
    /// A place for one more reader of `face`: the token is cancelled when another one needs it. The oldest of the same
    /// face goes, so that a tab which nobody looks at keeps nobody out.
    fn enter(&self, face: &Face) -> CancellationToken {
        let (audience, most) = match face {
            Face::Projector => (Audience::Projector, PROJECTORS),
            Face::Teacher => (Audience::Teacher, TEACHERS),
            Face::Student(user) => (Audience::Student(Arc::clone(user)), OF_A_STUDENT),
        };
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|_, tokens| {
            tokens.retain(|token| !token.is_cancelled());
            !tokens.is_empty()
        });
        let tokens = readers.entry(audience).or_default();
        while tokens.len() >= most {
            tokens.pop_front().iter().for_each(CancellationToken::cancel);
        }
        let token = CancellationToken::new();
        tokens.push_back(token.clone());
        token
    }
}

/// One reader.
struct Reader {
    hub: Arc<Hub>,
    face: Face,
    changes: Receiver<Arc<Change>>,
    /// The last change that it knows; none before the first snapshot.
    known: Option<u64>,
    place: CancellationToken,
    /// Ends with whatever let this reader in.
    signed_out: CancellationToken,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.place.cancel();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("face", &self.face).field("known", &self.known).finish_non_exhaustive()
    }
}

impl Reader {
    /// What is to be read next.
    async fn next(&mut self) -> Option<Arc<str>> {
        if self.known.is_none() {
            return Some(self.snapshot());
        }
        loop {
            let change = tokio::select! {
                change = self.changes.recv() => change,
                () = self.place.cancelled() => return None,
                () = self.signed_out.cancelled() => return None,
            };
            match change {
                Ok(change) if self.known >= Some(change.number) => {}
                Ok(change) if change.afresh => return Some(self.snapshot()),
                Ok(change) => {
                    self.known = Some(change.number);
                    if let Some(text) = change.text(&self.face) {
                        return Some(text);
                    }
                }
                Err(RecvError::Lagged(_)) => return Some(self.snapshot()),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn snapshot(&mut self) -> Arc<str> {
        let (number, text) = self.hub.snapshot(&self.face);
        self.known = Some(number);
        text.into()
    }
}

/// A snapshot, and the changes from then on, until somebody else needs the place or `signed_out` is cancelled.
pub(super) fn feed(
    hub: &Arc<Hub>,
    readers: &Readers,
    face: Face,
    signed_out: CancellationToken,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + use<> {
    let place = readers.enter(&face);
    let reader = Reader { changes: hub.subscribe(), hub: Arc::clone(hub), face, known: None, place, signed_out };
    unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok(sse::Event::default().data(&*text)), reader))
    })
}
