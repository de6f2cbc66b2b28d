//! The storage as the engine sees it: unftp-sbe-fs changes the namespace, after our checks and with our reasons.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use std::os::unix::ffi::OsStrExt;
use tokio::io::AsyncRead;
use unftp_core::storage::{Error, ErrorKind, Fileinfo, Result, StorageBackend};
use unftp_sbe_fs::{Filesystem, Meta};

use super::login::Visitor;
use super::{Desk, escape};
use crate::accounts::Account;
use crate::storage::rights::Action;
use crate::storage::{BrokenReplacements, Fault, Home, Storage, VirtualPath};

/// The homes that sessions are in. A home is opened once and closed with its last session, so that descriptors are
/// spent per account and not per session.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    open: Mutex<HashMap<PathBuf, Weak<Place>>>,
    broken: Arc<BrokenReplacements>,
}

impl Homes {
    pub(super) fn room(&self, account: &Account) -> io::Result<Room> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match open.get(&account.home).and_then(Weak::upgrade) {
            Some(place) => place,
            None => {
                let home = Arc::new(Home::open(&account.home, Arc::clone(&self.broken))?);
                let place = Arc::new(Place { home, filesystem: Filesystem::new(account.home.clone())? });
                open.retain(|_, place| place.strong_count() > 0);
                open.insert(account.home.clone(), Arc::downgrade(&place));
                place
            }
        };
        Ok(Room { storage: Storage::new(Arc::clone(&place.home), account.rights), place })
    }
}

/// A home directory as both of us open it.
#[derive(Debug)]
struct Place {
    home: Arc<Home>,
    filesystem: Filesystem,
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
        let plain = escape::from_ascii(path);
        let path = VirtualPath::root().resolve(plain.as_os_str().as_bytes()).map_err(|fault| self.refuse(fault))?;
        room.storage.permit(action, &path).map_err(|fault| self.refuse(fault))?;
        Ok((room, path))
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
        self.explain(Action::Mkdir, &path, room.place.filesystem.mkd(visitor, path.relative()).await)
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, visitor: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::Rmdir, path.as_ref())?;
        self.explain(Action::Rmdir, &path, room.place.filesystem.rmd(visitor, path.relative()).await)
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, visitor: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::Delete, path.as_ref())?;
        self.explain(Action::Delete, &path, room.place.filesystem.del(visitor, path.relative()).await)
    }

    /// unftp-sbe-fs neither renames symbolic links nor says why it did not rename, so this is ours.
    async fn rename<P: AsRef<Path> + Send + Debug>(&self, _: &Visitor, from: P, to: P) -> Result<()> {
        let (room, from) = self.enter_with(Action::Rename, from.as_ref())?;
        let (_, to) = self.enter_with(Action::Rename, to.as_ref())?;
        room.storage.rename(&from, &to).map_err(|fault| self.refuse(fault))
    }

    /// One stat: unftp-sbe-fs would list the whole directory, and would not follow a link to one.
    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, _: &Visitor, path: P) -> Result<()> {
        let (room, path) = self.enter_with(Action::List, path.as_ref())?;
        room.storage.enter(&path).map_err(|fault| self.refuse(fault))
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
