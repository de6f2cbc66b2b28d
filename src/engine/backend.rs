//! The storage as the engine sees it: unftp-sbe-fs changes the namespace, after our checks and with our reasons.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio::io::AsyncRead;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use unftp_core::storage::{Error, ErrorKind, Fileinfo, Result, StorageBackend};
use unftp_sbe_fs::{Filesystem, Meta};

use super::login::Visitor;
use super::{Desk, escape};
use crate::accounts::Account;
use crate::blocking::briefly;
use crate::storage::rights::Action;
use crate::storage::{
    Amount, BrokenReplacements, Fault, FileId, Home, Storage, VirtualPath, clear_leftovers, make_home,
};

/// The root, and the homes below it that sessions are in. A home is opened once and closed with its last session, so
/// that descriptors are spent per account and not per session.
#[derive(Debug)]
pub(crate) struct Homes {
    /// Homes are looked up from here: no symbolic link leads a home out of the root, whoever made it.
    root: Dir,
    /// The absolute path of the root, below which the accounts have their homes.
    path: PathBuf,
    /// By directory and not by path: a home that was moved away and made anew is another one.
    open: Mutex<HashMap<FileId, Weak<Place>>>,
    broken: Arc<BrokenReplacements>,
}

impl Homes {
    /// Opens the root.
    pub fn open(root: &Path) -> io::Result<Self> {
        let path = root.canonicalize()?;
        let root = Dir::open_ambient_dir(&path, ambient_authority())?;
        Ok(Self { root, path, open: Mutex::default(), broken: Arc::default() })
    }

    /// Removes what the uploads of a killed server left behind, and remembers which files they were to replace.
    pub fn clear_leftovers(&self) -> usize {
        clear_leftovers(&self.root, &self.broken)
    }

    /// Opens the home of `account`. It blocks as long as the file system does.
    pub(super) fn room(&self, account: &Account) -> io::Result<Room> {
        let below = account.home.strip_prefix(&self.path).map_err(io::Error::other)?;
        let below = Path::new(".").join(below);
        let directory = match (self.root.open_dir(&below), &account.new_home) {
            (Err(error), Some(new)) if error.kind() == io::ErrorKind::NotFound => {
                make_home(&self.root, &below, new.template.as_deref())?;
                tracing::info!(account = account.name, home = %account.home.display(), "made the home directory");
                self.root.open_dir(&below)?
            }
            (opened, _) => opened?,
        };
        let place = self.place(directory)?;
        let storage = Storage::new(Arc::clone(&place.home), account.rights.clone());
        // What guests upload is nobody's.
        let storage = if account.anonymous { storage } else { storage.owned_by(&account.name) };
        let storage = storage.with_quota(account.quota)?;
        Ok(Room { storage, place })
    }

    fn place(&self, directory: Dir) -> io::Result<Arc<Place>> {
        let id = FileId::of(&directory)?;
        if let Some(place) = self.places().get(&id).and_then(Weak::upgrade) {
            return Ok(place);
        }
        // The lock is free meanwhile: a directory that hangs holds up nobody else's login.
        let place = Arc::new(Place::new(directory, Arc::clone(&self.broken))?);
        let mut places = self.places();
        // Somebody else may have opened it meanwhile: one home has one set of books.
        if let Some(place) = places.get(&id).and_then(Weak::upgrade) {
            return Ok(place);
        }
        places.retain(|_, place| place.strong_count() > 0);
        places.insert(id, Arc::downgrade(&place));
        Ok(place)
    }

    /// Tells the books of a home in which sessions are that somebody beside them has made files and removed others. At
    /// the next login into another one everything is counted anyway.
    pub fn changed_beside(&self, home: &Path, made: Amount, gone: Amount) -> io::Result<()> {
        let id = FileId::of(File::open(home)?)?;
        if let Some(place) = self.places().get(&id).and_then(Weak::upgrade) {
            place.home.changed_beside(made, gone);
        }
        Ok(())
    }

    fn places(&self) -> MutexGuard<'_, HashMap<FileId, Weak<Place>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A home directory as both of us open it.
#[derive(Debug)]
struct Place {
    home: Arc<Home>,
    filesystem: Filesystem,
}

impl Place {
    fn new(directory: Dir, broken: Arc<BrokenReplacements>) -> io::Result<Self> {
        // unftp-sbe-fs opens a path and takes no handle. The home's own path may lead elsewhere by now; this one leads
        // to what our handle holds, so that both of us mean the same directory.
        let filesystem = Filesystem::new(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        Ok(Self { home: Arc::new(Home::new(directory, broken)), filesystem })
    }
}

/// A home directory, and what one account may do in it.
#[derive(Debug)]
pub(super) struct Room {
    pub storage: Storage,
    place: Arc<Place>,
}

/// One engine's storage. It is told whose it is when somebody has logged in.
#[derive(Debug)]
pub(super) struct Backend {
    desk: Arc<Desk>,
    room: Option<Arc<Room>>,
}

impl Backend {
    pub fn new(desk: Arc<Desk>) -> Self {
        Self { desk, room: None }
    }

    /// The room, and `path` as control meant it; refused where the account lacks the right.
    fn enter_with(&self, action: Action, path: &Path) -> Result<(&Room, VirtualPath)> {
        let Some(room) = self.room.as_deref() else {
            return Err(ErrorKind::PermissionDenied.into());
        };
        let path = self.meant_by(path)?;
        briefly(|| room.storage.permit(action, &path)).map_err(|fault| self.refuse(fault))?;
        Ok((room, path))
    }

    fn meant_by(&self, path: &Path) -> Result<VirtualPath> {
        let plain = escape::from_ascii(path);
        VirtualPath::root().resolve(plain.as_os_str().as_bytes()).map_err(|fault| self.refuse(fault))
    }

    /// Leaves the reason on the desk, where the session finds it, and gives the engine an error to answer with.
    fn refuse(&self, fault: Fault) -> Error {
        self.desk.papers().fault = Some(fault);
        ErrorKind::PermanentFileNotAvailable.into()
    }

    /// As [`Self::refuse`], for an error of unftp-sbe-fs.
    fn explain<T>(&self, action: Action, path: &VirtualPath, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let unnamed = io::Error::from(io::ErrorKind::NotFound);
            self.refuse(Fault::from_io(action, path, error.get_io_error().unwrap_or(&unnamed)))
        })
    }
}

/// Waits for unftp-sbe-fs on this thread: whoever changes a name holds all names of the home meanwhile, which no future
/// that another thread may go on with can do.
fn wait_for<T>(change: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(change))
}

#[async_trait]
impl StorageBackend<Visitor> for Backend {
    type Metadata = Meta;

    fn enter(&mut self, visitor: &Visitor) -> io::Result<()> {
        self.room = Some(Arc::clone(&visitor.room));
        Ok(())
    }

    /// RNFR: is there such a thing? A symbolic link is renamed itself, so it is not followed.
    async fn metadata<P: AsRef<Path> + Send + Debug>(&self, visitor: &Visitor, path: P) -> Result<Meta> {
        let (room, path) = self.enter_with(Action::Rename, path.as_ref())?;
        self.explain(Action::Rename, &path, room.place.filesystem.metadata(visitor, path.relative()).await)
    }

    async fn mkd<P: AsRef<Path> + Send + Debug>(&self, visitor: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::Mkdir, path.as_ref())?;
        let make = || wait_for(room.place.filesystem.mkd(visitor, path.relative()));
        let made = briefly(|| room.storage.making_directory(make)).map_err(|fault| self.refuse(fault))?;
        self.explain(Action::Mkdir, &path, made)
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, visitor: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::Rmdir, path.as_ref())?;
        let remove = || wait_for(room.place.filesystem.rmd(visitor, path.relative()));
        self.explain(Action::Rmdir, &path, briefly(|| room.storage.removing(&path, remove)))
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, visitor: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::Delete, path.as_ref())?;
        let remove = || wait_for(room.place.filesystem.del(visitor, path.relative()));
        self.explain(Action::Delete, &path, briefly(|| room.storage.removing(&path, remove)))
    }

    /// unftp-sbe-fs neither renames symbolic links nor says why it did not rename, so this is ours.
    async fn rename<P: AsRef<Path> + Send + Debug>(&self, _: &Visitor, from: P, to: P) -> Result<()> {
        let (room, from) = self.enter_with(Action::Rename, from.as_ref())?;
        let to = self.meant_by(to.as_ref())?;
        briefly(|| room.storage.rename(&from, &to)).map_err(|fault| self.refuse(fault))
    }

    /// One stat: unftp-sbe-fs would list the whole directory, and would not follow a link to one.
    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, _: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::List, path.as_ref())?;
        briefly(|| room.storage.enter(&path)).map_err(|fault| self.refuse(fault))
    }

    // Control never asks the engine for these: transfers and listings are the data plane's.

    async fn list<P: AsRef<Path> + Send + Debug>(&self, _: &Visitor, _: P) -> Result<Vec<Fileinfo<PathBuf, Meta>>> {
        Err(ErrorKind::CommandNotImplemented.into())
    }

    async fn get<P: AsRef<Path> + Send + Debug>(
        &self,
        _: &Visitor,
        _: P,
        _: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        Err(ErrorKind::CommandNotImplemented.into())
    }

    async fn put<P: AsRef<Path> + Send + Debug, R: AsyncRead + Send + Sync + Unpin + 'static>(
        &self,
        _: &Visitor,
        _: R,
        _: P,
        _: u64,
    ) -> Result<u64> {
        Err(ErrorKind::CommandNotImplemented.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use unftp_core::auth::DefaultUser;

    use super::*;
    use crate::limits::ByteRates;
    use crate::storage::Amount;
    use crate::storage::rights::{Rights, Words};

    /// A root with the home `alice`, and a directory beside it.
    fn root() -> (TempDir, Homes, Account) {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("root/alice")).unwrap();
        fs::create_dir(base.path().join("outside")).unwrap();
        let root = base.path().join("root").canonicalize().unwrap();
        let homes = Homes::open(&root).unwrap();
        let home = root.join("alice");
        let rights = Rights::everywhere(Words::READ_WRITE);
        let account = Account {
            name: "alice".to_owned(),
            home,
            rights,
            anonymous: false,
            max_sessions: None,
            rates: ByteRates::default(),
            quota: Amount::default(),
            new_home: None,
        };
        (base, homes, account)
    }

    fn path(text: &str) -> VirtualPath {
        VirtualPath::root().resolve(text.as_bytes()).unwrap()
    }

    #[test]
    fn files_made_beside_the_sessions_are_in_the_books_of_an_open_home() {
        let (_base, homes, account) = root();
        let account = Account { quota: Amount { bytes: 1000, files: 0 }, ..account };
        let made = Amount { bytes: 400, files: 2 };
        homes.changed_beside(&account.home, made, Amount::default()).unwrap();
        let used = |homes: &Homes| homes.room(&account).unwrap().storage.quota().unwrap().1;
        let open = homes.room(&account).unwrap();
        let before = used(&homes);
        homes.changed_beside(&account.home, made, Amount::default()).unwrap();
        assert_eq!(used(&homes), before.plus(made));
        drop(open);
        assert_eq!(used(&homes), before);
        assert!(homes.changed_beside(Path::new("/nowhere"), made, made).is_err());
    }

    /// Each of two would have books of its own, and with that a quota of its own.
    #[test]
    fn who_logs_in_at_the_same_time_shares_one_home() {
        let (_base, homes, account) = root();
        for _ in 0..200 {
            let together = std::sync::Barrier::new(4);
            let log_in = || {
                together.wait();
                homes.room(&account).unwrap()
            };
            let rooms =
                std::thread::scope(|scope| [(); 4].map(|()| scope.spawn(log_in)).map(|room| room.join().unwrap()));
            assert!(rooms.iter().all(|room| Arc::ptr_eq(&room.place, &rooms[0].place)));
        }
    }

    #[test]
    fn no_home_is_a_link_out_of_the_root() {
        let (base, homes, account) = root();
        homes.room(&account).unwrap();
        fs::remove_dir(&account.home).unwrap();
        for target in [base.path().join("outside"), PathBuf::from("../outside")] {
            symlink(target, &account.home).unwrap();
            assert!(homes.room(&account).is_err());
            fs::remove_file(&account.home).unwrap();
        }
        fs::create_dir(account.home.with_file_name("bob")).unwrap();
        symlink("bob", &account.home).unwrap();
        homes.room(&account).unwrap();
    }

    #[test]
    fn the_root_can_be_a_home() {
        let (_base, homes, account) = root();
        let guest = Account { home: account.home.parent().unwrap().to_owned(), ..account };
        homes.room(&guest).unwrap().storage.enter(&path("alice")).unwrap();
    }

    #[tokio::test]
    async fn a_home_that_was_replaced_is_another_one_for_us_and_for_the_engine() {
        let (_base, homes, account) = root();
        let old = homes.room(&account).unwrap();
        assert!(Arc::ptr_eq(&old.place, &homes.room(&account).unwrap().place));
        fs::rename(&account.home, account.home.with_file_name("old")).unwrap();
        fs::create_dir(&account.home).unwrap();
        let new = homes.room(&account).unwrap();
        for (room, name) in [(&old, "in-old"), (&new, "in-new")] {
            room.place.filesystem.mkd(&DefaultUser, name).await.unwrap();
            room.storage.enter(&path(name)).unwrap();
        }
        assert!(new.storage.enter(&path("in-old")).is_err());
        assert!(account.home.join("in-new").is_dir());
    }
}
