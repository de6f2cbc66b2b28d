//! The storage against real directories.

mod escapes;
mod listings;
mod operations;
mod uploads;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::TempDir;

use super::*;

/// A home in a temporary directory, with something beside it that must stay out of reach.
struct Fixture {
    base: TempDir,
    storage: Storage,
}

impl Fixture {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("home")).unwrap();
        fs::write(base.path().join("secret"), "secret").unwrap();
        let storage = open(&base.path().join("home"), Arc::default());
        Self { base, storage }
    }

    fn read_only(&self) -> Storage {
        Storage::new(Arc::clone(&self.storage.home), Rights::everywhere(Words::READ_ONLY))
    }

    fn outside(&self) -> PathBuf {
        self.base.path().to_owned()
    }

    fn real(&self, name: &str) -> PathBuf {
        self.base.path().join("home").join(name)
    }

    fn write(&self, name: &str, contents: &str) -> VirtualPath {
        fs::write(self.real(name), contents).unwrap();
        path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.real(name)).unwrap()
    }

    /// Everything in the home's directory `name`, temporary files included.
    fn names(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.real(name)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A storage on the directory `home`.
fn open(home: &Path, broken: Arc<BrokenReplacements>) -> Storage {
    let dir = Dir::open_ambient_dir(home, ambient_authority()).unwrap();
    Storage::new(Arc::new(Home::new(dir, broken)), Rights::everywhere(Words::READ_WRITE))
}

fn path(text: &str) -> VirtualPath {
    VirtualPath::root().resolve(text.as_bytes()).unwrap()
}

fn kind<T>(result: Result<T, Fault>) -> FaultKind {
    result.err().expect("should have been refused").kind
}
