//! Whether clients get at what is not theirs: guests at the homes of accounts, since by default all of the root is theirs to
//! read, and anybody at the server's own files.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Account, Accounts};
use crate::settings::Settings;
use crate::storage::VirtualPath;
use crate::storage::rights::Action;

/// What clients may do where they should not, each with its cure.
pub(crate) fn warnings(accounts: &Accounts, settings: &Settings) -> Vec<String> {
    let accounts = accounts.all();
    let homes = accounts.iter().find(|account| account.anonymous).and_then(|guests| {
        let is_exposed = |account: &Account| account.home != guests.home && gets_at(guests, &account.home);
        let whose = names(accounts.iter().map(|account| &**account).filter(|account| is_exposed(account)))?;
        Some(format!(
            "guests (accounts.anonymous) get at the files of {whose}; give them a home of their own (longshore group add \
             anonymous --home pub), close it by their permissions, or set accounts.anonymous = \"off\""
        ))
    });
    let own = [
        ("accounts.file", &settings.accounts.file),
        ("tls.key", &settings.tls.key),
        ("log.sessions", &settings.log.sessions),
        ("log.xferlog", &settings.log.xferlog),
    ];
    let own = own.into_iter().filter_map(|(key, file)| {
        let file = real_path(file.as_deref()?)?;
        let who = names(accounts.iter().map(|account| &**account).filter(|account| gets_at(account, &file)))?;
        let (file, root) = (file.display(), settings.storage.root.display());
        Some(format!(
            "{who} can read or change {file} as a client; move it out of {root}, and set {key} to where it is then"
        ))
    });
    homes.into_iter().chain(own).collect()
}

/// Where a file is, or will be when it is made.
fn real_path(file: &Path) -> Option<PathBuf> {
    let made = || Some(fs::canonicalize(std::path::absolute(file).ok()?.parent()?).ok()?.join(file.file_name()?));
    fs::canonicalize(file).ok().or_else(made)
}

/// The first of them, and how many more there are.
fn names<'a>(accounts: impl Iterator<Item = &'a Account>) -> Option<String> {
    let mut names = accounts.map(|account| &*account.name);
    let first = names.next()?;
    Some(match names.count() {
        0 => first.to_owned(),
        more => format!("{first} and {more} more"),
    })
}

/// Whether `account` may read or change what is at `path` or in it, where that is below its home.
fn gets_at(account: &Account, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(&account.home) else { return false };
    let path = VirtualPath::root().resolve(below.as_os_str().as_encoded_bytes());
    let open = [Action::Read, Action::Overwrite, Action::Append, Action::Delete];
    path.is_ok_and(|path| open.iter().any(|action| account.rights.allow(*action, &path)))
}
