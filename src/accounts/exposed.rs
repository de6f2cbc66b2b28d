//! Whether guests get at what is in the homes of accounts: by default, all of the root is theirs to read.

use super::{Account, Accounts};
use crate::storage::VirtualPath;
use crate::storage::rights::Action;

/// What guests may do in homes that are not theirs, with its cure.
pub(crate) fn warnings(accounts: &Accounts) -> Vec<String> {
    let accounts = accounts.all();
    let Some(guests) = accounts.iter().find(|account| account.anonymous) else { return Vec::new() };
    let exposed: Vec<&str> =
        accounts.iter().filter(|account| is_exposed(account, guests)).map(|account| &*account.name).collect();
    let whose = match exposed.as_slice() {
        [] => return Vec::new(),
        [name] => (*name).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    vec![format!(
        "guests (accounts.anonymous) get at the files of {whose}; give them a home of their own (longshore group add \
         anonymous --home pub), close it by their permissions, or set accounts.anonymous = \"off\""
    )]
}

/// Whether guests may read or change what is in this home, which is below theirs.
fn is_exposed(account: &Account, guests: &Account) -> bool {
    let Ok(below) = account.home.strip_prefix(&guests.home) else { return false };
    let path = VirtualPath::root().resolve(below.as_os_str().as_encoded_bytes());
    let open = [Action::Read, Action::Overwrite, Action::Append, Action::Delete];
    let is_open = |path| open.iter().any(|action| guests.rights.allow(*action, &path));
    account.home != guests.home && path.is_ok_and(is_open)
}
