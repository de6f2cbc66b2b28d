//! Facts as MLST and MLSD send them (RFC 3659, section 7).

use std::fmt::{self, Display};
use std::io::Write;

use chrono::{Datelike, Timelike};

use super::facts::{Facts, Kind, push_clock, push_name, push_number};
use super::rights::{Action, Words};

/// Names of the facts that can be asked for, in the order in which they are sent.
const NAMES: [&str; 6] = ["type", "size", "modify", "perm", "unique", "UNIX.mode"];

const TYPE: usize = 0;
const SIZE: usize = 1;
const MODIFY: usize = 2;
const PERM: usize = 3;
const UNIQUE: usize = 4;
const UNIX_MODE: usize = 5;

/// Which facts a session wants to see. All, until OPTS MLST says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactSet([bool; NAMES.len()]);

impl Default for FactSet {
    fn default() -> Self {
        Self([true; NAMES.len()])
    }
}

impl FactSet {
    /// The argument of OPTS MLST, such as `type;size;`. Case does not matter, and unknown facts are passed over
    /// (RFC 3659, section 7.9).
    pub fn parse(argument: &[u8]) -> Self {
        let wanted = |name: &str| argument.split(|&byte| byte == b';').any(|fact| is_fact(fact, name));
        Self(NAMES.map(wanted))
    }

    /// The parameter of FEAT's MLST line: every fact, the enabled ones marked with '*'.
    pub fn feature(&self) -> String {
        NAMES.iter().zip(self.0).map(|(name, on)| format!("{name}{};", if on { "*" } else { "" })).collect()
    }
}

fn is_fact(fact: &[u8], name: &str) -> bool {
    fact.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
}

/// The enabled facts, as the reply to OPTS MLST repeats them.
impl Display for FactSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NAMES.iter().zip(self.0).filter(|(_, on)| *on).try_for_each(|(name, _)| write!(f, "{name};"))
    }
}

/// What an entry is in its listing (RFC 3659, section 7.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One of the directory's entries, or what MLST was asked about.
    Entry,
    /// The listed directory itself.
    Listed,
    /// The directory above it.
    Above,
}

/// The facts of one file and its name, without a line end: what MLST sends.
pub fn machine_line(facts: &Facts, words: Words, set: &FactSet, name: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(96 + name.len());
    push_machine_line(&mut line, facts, Place::Entry, words, set, name);
    line
}

pub(super) fn push_machine_line(
    out: &mut Vec<u8>,
    facts: &Facts,
    place: Place,
    words: Words,
    set: &FactSet,
    name: &[u8],
) {
    if set.0[TYPE] {
        push_fact(out, TYPE, |out| out.extend_from_slice(type_word(facts, place)));
    }
    // A directory's own size says nothing about what a client would fetch.
    if set.0[SIZE] && facts.kind == Kind::File {
        push_fact(out, SIZE, |out| push_number(out, facts.size, 1, b' '));
    }
    if set.0[MODIFY] {
        push_fact(out, MODIFY, |out| push_time(out, facts));
    }
    if set.0[PERM] {
        push_fact(out, PERM, |out| push_permissions(out, facts.kind, place, words));
    }
    if set.0[UNIQUE] {
        push_fact(out, UNIQUE, |out| push_unique(out, facts));
    }
    if set.0[UNIX_MODE] {
        push_fact(out, UNIX_MODE, |out| push_octal(out, facts.permissions()));
    }
    out.push(b' ');
    push_name(out, name);
}

fn push_fact(out: &mut Vec<u8>, fact: usize, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(NAMES[fact].as_bytes());
    out.push(b'=');
    value(out);
    out.push(b';');
}

fn type_word(facts: &Facts, place: Place) -> &'static [u8] {
    match (facts.kind, place) {
        (Kind::File, _) => b"file",
        (Kind::Directory, Place::Entry) => b"dir",
        (Kind::Directory, Place::Listed) => b"cdir",
        (Kind::Directory, Place::Above) => b"pdir",
        (Kind::Link, _) => b"OS.unix=slink",
        (Kind::Other, _) => b"OS.unix=special",
    }
}

/// YYYYMMDDHHMMSS in UTC (RFC 3659, section 2.3).
/// When the file was modified, as MDTM and the modify fact say it (RFC 3659, 2.3).
pub fn modification_time(facts: &Facts) -> Vec<u8> {
    let mut out = Vec::new();
    push_time(&mut out, facts);
    out
}

fn push_time(out: &mut Vec<u8>, facts: &Facts) {
    let time = facts.modified_utc();
    push_number(out, u64::try_from(time.year()).unwrap_or(0), 4, b'0');
    push_number(out, time.month().into(), 2, b'0');
    push_number(out, time.day().into(), 2, b'0');
    push_clock(out, &time, b"");
    push_number(out, time.second().into(), 2, b'0');
}

/// The letters of RFC 3659, section 7.5.5, that the account's rights give there. The working of the file's own permission
/// bits stays with the operating system: asking it would cost several calls an entry.
fn push_permissions(out: &mut Vec<u8>, kind: Kind, place: Place, words: Words) {
    let letters: &[(u8, Action)] = match (kind, place) {
        (Kind::File, _) => &[
            (b'a', Action::Append),
            (b'd', Action::Delete),
            (b'f', Action::Rename),
            (b'r', Action::Read),
            (b'w', Action::Overwrite),
        ],
        (Kind::Directory, Place::Entry) => &[
            (b'c', Action::Create),
            (b'd', Action::Rmdir),
            (b'e', Action::List),
            (b'f', Action::Rename),
            (b'l', Action::List),
            (b'm', Action::Mkdir),
            (b'p', Action::Delete),
        ],
        (Kind::Directory, _) => &[
            (b'c', Action::Create),
            (b'e', Action::List),
            (b'l', Action::List),
            (b'm', Action::Mkdir),
            (b'p', Action::Delete),
        ],
        (Kind::Link | Kind::Other, _) => &[(b'd', Action::Delete), (b'f', Action::Rename)],
    };
    out.extend(letters.iter().filter(|(_, action)| words.allow(*action)).map(|(letter, _)| letter));
}

fn push_unique(out: &mut Vec<u8>, facts: &Facts) {
    write!(out, "{:x}g{:x}", facts.device, facts.inode).expect("a vector takes every write");
}

fn push_octal(out: &mut Vec<u8>, permissions: u32) {
    out.extend([9, 6, 3, 0].map(|shift| b'0' + (permissions >> shift & 7) as u8));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn facts(kind: Kind) -> Facts {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_900);
        Facts { kind, size: 1234, modified, mode: 0o100_644, device: 0xfd01, inode: 0x1a2b, links: 1, uid: 0, gid: 0 }
    }

    fn line(kind: Kind, words: Words, set: &FactSet, name: &[u8]) -> String {
        String::from_utf8(machine_line(&facts(kind), words, set, name)).unwrap()
    }

    #[test]
    fn a_file_has_all_facts_in_order() {
        assert_eq!(
            line(Kind::File, Words::READ_WRITE, &FactSet::default(), b"a b"),
            "type=file;size=1234;modify=20260102030405;perm=adfrw;unique=fd01g1a2b;UNIX.mode=0644; a b"
        );
    }

    #[test]
    fn permissions_follow_the_rights() {
        let perm = FactSet::parse(b"perm;");
        assert_eq!(line(Kind::File, Words::READ_ONLY, &perm, b"x"), "perm=r; x");
        assert_eq!(line(Kind::Directory, Words::READ_ONLY, &perm, b"x"), "perm=el; x");
        assert_eq!(line(Kind::Directory, Words::READ_WRITE, &perm, b"x"), "perm=cdeflmp; x");
    }

    #[test]
    fn names_forge_no_line_and_no_facts_leave_a_blank() {
        assert_eq!(line(Kind::File, Words::READ_ONLY, &FactSet::parse(b""), b"a\r\nb"), " a??b");
    }

    #[test]
    fn opts_takes_known_facts_in_any_case_and_passes_over_others() {
        let set = FactSet::parse(b"SIZE;Type;media-type;unix.mode");
        assert_eq!(set.to_string(), "type;size;UNIX.mode;");
        assert_eq!(set.feature(), "type*;size*;modify;perm;unique;UNIX.mode*;");
        assert_eq!(FactSet::default().feature(), "type*;size*;modify*;perm*;unique*;UNIX.mode*;");
    }
}
