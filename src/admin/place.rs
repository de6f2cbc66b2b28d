//! Where the socket lies. The server and those who ask it follow the same rule, so that they meet without being told.
//!
//! | who serves | directory |
//! |---|---|
//! | a service of systemd with `RuntimeDirectory=` | `$RUNTIME_DIRECTORY` |
//! | anybody who is logged in | `$XDG_RUNTIME_DIR/longshore` |
//! | our image, which sets the variable | `/dev/shm/longshore` |
//! | others | none: `server.admin_socket` has to name one |
//!
//! In there the socket is named after the first control port, so that several servers have one each. Outside of the unit
//! those who ask look into `/run/longshore`, which is the service's, and into their own directory.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::settings::AdminSocket;

/// What `RuntimeDirectory=longshore` is outside of the unit.
const OF_THE_SYSTEM: &str = "/run/longshore";

/// Where a server puts its socket whose first control port this is; `None` where it has none.
pub fn of_server(setting: &AdminSocket, port: u16) -> Option<PathBuf> {
    match setting {
        AdminSocket::Off => None,
        AdminSocket::At(path) => Some(path.clone()),
        AdminSocket::Auto => {
            let directory = of_the_unit().or_else(of_the_user)?;
            Some(directory.join(format!("{port}.sock")))
        }
    }
}

/// The sockets that servers may have put where nobody told them otherwise. An error is of a directory that this user may
/// not look into.
pub(super) fn candidates() -> Vec<(PathBuf, io::Result<Vec<PathBuf>>)> {
    let directories = match of_the_unit() {
        Some(directory) => vec![directory],
        None => std::iter::once(PathBuf::from(OF_THE_SYSTEM)).chain(of_the_user()).collect(),
    };
    let look = |directory: PathBuf| {
        let sockets = sockets_in(&directory);
        (directory, sockets)
    };
    directories.into_iter().map(look).collect()
}

fn sockets_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sockets: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "sock")).collect();
    sockets.sort();
    Ok(sockets)
}

/// systemd makes it before the start and removes it behind the stop.
fn of_the_unit() -> Option<PathBuf> {
    let directories = env::var_os("RUNTIME_DIRECTORY")?;
    // The unit may have several.
    let first = env::split_paths(&directories).next();
    first.filter(|path| path.is_absolute())
}

fn of_the_user() -> Option<PathBuf> {
    let runtime = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?);
    runtime.is_absolute().then(|| runtime.join("longshore"))
}
