//! Uploads that never leave a damaged file behind.
//!
//! A new name is written in place: when the upload breaks, what arrived stays, and REST or APPE resume it. What would
//! replace bytes of an existing file is written to a temporary file beside it and takes its name only when complete, and
//! so is what is handed in.
//! One upload to a name at a time: `flock` on the file says so to our own sessions and to other servers alike.

mod begin;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustix::fs::FlockOperation;
use rustix::fs::{flock, fstat, fsync, renameat};

use super::broken::BrokenReplacements;
use super::facts::{Facts, FileId};
use super::fault::Fault;
use super::home::{Seat, readable, rename_to_new, stat_name};
use super::path::VirtualPath;
use super::quota::{Became, Bill};
use super::rights::Action;

/// Where in its file an upload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// STOR: the whole file.
    Beginning,
    /// REST and STOR: everything from this offset on.
    Offset(u64),
    /// APPE: more at the end.
    End,
}

/// A file on its way in. Dropped without [`Upload::finish`] it is broken: a replacement vanishes and the old file stays
/// as it was; of a new or a longer file, what arrived stays, and a new one that got nothing goes.
#[derive(Debug)]
pub struct Upload {
    file: File,
    path: VirtualPath,
    /// The name that the file has now.
    seat: Seat,
    /// The one in the same directory that it gets when it is complete, where that is another.
    becomes: Option<CString>,
    action: Action,
    start: u64,
    position: u64,
    fsync: bool,
    replacing: Option<Replacing>,
    /// Whether `write_all` was called, if only with no bytes. Where the data connection never came about it was not, and
    /// the client may go on as if it had not tried.
    attempted: bool,
    finished: bool,
    bill: Bill,
}

/// What an upload that replaces a file has to put right when it ends.
#[derive(Debug)]
struct Replacing {
    old: FileId,
    broken: Arc<BrokenReplacements>,
    /// Its lock keeps other uploads away from the old file.
    old_file: File,
    /// How much of the old file's head is still to be copied.
    head_left: u64,
}

impl Upload {
    /// Copies up to `limit` bytes of the old file's head, with which a resumed replacement begins. True when the upload
    /// is ready for [`write_all`](Self::write_all), as all others are at once.
    pub fn prepare(&mut self, limit: u64) -> Result<bool, Fault> {
        self.copy_head(limit).map_err(|error| self.fault(&error))?;
        Ok(self.is_ready())
    }

    fn is_ready(&self) -> bool {
        self.replacing.as_ref().is_none_or(|replacing| replacing.head_left == 0)
    }

    /// std uses copy_file_range for it, which shares blocks where that is possible.
    fn copy_head(&mut self, limit: u64) -> io::Result<()> {
        if let Some(Replacing { old_file, head_left: left @ 1.., .. }) = &mut self.replacing {
            let piece = limit.min(*left);
            if io::copy(&mut (&*old_file).take(piece), &mut self.file)? < piece {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *left -= piece;
        }
        Ok(())
    }

    /// Adds `bytes`, once the upload is [prepared](Self::prepare). When this fails the upload is over and should be
    /// dropped.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        debug_assert!(self.is_ready(), "the head comes before the tail");
        self.attempted = true;
        self.bill.pay_to(self.position + bytes.len() as u64)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(self.fault(&io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    // Each part counts: on a full disk what fitted stays for a resume.
                    self.position += count as u64;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault(&error)),
            }
        }
        Ok(())
    }

    /// Whether the file gets its name when it is complete, and never before.
    pub fn is_all_or_nothing(&self) -> bool {
        self.becomes.is_some()
    }

    /// Where in the file the next byte goes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes were added.
    pub fn written(&self) -> u64 {
        self.position - self.start
    }

    /// Makes the upload last: under its final name, and on the disk where that was asked for.
    pub fn finish(&mut self) -> Result<(), Fault> {
        debug_assert!(self.is_ready(), "a file without its head is not whole");
        let written = if self.fsync { self.file.sync_all() } else { self.flush() };
        written.map_err(|error| self.fault(&error))?;
        self.take_name()?;
        // The next upload need not wait until this one is dropped.
        let _ = flock(&self.file, FlockOperation::Unlock);
        if self.fsync {
            // The name, too, is on the disk only when its directory is.
            let synced = readable(&self.seat.directory).and_then(fsync);
            synced.map_err(|error| self.fault(&error.into()))?;
        }
        Ok(())
    }

    /// What a network's disk does not take of the bytes it says at a close only. The lock is another descriptor's.
    fn flush(&self) -> io::Result<()> {
        match self.file.try_clone() {
            Ok(second) => Ok(nix::unistd::close(second)?),
            // There are no descriptors left: the long way.
            Err(_) => self.file.sync_all(),
        }
    }

    fn take_name(&mut self) -> Result<(), Fault> {
        let home = self.bill.home();
        let _names = home.books().names();
        let Some(new) = &self.becomes else {
            self.finished = true;
            self.settle_in_place();
            return Ok(());
        };
        let Seat { directory, name } = &self.seat;
        if let Some(replacing) = &self.replacing {
            // It was charged for what it adds to the old file. When that has gone from under its name meanwhile, it counts
            // no more, or elsewhere.
            let there = stat_name(directory, new).ok().map(|stat| Facts::from(&stat));
            if there.is_none_or(|there| FileId::from(&there) != replacing.old) {
                self.bill.pay_whole(there.as_ref())?;
            }
            renameat(directory, name, directory, new).map_err(|error| self.fault(&error.into()))?;
            replacing.broken.forget(replacing.old);
        } else {
            rename_to_new(directory, name, directory, new).map_err(|error| self.fault(&error.into()))?;
        }
        self.finished = true;
        self.bill.settle(Became::Bytes(self.position));
        Ok(())
    }

    /// What a file that was written in place comes to, while all names are held.
    fn settle_in_place(&mut self) {
        let nameless = fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 0);
        self.bill.settle(if nameless { Became::Nameless } else { Became::Bytes(self.position) });
    }

    fn fault(&self, error: &io::Error) -> Fault {
        Fault::from_io(self.action, &self.path, error)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let home = self.bill.home();
        let _names = home.books().names();
        if let (Some(replacing), true) = (&self.replacing, self.attempted) {
            replacing.broken.remember(replacing.old);
        }
        // A data connection that never came about leaves no empty file behind.
        let is_waste = self.becomes.is_some() || self.action == Action::Create && self.written() == 0;
        let gone = is_waste && self.seat.unlink(&self.file).is_ok_and(|done| done);
        // A temporary file that cannot be removed is hidden, and cleared when the server starts again.
        if gone || self.becomes.is_some() {
            self.bill.settle(Became::Nothing);
        } else {
            self.settle_in_place();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;

    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use tempfile::TempDir;

    use super::*;
    use crate::storage::{FaultKind, Home, Rights, Storage, Words};

    fn storage() -> (TempDir, Storage) {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        (base, Storage::new(Arc::new(Home::new(dir, Arc::default())), Rights::everywhere(Words::READ_WRITE)))
    }

    fn path(name: &str) -> VirtualPath {
        VirtualPath::root().resolve(name.as_bytes()).unwrap()
    }

    #[test]
    fn bytes_before_a_failure_count() {
        let (_base, storage) = storage();
        let mut upload = storage.begin_upload(&path("new"), Start::Beginning, false).unwrap();
        // As on a disk that becomes full: a pipe that nobody reads takes some bytes and no more.
        let (_reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        upload.file = OwnedFd::from(writer).into();
        upload.write_all(&[7; 1 << 20]).unwrap_err();
        assert!((1..1 << 20).contains(&upload.written()), "{}", upload.written());
    }

    #[test]
    fn a_replacement_that_finds_no_room_at_all_is_remembered() {
        let (base, storage) = storage();
        fs::write(base.path().join("old"), "old contents").unwrap();
        let mut upload = storage.begin_upload(&path("old"), Start::Beginning, false).unwrap();
        upload.file = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(upload.write_all(b"new").unwrap_err().kind, FaultKind::NoSpace);
        drop(upload);
        let fault = storage.begin_upload(&path("old"), Start::Offset(4), false).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Stale);
    }
}
