//! Who the program is. In the image, `PUID` and `PGID` say that to a container which was started as root.

use std::env;
use std::io;

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::settings::{Faults, MARK};

/// Becomes the user and the group that `PUID` and `PGID` name, if this is the image and they name others than those who
/// run. To be called before there is a second thread: threads inherit this, and it reaches no other.
pub fn assume_identity() -> Result<(), Faults> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if variable(MARK).is_none() {
        return Ok(());
    }
    let own = (geteuid().as_raw(), getegid().as_raw());
    match wanted(variable("PUID").as_deref(), variable("PGID").as_deref(), own)? {
        None => Ok(()),
        Some((user, group)) => assume(Uid::from_raw(user), Gid::from_raw(group)).map_err(|error| {
            let text = format!(
                "cannot become user {user} and group {group}: {error}; let the container do that (--cap-add SETUID --cap-add \
                 SETGID), or start it with --user {user}:{group} and without PUID"
            );
            Faults::one("PUID", text)
        }),
    }
}

/// Whom to become, if it is somebody else; the group is the user's number where nothing is said.
fn wanted(user: Option<&str>, group: Option<&str>, own: (u32, u32)) -> Result<Option<(u32, u32)>, Faults> {
    let Some(user) = user else {
        let alone = |_| Err(Faults::one("PGID", "it is a group without a user; set PUID too"));
        return group.map_or(Ok(None), alone);
    };
    // The last number means "nobody in particular" to the kernel.
    let number = |name: &str, written: &str| {
        let number = written.parse().ok().filter(|number| *number != u32::MAX);
        let wrong = || format!("{written:?} is no number; write one, such as 1000 (`id` prints yours)");
        number.ok_or_else(|| Faults::one(name, wrong()))
    };
    let user = number("PUID", user)?;
    let group = group.map(|group| number("PGID", group)).transpose()?;
    if user == own.0 && group.is_none_or(|group| group == own.1) {
        return Ok(None);
    }
    let group = group.unwrap_or(user);
    if own.0 != 0 {
        let (own_user, own_group) = own;
        let text = format!(
            "asks for user {user} and group {group}, but the container was started as user {own_user} and group \
             {own_group}, who cannot become others; start it with --user {user}:{group} (in compose user: \
             \"{user}:{group}\") and without PUID, or as root (--user 0) for PUID and PGID to be obeyed"
        );
        return Err(Faults::one("PUID", text));
    }
    Ok(Some((user, group)))
}

/// Of root's rights that to bind ports below 1024 is kept, if it is there.
fn assume(user: Uid, group: Gid) -> io::Result<()> {
    set_keep_capabilities(true)?;
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    if !user.is_root() {
        let bind = capabilities(None)?.permitted & CapabilitySet::NET_BIND_SERVICE;
        set_capabilities(
            None,
            CapabilitySets { effective: bind, permitted: bind, inheritable: CapabilitySet::empty() },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_becomes_whom_it_is_told_to_and_nobody_else_does() {
        let (root, ann) = ((0, 0), (1000, 1000));
        for (user, group, own, expected) in [
            (None, None, ann, Ok(None)),
            (Some("1000"), None, ann, Ok(None)),
            (Some("1000"), Some("1000"), ann, Ok(None)),
            (Some("0"), None, root, Ok(None)),
            (Some("1001"), Some("100"), root, Ok(Some((1001, 100)))),
            (Some("1001"), None, root, Ok(Some((1001, 1001)))),
            (None, Some("100"), root, Err("PGID: it is a group without a user; set PUID too")),
            (Some("ann"), None, root, Err("PUID: \"ann\" is no number; write one, such as 1000 (`id` prints yours)")),
            (Some("1"), Some("4294967295"), root, Err("PGID: \"4294967295\" is no number; write one")),
            (Some("1001"), None, ann, Err("PUID: asks for user 1001 and group 1001, but the container was started as")),
            (Some("1000"), Some("100"), ann, Err("PUID: asks for user 1000 and group 100, but the container was")),
            (Some("0"), None, ann, Err("PUID: asks for user 0")),
        ] {
            let found = wanted(user, group, own).map_err(|faults| faults.to_string());
            match expected {
                Ok(expected) => assert_eq!(found, Ok(expected), "{user:?} {group:?} {own:?}"),
                Err(text) => assert!(found.clone().is_err_and(|faults| faults.starts_with(text)), "{found:?}"),
            }
        }
    }
}
