//! What TLS sessions are resumed from, and which FTP session each belongs to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::crypto::ring;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

/// TLS sessions remembered for clients without tickets (curl with TLS 1.2).
const CACHED_SESSIONS: usize = 4096;

/// What TLS sessions are resumed from. It outlives a change of the certificate.
#[derive(Debug)]
pub(super) struct Memory {
    /// Made and read by this process only, and good again and again: clients present the ticket of the control
    /// connection for each transfer.
    tickets: Arc<dyn ProducesTickets>,
    cache: Arc<ServerSessionMemoryCache>,
}

impl Memory {
    pub fn new() -> Result<Arc<Self>, rustls::Error> {
        let tickets = ring::Ticketer::new()?;
        Ok(Arc::new(Self { tickets, cache: ServerSessionMemoryCache::new(CACHED_SESSIONS) }))
    }
}

/// What one connection has rustls remember, with the FTP session's number in front, and what it resumed. rustls could
/// keep such a number by itself (`set_resumption_data`), but in TLS 1.3 only.
#[derive(Debug)]
pub(super) struct Binding {
    pub memory: Arc<Memory>,
    pub session: u64,
    /// Nothing is resumed.
    pub anew: bool,
    /// The FTP session whose TLS session was looked up last; they count from 1.
    pub resumed: AtomicU64,
}

impl Binding {
    fn bind(&self, remembered: &[u8]) -> Vec<u8> {
        [&self.session.to_be_bytes(), remembered].concat()
    }

    fn unbind(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let (session, remembered) = bound.split_first_chunk().filter(|_| !self.anew)?;
        self.resumed.store(u64::from_be_bytes(*session), Ordering::Relaxed);
        Some(remembered.to_vec())
    }
}

impl ProducesTickets for Binding {
    fn enabled(&self) -> bool {
        self.memory.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.memory.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.memory.tickets.encrypt(&self.bind(plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.memory.tickets.decrypt(cipher)?)
    }
}

impl StoresServerSessions for Binding {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.memory.cache.put(key, self.bind(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.memory.cache.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unbind(&self.memory.cache.take(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
