//! Quest folders: files that a task is about, made for each student and made again when they are used up.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::seed::{Secret, Seed};
use super::{Directory, Student};
use crate::storage::{Amount, record_owner, unfinished_name};

mod contents;

/// The directory of all quest folders in a home.
const QUEST: &str = "quest";

/// How many files a folder has at most, and an archive.
const MOST_FILES: usize = 100;

/// How large a file may be, in bytes.
const LARGEST: u64 = 10_000_000;

/// How large `slow.bin` is, unless the lesson says otherwise: three minutes at the 20 kB/s of a class's settings.
const SLOW: u64 = 3_600_000;

/// How many old versions of a folder may lie beside it.
const MOST_OLD: usize = 20;

/// A quest folder, as a lesson writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Folder {
    /// Its path in the home, such as `/quest/five`.
    pub path: String,
    /// What is in it.
    pub files: Vec<QuestFile>,
}

/// A file of a quest folder, as a lesson writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestFile {
    /// Its name in the folder.
    pub name: String,
    /// In bytes; what that means differs from kind to kind.
    pub size: Option<u64>,
    /// What is in it.
    #[serde(default)]
    pub kind: Kind,
    /// The files in a [`Kind::Zip`].
    #[serde(default)]
    pub files: Vec<QuestFile>,
}

/// What is in a quest file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Lines, with the student's own word in the second one; at least `size` bytes.
    #[default]
    Text,
    /// `size` bytes that TYPE A damages; 1000 by default.
    Binary,
    /// The student's own picture, which TYPE A damages.
    Png,
    /// An archive of `files`.
    Zip,
    /// For a file called `slow.bin`, which a class's settings throttle: `size` bytes, by default for three minutes, with
    /// the student's own word at the end.
    Slow,
}

/// A folder before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: String,
    files: Vec<QuestFile>,
}

impl TryFrom<Written> for Folder {
    type Error = String;

    fn try_from(Written { path, files }: Written) -> Result<Self, String> {
        let name = path.strip_prefix("/quest/").unwrap_or_default();
        // Without a dot, so that it cannot be an old version of another one.
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(is_plain) {
            return Err(format!("{path:?} is no quest folder; write /quest/NAME with small letters, digits and '-'"));
        }
        check(&files)?;
        Ok(Self { path, files })
    }
}

/// The files of a folder or an archive.
fn check(files: &[QuestFile]) -> Result<(), String> {
    if files.is_empty() || files.len() > MOST_FILES {
        return Err(format!("there are {} files; name 1 to {MOST_FILES}", files.len()));
    }
    for (place, file) in files.iter().enumerate() {
        let QuestFile { name, size, kind, files: members } = file;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if name.is_empty() || name.len() > 100 || name.starts_with(['.', '-']) || !name.chars().all(is_plain) {
            return Err(format!("{name:?} is no name of a quest file; write letters, digits, '.', '_' and '-'"));
        }
        if files[..place].iter().any(|other| other.name == *name) {
            return Err(format!("{name:?} is there twice; give each file a name of its own"));
        }
        if size.is_some_and(|size| size > LARGEST) {
            return Err(format!("{name:?} is too large; at most {LARGEST} bytes are allowed"));
        }
        if size.is_some() && matches!(kind, Kind::Png | Kind::Zip) {
            return Err(format!("{name:?} cannot have a size; leave it out"));
        }
        match kind {
            Kind::Zip if members.iter().any(|member| matches!(member.kind, Kind::Zip | Kind::Slow)) => {
                return Err(format!("{name:?} is an archive; only text, binary and png files can be in it"));
            }
            Kind::Zip => check(members)?,
            _ if !members.is_empty() => return Err(format!("{name:?} has files in it; give it the kind \"zip\"")),
            _ => {}
        }
    }
    Ok(())
}

/// A file as one student gets it.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name in the folder.
    pub name: String,
    kind: Kind,
    size: Option<u64>,
    user: String,
    seed: Seed,
    /// The files in an archive.
    pub members: Vec<Given>,
}

impl Given {
    /// The bytes.
    pub fn contents(&self) -> Vec<u8> {
        let size = |default| self.size.unwrap_or(default);
        match self.kind {
            Kind::Text => contents::text(&self.seed, &self.user, size(0)),
            Kind::Binary => contents::binary(&self.seed, size(1000)),
            Kind::Png => contents::png(&self.seed),
            Kind::Slow => contents::slow(&self.seed, size(SLOW)),
            Kind::Zip => contents::archive(self.members.iter().map(|member| (&member.name[..], member.contents()))),
        }
    }

    /// The digest of the bytes as transfers have it, in small hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.contents()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The student's own word in it; `None` where it is no text.
    pub fn word(&self) -> Option<String> {
        matches!(self.kind, Kind::Text | Kind::Slow).then(|| self.seed.word())
    }

    /// Whether this is what is at `path`.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        is_file && fs::read(path).is_ok_and(|bytes| bytes == self.contents())
    }
}

impl Folder {
    /// The files as a student gets them.
    pub fn given(&self, secret: &Secret, user: &str) -> Vec<Given> {
        given(&self.files, &self.path, secret, user)
    }

    fn name(&self) -> &OsStr {
        Path::new(&self.path).file_name().unwrap_or_default()
    }
}

fn given(files: &[QuestFile], path: &str, secret: &Secret, user: &str) -> Vec<Given> {
    let one = |file: &QuestFile| {
        let path = format!("{path}/{}", file.name);
        let (members, seed) = (given(&file.files, &path, secret, user), secret.seed(user, &path));
        Given { name: file.name.clone(), kind: file.kind, size: file.size, user: user.to_owned(), seed, members }
    };
    files.iter().map(one).collect()
}

/// Makes a quest folder where there is none; what a student has made of it stays.
pub fn give(directory: &Directory, student: &Student, folder: &Folder) -> io::Result<()> {
    let place = directory.home(&student.user).join(QUEST).join(folder.name());
    if fs::symlink_metadata(place).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    restore(directory, student, folder).map(drop)
}

/// What came of making a folder anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Where in the home the student's own files are now that were in it.
    pub kept: Option<String>,
    /// What was made, for the [books](crate::server::HomeBooks) of the home.
    pub made: Amount,
    /// What was removed, for them.
    pub gone: Amount,
}

/// Makes a quest folder anew. It is there in full or not at all. What is not as it was given is the student's own, and
/// is kept beside the folder.
pub fn restore(directory: &Directory, student: &Student, folder: &Folder) -> io::Result<Restored> {
    let given = folder.given(&Secret::load(directory)?, &student.user);
    let quest = directory.home(&student.user).join(QUEST);
    if fs::symlink_metadata(&quest).is_ok_and(|found| !found.is_dir()) {
        set_aside(&quest)?;
    }
    fs::create_dir_all(&quest)?;
    let place = quest.join(folder.name());
    if is_whole(&place, &given) {
        return Ok(Restored::default());
    }
    let unfinished = quest.join(unfinished_name()?);
    let made = make(&unfinished, &given, &student.user).and_then(|()| {
        let old = set_aside(&place)?;
        fs::rename(&unfinished, &place)?;
        Ok(old)
    });
    if made.is_err() {
        // The error to report is the first one, and the next start of the server tries again.
        let _ = fs::remove_dir_all(&unfinished);
    }
    let counts = |file: &Given| Amount { bytes: file.contents().len() as u64, files: 1 };
    let made_now = given.iter().map(counts).fold(Amount::ONE_FILE, Amount::plus);
    let mut restored = Restored { made: made_now, ..Restored::default() };
    let Some(old) = made? else { return Ok(restored) };
    // Only what anybody could make again is removed.
    for file in given.iter().filter(|file| file.is_at(&old.join(&file.name))) {
        fs::remove_file(old.join(&file.name))?;
        restored.gone = restored.gone.plus(counts(file));
    }
    match fs::remove_dir(&old) {
        Ok(()) => restored.gone = restored.gone.plus(Amount::ONE_FILE),
        Err(_) => restored.kept = Some(format!("/{QUEST}/{}", old.file_name().unwrap_or_default().to_string_lossy())),
    }
    Ok(restored)
}

/// Where the files of these folders are in a student's home, or were.
pub(super) fn places(home: &Path, secret: &Secret, user: &str, folders: &[&Folder]) -> HashMap<PathBuf, Given> {
    let of_folder = |folder: &&Folder| {
        let place = home.join(QUEST).join(folder.name());
        folder.given(secret, user).into_iter().map(move |file| (place.join(&file.name), file))
    };
    folders.iter().flat_map(of_folder).collect()
}

fn is_whole(place: &Path, given: &[Given]) -> bool {
    let count = fs::read_dir(place).map_or(0, Iterator::count);
    count == given.len() && given.iter().all(|file| file.is_at(&place.join(&file.name)))
}

fn make(place: &Path, given: &[Given], user: &str) -> io::Result<()> {
    fs::create_dir(place)?;
    for file in given {
        let contents = file.contents();
        let written = File::create_new(place.join(&file.name))?;
        write_sparse(&written, &contents)?;
        record_owner(&written, user);
    }
    // Where one may only add, only one's own is seen.
    record_owner(&File::open(place)?, user);
    Ok(())
}

/// Leaves holes where there are only zeros: a class of 250 would write a gigabyte of them.
fn write_sparse(file: &File, contents: &[u8]) -> io::Result<()> {
    const BLOCK: usize = 64 << 10;
    file.set_len(contents.len() as u64)?;
    for (number, block) in contents.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)) {
        file.write_all_at(block, (number * BLOCK) as u64)?;
    }
    Ok(())
}

/// Moves what is at `path` to a name beside it, which is returned; `None` where nothing is.
fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if !fs::exists(path)? {
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let names = (1..=MOST_OLD).map(|number| match number {
        1 => format!("{name}.old"),
        _ => format!("{name}.old-{number}"),
    });
    let free = names.map(|name| path.with_file_name(name)).find(|free| fs::symlink_metadata(free).is_err());
    let Some(free) = free else {
        let text = format!("there are {MOST_OLD} old versions of {name} already; delete some of them first");
        return Err(io::Error::other(text));
    };
    fs::rename(path, &free)?;
    Ok(Some(free))
}

#[cfg(test)]
mod tests;
