//! A class that is there: its students, their accounts and their homes.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::SystemTime;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};

use super::credentials::{MOST_STUDENTS, Passwords, alias};
use super::lesson::Lesson;
use super::seed::Secret;
use super::{Change, Directory, Enrolment, Student, Students, files, homes};
use crate::accounts::edit::{AccountsFile, Changes, Kind};
use crate::accounts::file::{Root, typed_keys};
use crate::accounts::{self, PasswordHash};
use crate::settings::{Faults, Flags, Settings, load};

/// The group of all students in the accounts file.
const GROUP: &str = "students";

/// What the group says, as it would be typed.
const TERMS: [(&str, &[&str]); 3] = [
    ("permissions", &["/=read-write", "/materials=read-only", "/handin=hand-in"]),
    ("quota_bytes", &["50 MB"]),
    ("quota_files", &["500"]),
];

/// A class, which nobody else changes with this program in the meantime.
#[derive(Debug)]
pub struct Class {
    directory: Directory,
    settings: Settings,
    students: Students,
    accounts: AccountsFile,
}

/// A student with a new password, which is stored nowhere.
#[derive(Debug, Clone)]
pub struct Card {
    /// Who gets it.
    pub student: Student,
    /// In clear.
    pub password: String,
    /// The one that goes with this password, see [`Secret::pin`].
    pub pin: String,
}

/// The settings of a class.
pub fn settings(directory: &Directory) -> anyhow::Result<Settings> {
    let path = directory.settings();
    if !path.exists() {
        let shown = directory.path().display();
        bail!("there is no class in {shown}; make one: longshore classroom new {shown} --roster FILE");
    }
    Ok(load(Some(&path), env::vars_os(), &Flags::default())?.settings)
}

/// The lesson of a class; one without tasks where there is none yet.
pub fn lesson_of(directory: &Directory) -> Result<Lesson, Faults> {
    let path = directory.lesson();
    if path.exists() { Lesson::load(&path) } else { Ok(Lesson::default()) }
}

/// The PIN that a student has now; `None` where nobody in the accounts file has this user name.
pub fn pin(directory: &Directory, user: &str) -> anyhow::Result<Option<String>> {
    let settings = settings(directory)?;
    let Some(file) = &settings.accounts.file else { return Ok(None) };
    let users = accounts::file::read(file, &Root::of(&settings)?)?;
    let secret = Secret::load(directory)?;
    Ok(users.users.iter().find(|it| it.name == user).map(|it| secret.pin(user, &it.password)))
}

impl Class {
    /// Opens a class.
    pub fn open(directory: &Directory) -> anyhow::Result<Self> {
        let settings = settings(directory)?;
        let file = settings.accounts.file.clone().with_context(|| {
            format!("{} names no accounts file; set accounts.file there", directory.settings().display())
        })?;
        // This waits for whoever else changes the class.
        let accounts = AccountsFile::open(&file, &Root::of(&settings)?)?;
        let students = Students::load_or_none(&directory.students())?;
        Ok(Self { directory: directory.clone(), settings, students, accounts })
    }

    /// The settings of its server.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who is in it.
    pub fn students(&self) -> &Students {
        &self.students
    }

    /// All students, or the one of this user name or alias.
    pub fn chosen(&self, user: Option<&str>) -> anyhow::Result<Vec<Student>> {
        match user {
            None => Ok(self.students.iter().cloned().collect()),
            Some(user) => match self.students.find(user) {
                Some(student) => Ok(vec![student.clone()]),
                None => bail!(
                    "there is no student {user:?} in {}; name the alias on the card",
                    self.directory.students().display()
                ),
            },
        }
    }

    /// Makes the class what `enrolment` says: aliases, homes and accounts for who has none. Those who are missing stay,
    /// unless `remove_missing`: then their accounts go, and their homes go to the archive. Returns who got a password.
    pub fn enrol(
        mut self,
        enrolment: &Enrolment,
        remove_missing: bool,
        made: impl Fn(usize, usize) + Sync,
    ) -> anyhow::Result<Vec<Card>> {
        let removed: &[Student] = if remove_missing { &enrolment.missing } else { &[] };
        let lesson = lesson_of(&self.directory)?;
        let students = self.with_aliases(enrolment, removed)?;
        // First who is who: what breaks off behind it, the next run makes up for.
        files::replace(&self.directory.students(), &Students::new(students.clone()).to_csv()?)?;
        for student in &students {
            let attempt = || format!("cannot make the home of {}", student.user);
            homes::prepare(&self.directory, &lesson, student).with_context(attempt)?;
        }
        if !self.accounts.has(Kind::Group, GROUP)? {
            self.accounts.add_group(GROUP, &typed(true, &TERMS))?;
        }
        let mut without = Vec::new();
        for student in students {
            if !self.accounts.has(Kind::User, &student.user)? {
                without.push(student);
            }
        }
        let cards = passwords(without, &Secret::load(&self.directory)?, made)?;
        for (Card { student, .. }, hash) in &cards {
            let terms = typed(false, &[("home", &[&student.user]), ("group", &[GROUP])]);
            self.accounts.add_user(&student.user, hash, &terms)?;
        }
        for student in removed {
            if self.accounts.has(Kind::User, &student.user)? {
                self.accounts.remove(Kind::User, &student.user)?;
            }
        }
        self.accounts.save()?;
        if !removed.is_empty() {
            move_homes(&self.directory, removed, "removed")?;
        }
        Ok(cards.into_iter().map(|(card, _)| card).collect())
    }

    /// The roster's students, and behind them those who stay without being in it.
    fn with_aliases(&self, enrolment: &Enrolment, removed: &[Student]) -> anyhow::Result<Vec<Student>> {
        let is_in_roster = |student: &&Student| enrolment.rows.iter().any(|row| row.student.user == student.user);
        let others = self.students.iter().filter(|student| !is_in_roster(student) && !removed.contains(student));
        let others: Vec<Student> = others.cloned().collect();
        let count = enrolment.rows.len() + others.len();
        if count > MOST_STUDENTS {
            bail!("a class has at most {MOST_STUDENTS} students and this one would have {count}; make several");
        }
        let mut taken = self.names_taken()?;
        let mut students = Vec::new();
        for row in &enrolment.rows {
            let mut student = row.student.clone();
            if row.change == Change::New {
                student.alias = alias(&taken)?;
                student.user.clone_from(&student.alias);
                taken.insert(student.alias.clone());
            }
            students.push(student);
        }
        students.extend(others);
        Ok(students)
    }

    /// Gives new passwords to some students.
    pub fn new_passwords(
        mut self,
        students: Vec<Student>,
        made: impl Fn(usize, usize) + Sync,
    ) -> anyhow::Result<Vec<Card>> {
        let cards = passwords(students, &Secret::load(&self.directory)?, made)?;
        for (Card { student, .. }, hash) in &cards {
            self.accounts.change_password(&student.user, hash)?;
        }
        self.accounts.save()?;
        Ok(cards.into_iter().map(|(card, _)| card).collect())
    }

    /// Its accounts, to be changed.
    pub(super) fn accounts(&mut self) -> &mut AccountsFile {
        &mut self.accounts
    }

    /// Writes what was changed in the accounts.
    pub(super) fn save(self) -> anyhow::Result<()> {
        self.accounts.save()
    }

    /// Names that mean somebody, in the class or in the archive: another student must not get their marks.
    fn names_taken(&self) -> anyhow::Result<HashSet<String>> {
        let mut taken: HashSet<String> =
            self.students.iter().flat_map(|student| [&student.user, &student.alias]).cloned().collect();
        let archived = fs::read_dir(self.directory.archive())?.map(|entry| Ok(entry?.path().join("root")));
        let places = archived.chain([Ok(self.directory.root())]).collect::<std::io::Result<Vec<PathBuf>>>()?;
        for place in places.iter().filter(|place| place.is_dir()) {
            for home in fs::read_dir(place)? {
                taken.insert(home?.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(taken)
    }
}

/// What has been typed for these keys of the accounts file.
pub(super) fn typed(of_groups: bool, terms: &[(&str, &[&str])]) -> Changes {
    let mut changes = Changes::default();
    for key in typed_keys(of_groups) {
        if let Some((_, texts)) = terms.iter().find(|(name, _)| *name == key.name) {
            changes.type_in(key, &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        }
    }
    changes
}

/// A password for each, with its hash. Hashing takes its time on purpose, so each core does a share.
fn passwords(
    students: Vec<Student>,
    secret: &Secret,
    made: impl Fn(usize, usize) + Sync,
) -> anyhow::Result<Vec<(Card, PasswordHash)>> {
    let mut passwords = Passwords::default();
    let all = students.len();
    let pairs = students.into_iter().map(|student| Ok((student, passwords.make()?)));
    let pairs = Mutex::new(pairs.collect::<anyhow::Result<Vec<_>>>()?.into_iter().enumerate());
    let (hashed, done) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let work = || -> anyhow::Result<()> {
        let next = || pairs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        while let Some((place, (student, password))) = next() {
            let hash = PasswordHash::create(password.as_bytes())?;
            let card = Card { pin: secret.pin(&student.user, &hash), student, password };
            hashed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, card, hash));
            made(done.fetch_add(1, Ordering::Relaxed) + 1, all);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let cores = available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let results =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("hashing a password failed")));
        results.collect::<anyhow::Result<()>>()
    })?;
    let mut hashed = hashed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    hashed.sort_by_key(|(place, ..)| *place);
    Ok(hashed.into_iter().map(|(_, card, hash)| (card, hash)).collect())
}

/// Moves homes to a new directory in the archive, which is returned, with the number of those that were there.
pub(super) fn move_homes(directory: &Directory, students: &[Student], why: &str) -> anyhow::Result<(PathBuf, usize)> {
    let place = new_archive(directory, why)?;
    let mut moved = 0;
    for student in students {
        let (from, to) = (directory.home(&student.user), place.join("root").join(&student.user));
        if from.is_dir() {
            fs::create_dir_all(place.join("root"))?;
            let attempt = || format!("cannot move {} to {}", from.display(), to.display());
            fs::rename(&from, &to).with_context(attempt)?;
            moved += 1;
        }
    }
    Ok((place, moved))
}

/// A new directory in the archive, named after the time in UTC.
fn new_archive(directory: &Directory, why: &str) -> anyhow::Result<PathBuf> {
    let now = DateTime::<Utc>::from(SystemTime::now()).format("%Y-%m-%d-%H%M%S");
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).recursive(true).create(directory.archive())?;
    builder.recursive(false);
    let mut place = directory.archive().join(format!("{now}-{why}"));
    for number in 2.. {
        match builder.create(&place) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => {
                made.with_context(|| format!("cannot make {}", place.display()))?;
                break;
            }
        }
        place.set_file_name(format!("{now}-{why}-{number}"));
    }
    Ok(place)
}
