//! Whether the system lets the server write where accounts may upload: a volume or a directory of another user's does not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::{Account, Accounts};
use crate::storage::VirtualPath;
use crate::storage::rights::Action;

/// The most homes that are named; a class has hundreds.
const SHOWN: usize = 3;

/// The homes in which the server cannot keep what accounts may upload, each with its cure.
pub(crate) fn warnings(accounts: &Accounts) -> Vec<String> {
    let accounts = accounts.all();
    let uploads = |account: &&Account| account.rights.allow(Action::Create, &VirtualPath::root());
    let mut by_home: Vec<(&Path, Errno, Vec<&str>)> = Vec::new();
    for account in accounts.iter().map(|account| &**account).filter(uploads) {
        // A home that is missing is made at a login, or is for the login to complain about.
        let above = account.home.ancestors().skip(1).filter(|_| account.new_home.is_some());
        let exists = |path: &&Path| path.symlink_metadata().is_ok();
        let Some(place) = std::iter::once(&*account.home).chain(above).find(exists) else { continue };
        let Err(error) = accessat(CWD, place, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) else { continue };
        match by_home.iter_mut().find(|(home, ..)| *home == place) {
            Some((.., names)) => names.push(&account.name),
            None => by_home.push((place, error, vec![&account.name])),
        }
    }
    let more = by_home.len().saturating_sub(SHOWN);
    let shown = by_home.into_iter().take(SHOWN).filter_map(|(home, error, names)| warning(home, error, &names));
    let rest = (more > 0).then(|| format!("{more} more homes cannot be written either; the cures are the same"));
    shown.chain(rest).collect()
}

fn warning(home: &Path, error: Errno, names: &[&str]) -> Option<String> {
    let who = match names {
        [name] => (*name).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => return None,
    };
    let found = fs::metadata(home).ok()?;
    let (home, user, group) = (home.display(), geteuid().as_raw(), getegid().as_raw());
    if error == Errno::ROFS {
        return Some(format!(
            "{home} is mounted read-only, so uploads of {who} will fail; mount it to be written, or let them read only \
             (accounts.anonymous, or permissions in the accounts file)"
        ));
    }
    let (owner, its_group, mode) = (found.uid(), found.gid(), found.mode() & 0o7777);
    // Nobody is told to serve as root.
    let serve = match owner {
        0 => String::new(),
        _ => format!(", or serve as its owner (docker run --user {owner}:{its_group})"),
    };
    Some(format!(
        "{home} belongs to user {owner} and group {its_group} with mode {mode:03o}, and user {user}, who serves, may not \
         write there ({error}), so uploads of {who} will fail; chown {user}:{group} it{serve}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_named_with_its_owner_and_a_cure() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let found = fs::metadata(home).unwrap();
        let shown = home.display().to_string();
        let said = warning(home, Errno::ACCESS, &["ann", "bob", "eve"]).unwrap().replace(&shown, "HOME");
        let (owner, mode, user) = (found.uid(), found.mode() & 0o7777, geteuid().as_raw());
        assert!(said.starts_with(&format!("HOME belongs to user {owner} and group ")), "{said}");
        assert!(said.contains(&format!("mode {mode:03o}, and user {user}, who serves, may not write there")), "{said}");
        assert!(said.contains("so uploads of ann and 2 more will fail; chown "), "{said}");
        assert_eq!(said.contains("--user"), owner != 0, "{said}");
        let said = warning(home, Errno::ROFS, &["anonymous"]).unwrap();
        assert!(said.contains("is mounted read-only, so uploads of anonymous will fail; mount it"), "{said}");
        assert!(warning(&home.join("missing"), Errno::ACCESS, &["ann"]).is_none());
    }
}
