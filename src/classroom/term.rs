//! What happens to a class between its lessons: who is let in, and where homes go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};

use super::class::{Class, lesson_of, move_homes, typed};
use super::journal::{Journal, Record};
use super::lesson::Lesson;
use super::live::resets;
use super::seed::Secret;
use super::{ClassroomRequest, Directory, Student, homes, quest};
use crate::accounts::edit::Kind;
use crate::admin::{Client, Request, place};
use crate::sessions::Whose;
use crate::settings::{AdminSocket, Settings};

/// What became of the sessions of a running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sessions {
    /// This many were ended.
    Ended(usize),
    /// No server could be asked, and this is why.
    NotAsked(String),
}

/// Where homes were moved, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The directory in the archive; `None` where there was nothing to move.
    pub place: Option<PathBuf>,
    /// The number of homes.
    pub homes: usize,
    /// What became of their sessions.
    pub sessions: Sessions,
}

/// Lets all students of a class in, or one, and makes or repairs their homes.
pub fn start(directory: &Directory, user: Option<&str>) -> anyhow::Result<()> {
    let class = Class::open(directory)?;
    let (lesson, students) = (lesson_of(directory)?, class.chosen(user)?);
    for student in &students {
        prepare(directory, &lesson, student)?;
    }
    class.admit(&students, true)
}

/// Keeps all students of a class out, or one, and ends their sessions.
pub fn end(directory: &Directory, user: Option<&str>) -> anyhow::Result<Sessions> {
    let class = Class::open(directory)?;
    let (students, settings) = (class.chosen(user)?, class.settings().clone());
    // First, or they would come back.
    class.admit(&students, false)?;
    Ok(end_sessions(&settings, &students))
}

/// Moves homes to the archive and makes them anew; with `keep_handin` what was handed in stays. In a home in which there
/// is nothing of the student's, quest folders are made whole again.
pub fn reset(directory: &Directory, user: Option<&str>, keep_handin: bool) -> anyhow::Result<Moved> {
    let class = Class::open(directory)?;
    let givens = Givens::of(directory)?;
    let students = class.chosen(user)?;
    let users: Vec<String> = students.iter().map(|student| student.user.clone()).collect();
    let (used, unused): (Vec<Student>, Vec<Student>) =
        students.into_iter().partition(|student| givens.own_files(directory, student) > 0);
    for student in &unused {
        prepare(directory, &givens.lesson, student)?;
        let mut folders = givens.lesson.folders();
        folders.try_for_each(|folder| quest::restore(directory, student, folder).map(drop))?;
    }
    if used.is_empty() {
        record_reset(directory, class.settings(), &givens.lesson, users)?;
        return Ok(Moved { place: None, homes: 0, sessions: Sessions::Ended(0) });
    }
    let (place, homes) = move_homes(directory, &used, "reset")?;
    for student in &used {
        let (old, new) = (place.join("root").join(&student.user).join("handin"), directory.home(&student.user));
        if keep_handin && old.is_dir() {
            fs::create_dir_all(&new)
                .and_then(|()| fs::rename(&old, new.join("handin")))
                .with_context(|| format!("cannot keep {}; move it to {} by hand", old.display(), new.display()))?;
        }
        prepare(directory, &givens.lesson, student)?;
    }
    record_reset(directory, class.settings(), &givens.lesson, users)?;
    // They have the old homes open.
    let sessions = end_sessions(class.settings(), &used);
    Ok(Moved { place: Some(place), homes, sessions })
}

/// Puts into the journal that folders are as they were given: whoever deleted too much before may begin again.
fn record_reset(directory: &Directory, settings: &Settings, lesson: &Lesson, users: Vec<String>) -> anyhow::Result<()> {
    if !directory.journal().exists() {
        return Ok(());
    }
    let ask = serde_json::to_value(ClassroomRequest::Reset { users: users.clone() })?;
    // Who serves the class writes its journal.
    if client(settings).and_then(|client| client.ask(&Request::Classroom { ask })).is_ok() {
        return Ok(());
    }
    let mut journal = Journal::open(&directory.journal(), drop)?;
    for (user, task) in resets(lesson, &users) {
        journal.append(SystemTime::now(), user, Record::Reset { task: task.to_owned() })?;
    }
    Ok(())
}

/// Moves the homes of all students or one to the archive, and keeps them out. For all, the lesson's record goes with them:
/// the journal is moved, and what it takes to read it is copied.
pub fn archive(directory: &Directory, user: Option<&str>) -> anyhow::Result<Moved> {
    let class = Class::open(directory)?;
    if user.is_none() && client(class.settings()).is_ok() {
        bail!("the class is being served; stop its server first, so that nothing is written meanwhile");
    }
    let (students, settings) = (class.chosen(user)?, class.settings().clone());
    let with_home: Vec<Student> =
        students.iter().filter(|student| directory.home(&student.user).is_dir()).cloned().collect();
    let has_record = user.is_none() && directory.journal().exists();
    let (mut place, mut homes) = (None, 0);
    if !with_home.is_empty() || has_record {
        let (to, moved) = move_homes(directory, &with_home, "archive")?;
        if user.is_none() {
            move_record(directory, &Directory::at(&to))?;
        }
        (place, homes) = (Some(to), moved);
    }
    // The class is locked until here; without a home nobody gets in anyway.
    class.admit(&students, false)?;
    Ok(Moved { place, homes, sessions: end_sessions(&settings, &students) })
}

fn move_record(class: &Directory, archived: &Directory) -> anyhow::Result<()> {
    let copied = [
        (class.students(), archived.students()),
        (class.lesson(), archived.lesson()),
        (class.secret(), archived.secret()),
        (class.settings(), archived.settings()),
    ];
    for (from, to) in copied.iter().filter(|(from, _)| from.exists()) {
        fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    let (from, to) = (class.journal(), archived.journal());
    if from.exists() {
        fs::rename(&from, &to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// How many files of their own all students have, or one: what a reset would move.
pub fn count_own_files(directory: &Directory, user: Option<&str>) -> anyhow::Result<usize> {
    let (students, givens) = (Class::open(directory)?.chosen(user)?, Givens::of(directory)?);
    Ok(students.iter().map(|student| givens.own_files(directory, student)).sum())
}

impl Class {
    /// Lets students in, or keeps them out.
    fn admit(mut self, students: &[Student], let_in: bool) -> anyhow::Result<()> {
        let change = typed(false, &[("enabled", &[if let_in { "" } else { "false" }])]);
        for student in students {
            let attempt = || format!("run `longshore classroom new` again: {} has no account", student.user);
            self.accounts().change(Kind::User, &student.user, &change).with_context(attempt)?;
        }
        self.save()
    }
}

fn prepare(directory: &Directory, lesson: &Lesson, student: &Student) -> anyhow::Result<()> {
    homes::prepare(directory, lesson, student).with_context(|| format!("cannot make the home of {}", student.user))
}

/// What homes have that is not the students' own.
struct Givens {
    lesson: Lesson,
    secret: Secret,
}

impl Givens {
    fn of(directory: &Directory) -> anyhow::Result<Self> {
        Ok(Self { lesson: lesson_of(directory)?, secret: Secret::load(directory)? })
    }

    /// The files in a home other than the class's materials and what is in quest folders as it was given.
    fn own_files(&self, directory: &Directory, student: &Student) -> usize {
        let (home, folders) = (directory.home(&student.user), self.lesson.folders().collect::<Vec<_>>());
        let (materials, places) = (home.join("materials"), quest::places(&home, &self.secret, &student.user, &folders));
        let is_given = |path: &Path| path == materials || places.get(path).is_some_and(|given| given.is_at(path));
        files_below(&home, &is_given)
    }
}

/// What cannot be read counts for one.
fn files_below(directory: &Path, is_given: &dyn Fn(&Path) -> bool) -> usize {
    let count = |entry: io::Result<fs::DirEntry>| match entry {
        Ok(entry) if is_given(&entry.path()) => 0,
        Ok(entry) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => files_below(&entry.path(), is_given),
        _ => 1,
    };
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(count).sum(),
        Err(error) => usize::from(error.kind() != io::ErrorKind::NotFound),
    }
}

/// The class's running server.
pub(crate) fn client(settings: &Settings) -> anyhow::Result<Client> {
    let port = settings.server.listen.first().map_or(0, std::net::SocketAddr::port);
    let socket = place::of_server(&settings.server.admin_socket, port).context("the class has no admin socket")?;
    Client::find(&AdminSocket::At(socket))
}

fn end_sessions(settings: &Settings, students: &[Student]) -> Sessions {
    let ask = || -> anyhow::Result<usize> {
        let (client, mut ended) = (client(settings)?, 0);
        for student in students {
            let answer = client.ask(&Request::Kick { whose: Whose::User(student.user.clone()) })?;
            ended += answer.as_array().map_or(0, Vec::len);
        }
        Ok(ended)
    };
    ask().map_or_else(|error| Sessions::NotAsked(format!("{error:#}")), Sessions::Ended)
}
