//! Steps in words, for who has not done them yet.

use std::collections::BTreeSet;
use std::fmt;

use super::Step;
use crate::sessions::Mode;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_mode = |mode: &Option<Mode>| match mode {
            Some(Mode::Active) => " in active mode",
            Some(Mode::Passive) => " in passive mode",
            None => "",
        };
        match self {
            Self::Login { refused: true, .. } => f.write_str("a login of yours with a wrong password"),
            Self::Login { tls: true, .. } => f.write_str("an encrypted login of yours"),
            Self::Login { family: Some(family), .. } => write!(f, "a login of yours over {family:?}"),
            Self::Login { .. } => f.write_str("a login of yours"),
            Self::Sessions { count, at_once: true } => write!(f, "you logged in {count} times at the same time"),
            Self::Sessions { count, .. } => write!(f, "{count} logins of yours"),
            Self::List { path: Some(path), mode } => write!(f, "a listing of {path}{}", in_mode(mode)),
            Self::List { path: None, mode } => write!(f, "a listing{}", in_mode(mode)),
            Self::Download { files, broken: true, .. } => write!(f, "a download of {} that was stopped", Names(files)),
            Self::Download { files, resumed: true, .. } => write!(f, "a download of {} that was resumed", Names(files)),
            Self::Download { files, mode, .. } => write!(f, "whole downloads of {}{}", Names(files), in_mode(mode)),
            Self::Upload { files, mode, .. } => {
                write!(f, "an upload of {} as it is asked for{}", Names(files), in_mode(mode))
            }
            Self::Delete { files, .. } => write!(f, "that you deleted {} and nothing else", Names(files)),
            Self::Command { verb, path: Some(path), .. } => write!(f, "{verb} for {path}"),
            Self::Command { verb, .. } => f.write_str(verb),
            Self::Refused { verbs, .. } => write!(f, "that {} was refused", Names(verbs)),
            Self::Data { mode, failed: true } => {
                write!(f, "a data connection{} that did not come about", in_mode(&Some(*mode)))
            }
            Self::Data { mode, .. } => write!(f, "a data connection{}", in_mode(&Some(*mode))),
            Self::Offer { verb, .. } => f.write_str(verb),
            Self::ByHand {} => f.write_str("a listing by hand"),
        }
    }
}

/// A few names, and how many more there are.
struct Names<'a>(&'a BTreeSet<String>);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let shown: Vec<&str> = self.0.iter().take(SHOWN).map(String::as_str).collect();
        f.write_str(&shown.join(", "))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
