//! Control connections: the sessions of clients, command by command.
//!
//! A line comes in on the [`wire`], is taken apart by the table in [`command`], and is answered by one of the rooms
//! of [`session`]: login, parameters, offers, namespace, transfers or information. While a transfer runs, the session
//! goes on reading its wire.

mod command;
mod information;
mod login;
mod namespace;
mod offers;
mod parameters;
mod practice;
mod probe;
mod protection;
mod reply;
mod session;
mod status;
mod transfers;
mod wire;

use std::sync::{Arc, Once, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::engine::Homes;
use crate::limits::Limits;
use crate::ports::PassivePorts;
use crate::reach::Clients;
use crate::sessions::Events;
use crate::settings::Settings;
use crate::tls::Tls;

pub use practice::{Asker, Practice};
pub(crate) use probe::{Announced, Probes, serve_probe};
pub(crate) use session::serve;

/// What a reload replaces, all of it at once.
#[derive(Debug)]
pub(crate) struct InForce {
    pub settings: Arc<Settings>,
    pub accounts: Arc<Accounts>,
    pub passive: Arc<PassivePorts>,
    /// The certificate; none means that nothing is encrypted.
    pub tls: Option<Arc<Tls>>,
}

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// See [`Shared::in_force`].
    pub current: ArcSwap<InForce>,
    pub homes: Arc<Homes>,
    pub limits: Arc<Limits>,
    pub events: Arc<Events>,
    /// Health checks that are expected.
    pub probes: Arc<Probes>,
    /// Who gives lessons here.
    pub practice: OnceLock<Arc<dyn Practice>>,
    /// Where clients come from, in case that is one place only.
    pub clients: Clients,
    /// Whether it was said that PASV tells clients what they cannot reach.
    pub unreachable_said: Once,
    /// Who may compute a step of a digest now.
    pub hashing: Arc<Semaphore>,
    /// Sessions finish what they are doing and leave.
    pub drain: CancellationToken,
    /// Sessions leave at once.
    pub cut: CancellationToken,
}

impl Shared {
    /// What is in force now. Whoever needs it for more than a moment goes on with what was in force at the beginning.
    pub fn in_force(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Puts this in force, for what comes next.
    pub fn put_in_force(&self, next: InForce) {
        self.current.store(Arc::new(next));
    }
}
