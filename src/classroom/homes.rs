//! The students' homes: their own, with the class's materials, folders to hand in, and the lesson's quest folders.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::lesson::Lesson;
use super::{Classroom, Directory, Student, quest};
use crate::storage::record_owner;

/// How often the teacher's directories are looked at while the class is served.
const LOOK: Duration = Duration::from_secs(2);

/// Makes or repairs a student's home, touching nothing of the student's own.
pub fn prepare(directory: &Directory, lesson: &Lesson, student: &Student) -> io::Result<()> {
    let home = directory.home(&student.user);
    fs::create_dir_all(&home)?;
    Materials::of(directory)?.give(&home)?;
    let assignments = subdirectories(&directory.handin())?;
    for assignment in assignments.iter().map(|name| home.join("handin").join(name)).chain([home.join("handin")]) {
        fs::create_dir_all(&assignment)?;
        // Where one may only add, only one's own is seen.
        record_owner(&File::open(&assignment)?, &student.user);
    }
    lesson.folders().try_for_each(|folder| quest::give(directory, student, folder))
}

/// Brings all homes up to date whenever the teacher has changed the materials or the folders to hand in, until `stop`.
pub async fn follow(classroom: Arc<Classroom>, stop: CancellationToken) {
    let look = || {
        let directory = classroom.directory();
        Some((Materials::of(directory).ok()?, subdirectories(&directory.handin()).ok()?))
    };
    // What was added between the preparation of the homes and the first look is given, too.
    let mut given = None;
    while stop.run_until_cancelled(sleep(LOOK)).await.is_some() {
        block_in_place(|| {
            let now = look();
            if now != given {
                classroom.bring_homes_up_to_date();
                given = now;
            }
        });
    }
}

/// The class's materials as they are now. Two of them are equal when nothing has changed in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Materials {
    master: PathBuf,
    /// Relative paths, each directory before what is in it.
    entries: Vec<(PathBuf, State)>,
}

/// What can be seen of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Directory,
    File { id: (u64, u64), size: u64, modified: (i64, i64) },
}

impl Materials {
    /// Looks at the class's master copy. Symbolic links and special files in it are left out.
    pub fn of(directory: &Directory) -> io::Result<Self> {
        let master = directory.materials();
        let mut entries = Vec::new();
        look(&master, Path::new(""), &mut entries)?;
        Ok(Self { master, entries })
    }

    /// Brings `/materials` of a home up to date: hard links, and copies where the file system has none.
    pub fn give(&self, home: &Path) -> io::Result<()> {
        let place = home.join("materials");
        fs::create_dir_all(&place)?;
        let mut there = Vec::new();
        look(&place, Path::new(""), &mut there)?;
        // What is below a directory comes behind it, so it goes first.
        for (path, state) in there.iter().rev() {
            let wanted = self.entries.iter().find(|(wanted, _)| wanted == path);
            if wanted.is_none_or(|(_, wanted)| !wanted.is_given_by(state)) {
                remove(&place.join(path), state)?;
            }
        }
        for (path, state) in &self.entries {
            let (from, to) = (self.master.join(path), place.join(path));
            match state {
                State::Directory => fs::create_dir_all(to)?,
                State::File { .. } if to.try_exists()? => {}
                State::File { .. } => fs::hard_link(&from, &to).or_else(|_| copy(&from, &to))?,
            }
        }
        Ok(())
    }
}

impl State {
    fn of(found: &Metadata) -> Option<Self> {
        if found.is_dir() {
            Some(Self::Directory)
        } else if found.is_file() {
            let (id, modified) = ((found.dev(), found.ino()), (found.mtime(), found.mtime_nsec()));
            Some(Self::File { id, size: found.len(), modified })
        } else {
            None
        }
    }

    /// Whether `other` is a hard link of this or a copy.
    fn is_given_by(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { id, size, modified },
                Self::File { id: other_id, size: other_size, modified: other_modified },
            ) => id == other_id || (size, modified) == (other_size, other_modified),
            _ => self == other,
        }
    }
}

fn look(top: &Path, below: &Path, found: &mut Vec<(PathBuf, State)>) -> io::Result<()> {
    for entry in entries(&top.join(below))? {
        let path = below.join(entry.file_name());
        let Some(state) = State::of(&entry.metadata()?) else { continue };
        let is_directory = state == State::Directory;
        found.push((path.clone(), state));
        if is_directory {
            look(top, &path, found)?;
        }
    }
    Ok(())
}

fn remove(path: &Path, state: &State) -> io::Result<()> {
    match state {
        State::Directory => fs::remove_dir(path),
        State::File { .. } => fs::remove_file(path),
    }
}

/// A copy with the same time, by which it is known again.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    File::options().write(true).open(to)?.set_modified(modified)
}

/// The names of the directories in `path` that are not hidden.
fn subdirectories(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in entries(path)? {
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    Ok(names)
}

/// What is in a directory, by name; nothing where it is missing.
fn entries(path: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut entries: Vec<fs::DirEntry> = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?.collect::<Result<_, _>>()?,
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classroom::lesson::Task;

    fn class() -> (tempfile::TempDir, Directory, Student) {
        let base = tempfile::tempdir().unwrap();
        let directory = Directory::at(base.path());
        fs::create_dir_all(directory.materials().join("more")).unwrap();
        fs::create_dir_all(directory.handin().join("lab1")).unwrap();
        fs::write(directory.materials().join("readme.txt"), "one").unwrap();
        fs::write(directory.secret(), "secret").unwrap();
        fs::write(directory.materials().join("more/a"), "a").unwrap();
        (base, directory, Student { user: "otter".into(), ..Student::default() })
    }

    fn lesson() -> Lesson {
        let folder = toml::from_str("path = \"/quest/five\"\nfiles = [{ name = \"a.txt\" }]").unwrap();
        let task = Task { folder: Some(folder), ..Task::default() };
        Lesson { tasks: vec![task], ..Lesson::default() }
    }

    #[test]
    fn a_home_has_the_materials_and_the_folders_to_hand_in_and_keeps_what_is_the_students() {
        let (_base, directory, student) = class();
        prepare(&directory, &lesson(), &student).unwrap();
        let home = directory.home("otter");
        assert_eq!(fs::read(home.join("materials/more/a")).unwrap(), b"a");
        fs::write(home.join("own"), "own").unwrap();
        fs::write(home.join("handin/lab1/report"), "report").unwrap();
        fs::remove_dir_all(home.join("materials")).unwrap();
        fs::remove_dir_all(home.join("quest")).unwrap();
        prepare(&directory, &lesson(), &student).unwrap();
        assert_eq!(fs::read(home.join("own")).unwrap(), b"own");
        assert_eq!(fs::read(home.join("handin/lab1/report")).unwrap(), b"report");
        assert_eq!(fs::read(home.join("materials/readme.txt")).unwrap(), b"one");
        assert!(fs::read_to_string(home.join("quest/five/a.txt")).unwrap().contains("made for otter"));
    }

    #[test]
    fn a_class_without_materials_and_assignments_has_homes_all_the_same() {
        let (_base, directory, student) = class();
        fs::remove_dir_all(directory.materials()).unwrap();
        fs::remove_dir_all(directory.handin()).unwrap();
        prepare(&directory, &lesson(), &student).unwrap();
        assert!(directory.home("otter").join("handin").is_dir());
    }

    #[test]
    fn materials_follow_their_master() {
        let (_base, directory, student) = class();
        prepare(&directory, &lesson(), &student).unwrap();
        let (master, place) = (directory.materials(), directory.home("otter").join("materials"));
        let before = Materials::of(&directory).unwrap();
        assert_eq!(before, Materials::of(&directory).unwrap());
        // As an editor saves: a new file under the old name.
        fs::write(master.join("new"), "three").unwrap();
        fs::rename(master.join("new"), master.join("readme.txt")).unwrap();
        fs::remove_dir_all(master.join("more")).unwrap();
        fs::create_dir(master.join("empty")).unwrap();
        let after = Materials::of(&directory).unwrap();
        assert_ne!(before, after);
        after.give(&directory.home("otter")).unwrap();
        assert_eq!(fs::read(place.join("readme.txt")).unwrap(), b"three");
        assert!(!place.join("more").exists() && place.join("empty").is_dir());
    }

    #[test]
    fn a_copy_is_known_again_and_replaced_when_the_master_is_another() {
        let (_base, directory, student) = class();
        prepare(&directory, &lesson(), &student).unwrap();
        let (master, place) =
            (directory.materials().join("readme.txt"), directory.home("otter").join("materials/readme.txt"));
        fs::remove_file(&place).unwrap();
        copy(&master, &place).unwrap();
        let copied = fs::metadata(&place).unwrap().ino();
        prepare(&directory, &lesson(), &student).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().ino(), copied);
        fs::write(&master, "longer").unwrap();
        prepare(&directory, &lesson(), &student).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"longer");
    }
}
