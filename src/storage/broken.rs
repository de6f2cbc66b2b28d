//! Files whose replacement broke.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::facts::FileId;

/// How many broken replacements are remembered; the oldest is forgotten first. At 16 bytes each that is 160 kB, and a
/// look through all of them takes some microseconds an upload.
const CAPACITY: usize = 10_000;

/// The old files whose replacement broke, one memory for a whole server.
///
/// A client whose upload broke asks for SIZE and sends the rest. After a broken replacement that size is the old
/// file's, and the rest would make a file of an old head and a new tail. So such a file takes a new upload from the
/// start, and nothing else. Whoever creates a file has its number forgotten, since a file that is gone may have had it.
///
/// After a server was killed the temporary files that it left behind tell the next one; see
/// [`clear_leftovers`](super::clear_leftovers). What broke before is forgotten with the server.
#[derive(Debug, Default)]
pub struct BrokenReplacements(Mutex<VecDeque<FileId>>);

impl BrokenReplacements {
    pub(super) fn remember(&self, file: FileId) {
        let mut files = self.lock();
        if !files.contains(&file) {
            if files.len() == CAPACITY {
                files.pop_front();
            }
            files.push_back(file);
        }
    }

    pub(super) fn forget(&self, file: FileId) {
        self.lock().retain(|known| *known != file);
    }

    pub(super) fn knows(&self, file: FileId) -> bool {
        self.lock().contains(&file)
    }

    /// A thread that panicked left whole entries behind, so its poison means nothing here.
    fn lock(&self) -> MutexGuard<'_, VecDeque<FileId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(inode: u64) -> FileId {
        FileId { device: 1, inode }
    }

    #[test]
    fn the_oldest_makes_room() {
        let broken = BrokenReplacements::default();
        (0..=CAPACITY as u64).for_each(|inode| broken.remember(file(inode)));
        assert!(!broken.knows(file(0)));
        assert!(broken.knows(file(1)));
        assert!(broken.knows(file(CAPACITY as u64)));
    }
}
