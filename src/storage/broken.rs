//! Files whose replacement broke.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;

/// How many broken replacements are remembered; the oldest is forgotten first. At 32 bytes each that is 320 kB, and a
/// look through all of them takes some microseconds, on resumed uploads only.
const CAPACITY: usize = 10_000;

/// The old files whose replacement broke, one memory for a whole server.
///
/// A client whose upload broke asks for SIZE and sends the rest. After a broken replacement that size is the old
/// file's, and the rest would make a file of an old head and a new tail. So such a file takes a new upload from the
/// start, and nothing else, until it has changed.
#[derive(Debug, Default)]
pub struct BrokenReplacements(Mutex<VecDeque<OldFile>>);

/// A file in one state: another modification time makes it another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OldFile {
    device: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: u64,
}

impl From<&Stat> for OldFile {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino, seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec }
    }
}

impl BrokenReplacements {
    /// A memory without entries.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn remember(&self, file: OldFile) {
        let mut files = self.lock();
        if !files.contains(&file) {
            if files.len() == CAPACITY {
                files.pop_front();
            }
            files.push_back(file);
        }
    }

    pub(super) fn forget(&self, file: OldFile) {
        self.lock().retain(|known| *known != file);
    }

    pub(super) fn knows(&self, file: OldFile) -> bool {
        self.lock().contains(&file)
    }

    /// A thread that panicked left whole entries behind, so its poison means nothing here.
    fn lock(&self) -> MutexGuard<'_, VecDeque<OldFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64) -> OldFile {
        OldFile { device: 1, inode, seconds: 5, nanoseconds: 0 }
    }

    #[test]
    fn a_changed_file_is_another_file() {
        let broken = BrokenReplacements::new();
        broken.remember(file(1));
        assert!(broken.knows(file(1)));
        assert!(!broken.knows(OldFile { seconds: 6, ..file(1) }));
        broken.forget(file(1));
        assert!(!broken.knows(file(1)));
    }

    #[test]
    fn the_oldest_makes_room() {
        let broken = BrokenReplacements::new();
        (0..=CAPACITY as u64).for_each(|inode| broken.remember(file(inode)));
        assert!(!broken.knows(file(0)));
        assert!(broken.knows(file(1)));
        assert!(broken.knows(file(CAPACITY as u64)));
    }
}
