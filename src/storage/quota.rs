//! How much an account may have in its home, and how much there is.
//!
//! There is one [`Books`] a home, whoever is in it. They are made by looking at every file, at the login of an account
//! with a quota, and kept by what the server itself writes and deletes. Nothing is stored: a server that starts again
//! looks again.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use tokio::task::block_in_place;

use super::facts::{Facts, FileId, Kind};
use super::fault::{Fault, FaultKind};
use super::home::{Home, for_each_name, stat_name};

/// Counts are made again at a login, but not more often than this, nor so often that counting takes more than a tenth of
/// the time.
const COUNT_AGAIN: Duration = Duration::from_secs(10);

/// How often a count is begun anew because something changed meanwhile, before the change is counted as it came.
const ATTEMPTS: usize = 3;

/// Bytes and files: a quota, where 0 is no limit, or what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// The sizes of regular files.
    pub bytes: u64,
    /// Files, directories and symbolic links.
    pub files: u64,
}

impl Amount {
    /// A file or directory with nothing in it.
    pub const ONE_FILE: Self = Self { bytes: 0, files: 1 };

    /// What a file or directory counts for. One with several names is the administrator's, since FTP makes no hard links.
    pub(super) fn of(facts: &Facts) -> Self {
        match facts.kind {
            Kind::File if facts.links > 1 => Self::default(),
            Kind::File => Self { bytes: facts.size, files: 1 },
            Kind::Directory | Kind::Link | Kind::Other => Self::ONE_FILE,
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), files: self.files.saturating_add(other.files) }
    }

    fn minus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_sub(other.bytes), files: self.files.saturating_sub(other.files) }
    }

    /// Whether a quota of this has room for more beside what is used. What adds nothing always fits.
    fn has_room(self, used: Self, added: Self) -> Result<(), Fault> {
        let is_over = |limit, used: u64, added| limit != 0 && added > 0 && used.saturating_add(added) > limit;
        let sentence = if is_over(self.bytes, used.bytes, added.bytes) {
            format!("Your quota is {} bytes, and {} of them are used; delete something first.", self.bytes, used.bytes)
        } else if is_over(self.files, used.files, added.files) {
            format!(
                "Your quota is {} files and directories, and there are {}; delete one first.",
                self.files, used.files
            )
        } else {
            return Ok(());
        };
        Err(Fault::new(FaultKind::Quota, sentence))
    }
}

/// What there is in a home.
#[derive(Debug, Default)]
pub(super) struct Books {
    pages: Mutex<Pages>,
    names: Mutex<()>,
}

#[derive(Debug, Default)]
struct Pages {
    used: Amount,
    /// When it was counted and how long that took; `None` where nobody has a quota.
    counted: Option<(Instant, Duration)>,
    /// How many changes there were, for whoever counts meanwhile.
    changes: u64,
    /// Uploads that are on their way, whose bytes are partly in the books only and partly on the disk too.
    uploads: usize,
    /// The files of those that write in place, and how many bytes of them were counted out because they lost their name.
    in_place: HashMap<FileId, Option<u64>>,
}

impl Books {
    /// Nothing is half changed while it is locked.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while something gets, changes or loses its name, from the look at it to its place in the books: two who take the
    /// same name away would count it out twice. Where nobody has a quota there is none: a disk that hangs below a home
    /// would hold up all of that.
    pub fn names(&self) -> Option<MutexGuard<'_, ()>> {
        self.pages().counted?;
        Some(match self.names.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // To delete a large file can take the disk a while, and others need this thread.
            Err(TryLockError::WouldBlock) => {
                block_in_place(|| self.names.lock().unwrap_or_else(PoisonError::into_inner))
            }
        })
    }

    /// Takes out what has lost its name.
    fn count_out(&self, file: FileId, gone: Amount) {
        let mut pages = self.pages();
        if let Some(counted_out) = pages.in_place.get_mut(&file) {
            *counted_out = Some(gone.bytes);
        }
        pages.used = pages.used.minus(gone);
        pages.changes += 1;
    }

    /// Adds what fits into `quota`.
    fn charge(&self, quota: Amount, added: Amount) -> Result<(), Fault> {
        let mut pages = self.pages();
        quota.has_room(pages.used, added)?;
        pages.used = pages.used.plus(added);
        pages.changes += 1;
        Ok(())
    }

    /// Somebody beside the sessions has made files here, whatever the quota, and removed others.
    pub fn changed_beside(&self, made: Amount, gone: Amount) {
        let mut pages = self.pages();
        pages.used = pages.used.plus(made).minus(gone);
        pages.changes += 1;
    }

    fn release(&self, gone: Amount) {
        let mut pages = self.pages();
        pages.used = pages.used.minus(gone);
        pages.changes += 1;
    }
}

/// An account's view of its home's books.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    home: Arc<Home>,
    quota: Amount,
}

impl Allowance {
    pub fn new(home: Arc<Home>, quota: Amount) -> Self {
        Self { home, quota }
    }

    /// The quota and what is used of it, if there is one.
    pub fn standing(&self) -> Option<(Amount, Amount)> {
        (self.quota != Amount::default()).then(|| (self.quota, self.home.books().pages().used))
    }

    /// Counts what is there, where that was not done lately. It blocks as long as the file system does.
    pub fn count(&self) -> io::Result<()> {
        if self.quota == Amount::default() {
            return Ok(());
        }
        let books = self.home.books();
        for attempt in 1.. {
            let (begun, changes) = {
                let pages = books.pages();
                let is_fresh = |(at, took): (Instant, Duration)| at.elapsed() < COUNT_AGAIN.max(took * 10);
                if pages.counted.is_some_and(is_fresh) || pages.counted.is_some() && pages.uploads > 0 {
                    return Ok(());
                }
                (Instant::now(), pages.changes)
            };
            let used = count(self.home.dir())?;
            let mut pages = books.pages();
            if pages.changes == changes || pages.counted.is_none() && attempt == ATTEMPTS {
                pages.used = used;
                pages.counted = Some((Instant::now(), begun.elapsed()));
                return Ok(());
            }
            if attempt == ATTEMPTS {
                // What was counted before, and every change since, is good enough.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether another byte, and another file where `new` says so, would fit. Before it says no it counts again, where that
    /// was not done lately: somebody else may have tidied up.
    pub fn has_room(&self, new: bool) -> Result<(), Fault> {
        let more = Amount { bytes: 1, files: u64::from(new) };
        let fits = || {
            let used = self.home.books().pages().used;
            self.quota.has_room(used, more)
        };
        fits().or_else(|fault| match block_in_place(|| self.count()) {
            Ok(()) => fits(),
            Err(_) => Err(fault),
        })
    }

    /// How many bytes more fit; `None` for any number.
    pub fn bytes_left(&self) -> Option<u64> {
        let (quota, used) = self.standing()?;
        (quota.bytes != 0).then(|| quota.bytes.saturating_sub(used.bytes))
    }

    /// Has something new in the books, before it is made.
    pub fn charge(&self, added: Amount) -> Result<(), Fault> {
        self.home.books().charge(self.quota, added)
    }

    /// Takes out of the books what has not been made.
    pub fn release(&self, gone: Amount) {
        self.home.books().release(gone);
    }

    /// Takes out of the books what has lost its name, while those are [held](Books::names).
    pub fn count_out(&self, gone: &Facts) {
        self.home.books().count_out(FileId::from(gone), Amount::of(gone));
    }

    /// The bill of an upload that replaces a file, which counts for `before` bytes.
    pub fn bill_of_replacement(&self, before: u64) -> Bill {
        self.bill(None, before, false)
    }

    /// The bill of an upload to `file`, which counts for `before` bytes; `new` says that the file was made for it, which has
    /// to be charged already.
    pub fn bill_in_place(&self, file: FileId, before: u64, new: bool) -> Bill {
        self.bill(Some(file), before, new)
    }

    fn bill(&self, in_place: Option<FileId>, before: u64, new: bool) -> Bill {
        let mut pages = self.home.books().pages();
        pages.uploads += 1;
        pages.in_place.extend(in_place.map(|file| (file, None)));
        Bill { allowance: self.clone(), in_place, before, paid_to: before, new, displaced: None }
    }
}

/// What an upload is charged: bytes before they reach the disk, and at the end what has become of them. A replacement is
/// charged for what it adds to the old file only, which goes when it comes.
#[derive(Debug)]
pub(super) struct Bill {
    allowance: Allowance,
    /// The file that is written in place.
    in_place: Option<FileId>,
    before: u64,
    /// Up to here the file's bytes are in the books.
    paid_to: u64,
    new: bool,
    /// What goes when the file comes, instead of what it was to replace, and how many bytes it counts for.
    displaced: Option<(FileId, u64)>,
}

/// What has become of an upload's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// Nothing: the name stands for what it stood for before.
    Nothing,
    /// The name stands for so many bytes.
    Bytes(u64),
    /// Somebody took its name away while it was written in place.
    Nameless,
}

impl Bill {
    /// The home, for its [names](Books::names).
    pub fn home(&self) -> Arc<Home> {
        Arc::clone(&self.allowance.home)
    }

    /// Before the file grows to `end` bytes.
    pub fn pay_to(&mut self, end: u64) -> Result<(), Fault> {
        if end > self.paid_to {
            self.allowance.charge(Amount { bytes: end - self.paid_to, files: 0 })?;
            self.paid_to = end;
        }
        Ok(())
    }

    /// The file takes the place of `there`, or of nothing, instead of what it was to replace: all of it is charged.
    pub fn pay_whole(&mut self, there: Option<&Facts>) -> Result<(), Fault> {
        self.allowance.charge(Amount { bytes: self.before, files: u64::from(there.is_none()) })?;
        (self.before, self.new) = (0, there.is_none());
        self.displaced = there.map(|there| (FileId::from(there), Amount::of(there).bytes));
        Ok(())
    }

    /// The upload is over. A second time changes nothing.
    pub fn settle(&mut self, became: Became) {
        let books = self.allowance.home.books();
        let counted_out = self.in_place.take().and_then(|file| books.pages().in_place.remove(&file)).flatten();
        // What of the file's bytes is in the books no more, or shall stay there.
        let settled = match became {
            Became::Nothing => self.before,
            Became::Bytes(size) => size,
            // It may have lost its name just before this bill was made.
            Became::Nameless => counted_out.unwrap_or(self.before),
        };
        let bytes = self.paid_to.saturating_sub(settled);
        let files = u64::from(became == Became::Nothing && self.new);
        books.release(Amount { bytes, files });
        if let (Became::Bytes(_), Some((file, bytes))) = (became, self.displaced) {
            books.count_out(file, Amount { bytes, files: 0 });
        }
        (self.paid_to, self.before, self.new, self.displaced) = (settled, settled, false, None);
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let mut pages = self.allowance.home.books().pages();
        pages.uploads -= 1;
        if let Some(file) = self.in_place {
            pages.in_place.remove(&file);
        }
    }
}

/// Everything below `root`, symbolic links for themselves. What cannot be read below it is passed over: its owner may have
/// closed it, and has to come in to open it again.
fn count(root: &Dir) -> io::Result<Amount> {
    let mut used = Amount::default();
    // Paths and not handles: a wide tree would need too many of those.
    let mut pending = vec![PathBuf::from(".")];
    while let Some(path) = pending.pop() {
        let Ok(directory) = root.open_dir(&path) else { continue };
        let read = for_each_name(directory.as_fd(), |name| {
            if let Ok(stat) = stat_name(&directory, name) {
                let facts = Facts::from(&stat);
                used = used.plus(Amount::of(&facts));
                if facts.kind == Kind::Directory {
                    pending.push(path.join(OsStr::from_bytes(name.to_bytes())));
                }
            }
            true
        });
        match read {
            Err(error) if path == Path::new(".") => return Err(error),
            Err(error) => tracing::warn!(%error, ?path, "a directory is not counted for its quota"),
            Ok(()) => {}
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;
    use tempfile::TempDir;

    use super::*;

    fn allowance(bytes: u64, files: u64) -> (TempDir, Allowance) {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        let home = Arc::new(Home::new(dir, Arc::default()));
        (base, Allowance::new(home, Amount { bytes, files }))
    }

    const FILE: FileId = FileId { device: 1, inode: 2 };

    /// Another file of this size.
    fn file_of(size: u64) -> Facts {
        let (kind, modified) = (Kind::File, std::time::SystemTime::UNIX_EPOCH);
        Facts { kind, size, modified, mode: 0, device: 1, inode: 3, links: 1, uid: 0, gid: 0 }
    }

    fn used(allowance: &Allowance) -> (u64, u64) {
        let used = allowance.standing().unwrap().1;
        (used.bytes, used.files)
    }

    #[test]
    fn everything_counts_that_ftp_could_have_made() {
        let (base, allowance) = allowance(1000, 0);
        fs::create_dir_all(base.path().join("a/b")).unwrap();
        fs::write(base.path().join("a/b/file"), [0; 100]).unwrap();
        fs::write(base.path().join("linked"), [0; 500]).unwrap();
        fs::hard_link(base.path().join("linked"), base.path().join("a/linked")).unwrap();
        std::os::unix::fs::symlink("a", base.path().join("link")).unwrap();
        allowance.count().unwrap();
        assert_eq!(used(&allowance), (100, 4));
        // Not again at once.
        fs::remove_file(base.path().join("a/b/file")).unwrap();
        allowance.count().unwrap();
        assert_eq!(used(&allowance), (100, 4));
    }

    #[test]
    fn who_would_be_refused_is_counted_again_later() {
        let (base, allowance) = allowance(100, 0);
        fs::write(base.path().join("full"), [0; 100]).unwrap();
        allowance.count().unwrap();
        fs::remove_file(base.path().join("full")).unwrap();
        assert!(allowance.has_room(true).is_err(), "not at once");
        allowance.home.books().pages().counted = Some((Instant::now() - COUNT_AGAIN, Duration::ZERO));
        assert!(allowance.has_room(true).is_ok());
        assert_eq!(used(&allowance), (0, 0));
    }

    #[test]
    fn uploads_pay_before_they_write_and_get_back_what_did_not_come() {
        let (_base, allowance) = allowance(100, 2);
        allowance.count().unwrap();
        allowance.charge(Amount::ONE_FILE).unwrap();
        let mut new = allowance.bill_in_place(FILE, 0, true);
        new.pay_to(60).unwrap();
        new.pay_to(50).unwrap();
        assert_eq!(used(&allowance), (60, 1));
        assert_eq!(new.pay_to(101).unwrap_err().kind, FaultKind::Quota);
        assert_eq!(used(&allowance), (60, 1));
        // The disk took 55 of them.
        new.settle(Became::Bytes(55));
        new.settle(Became::Bytes(55));
        assert_eq!(used(&allowance), (55, 1));
        // Another one that comes to nothing.
        allowance.charge(Amount::ONE_FILE).unwrap();
        assert_eq!(allowance.charge(Amount::ONE_FILE).unwrap_err().kind, FaultKind::Quota);
        let mut broken = allowance.bill_in_place(FILE, 0, true);
        broken.pay_to(45).unwrap();
        assert_eq!(allowance.bytes_left(), Some(0));
        assert!(allowance.has_room(false).is_err());
        broken.settle(Became::Nothing);
        broken.settle(Became::Nothing);
        assert_eq!(used(&allowance), (55, 1));
    }

    #[test]
    fn a_replacement_is_charged_for_what_it_adds() {
        let (_base, allowance) = allowance(100, 0);
        allowance.charge(Amount { bytes: 90, files: 1 }).unwrap();
        let mut larger = allowance.bill_of_replacement(90);
        larger.pay_to(95).unwrap();
        assert!(larger.pay_to(101).is_err());
        larger.settle(Became::Nothing);
        assert_eq!(used(&allowance), (90, 1));
        let mut smaller = allowance.bill_of_replacement(90);
        smaller.pay_to(10).unwrap();
        assert_eq!(used(&allowance), (90, 1));
        smaller.settle(Became::Bytes(10));
        assert_eq!(used(&allowance), (10, 1));
    }

    #[test]
    fn a_replacement_whose_old_file_has_gone_is_charged_whole() {
        let (_base, allowance) = allowance(100, 2);
        let old = Amount { bytes: 40, files: 1 };
        allowance.charge(old).unwrap();
        // Nothing is under its name, and then a third file.
        let mut bill = allowance.bill_of_replacement(40);
        bill.pay_to(60).unwrap();
        allowance.release(old);
        bill.pay_whole(None).unwrap();
        assert_eq!(used(&allowance), (60, 1));
        bill.settle(Became::Nothing);
        assert_eq!(used(&allowance), (0, 0));
        allowance.charge(Amount { bytes: 30, files: 1 }).unwrap();
        let mut bill = allowance.bill_of_replacement(40);
        bill.pay_to(60).unwrap();
        bill.pay_whole(Some(&file_of(30))).unwrap();
        assert_eq!(used(&allowance), (90, 1));
        bill.settle(Became::Bytes(60));
        assert_eq!(used(&allowance), (60, 1));
        // Where there is no room it stays the old file's replacement, and is dropped.
        let mut bill = allowance.bill_of_replacement(60);
        bill.pay_to(70).unwrap();
        assert!(bill.pay_whole(None).is_err());
        bill.settle(Became::Nothing);
        assert_eq!(used(&allowance), (60, 1));
    }

    #[test]
    fn a_file_that_loses_its_name_while_it_is_written_is_counted_out_whole_and_once() {
        let (_base, allowance) = allowance(100, 0);
        let lost = |size| Facts { inode: FILE.inode, ..file_of(size) };
        // Before anything more comes, in between, and before the bill was made.
        for (before, look, end) in [(0, Some(0), 50), (0, Some(30), 50), (20, Some(40), 50), (20, Some(50), 50)] {
            allowance.charge(Amount { bytes: before, files: 1 }).unwrap();
            let mut bill = allowance.bill_in_place(FILE, before, before == 0);
            bill.pay_to(look.unwrap()).unwrap();
            allowance.count_out(&lost(look.unwrap()));
            bill.pay_to(end).unwrap();
            bill.settle(Became::Nameless);
            bill.settle(Became::Nameless);
            assert_eq!(used(&allowance), (0, 0), "{before} {look:?} {end}");
        }
        allowance.charge(Amount { bytes: 20, files: 1 }).unwrap();
        allowance.count_out(&lost(20));
        let mut bill = allowance.bill_in_place(FILE, 20, false);
        bill.pay_to(50).unwrap();
        bill.settle(Became::Nameless);
        assert_eq!(used(&allowance), (0, 0));
    }

    #[test]
    fn files_made_beside_the_sessions_count_whatever_the_quota() {
        let (_base, allowance) = allowance(100, 2);
        allowance.count().unwrap();
        allowance.charge(Amount { bytes: 90, files: 1 }).unwrap();
        let books = allowance.home.books();
        books.changed_beside(Amount { bytes: 50, files: 3 }, Amount { bytes: 10, files: 1 });
        assert_eq!(used(&allowance), (130, 3));
        assert!(allowance.has_room(false).is_err());
    }

    #[test]
    fn a_home_over_its_quota_can_still_be_tidied() {
        let quota = Amount { bytes: 10, files: 1 };
        let used = Amount { bytes: 20, files: 5 };
        assert!(quota.has_room(used, Amount::default()).is_ok());
        assert!(quota.has_room(used, Amount { bytes: 1, files: 0 }).is_err());
        assert!(Amount::default().has_room(used, used).is_ok());
    }
}
