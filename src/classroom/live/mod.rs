//! A class while it is served: what is seen goes into the journal, and answers are judged by it.
//!
//! Nothing here depends on who is faster: whatever is asked, the events that have been sent by then are taken into account
//! first, and a session sends its events before its replies.

mod state;
mod verdict;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::journal::{Journal, Record, Synced, Via};
use super::lesson::{Lesson, Part};
use super::marks::{Applied, Marks, StudentMarks};
use super::observer::Sighted;
use super::seed::Secret;
use super::{Directory, Observation, Student, Students, homes, journal, quest};
use crate::server::{self, Server};
use crate::sessions::{Event, LoginOutcome, TransferOutcome, What};
use state::{Source, State};
use verdict::{ANSWERS, find};

pub(super) use verdict::points;
pub use verdict::{Verdict, decision, told};

/// How often what nobody asks about is taken into account.
const TICK: Duration = Duration::from_millis(100);

/// A class that is served.
#[derive(Debug)]
pub struct Classroom {
    directory: Directory,
    exam: bool,
    secret: Secret,
    /// Tells this start of the server from all others.
    run: u64,
    /// Whether a task asks for the word in FEAT.
    has_words: AtomicBool,
    state: Mutex<State>,
    synced: Arc<Synced>,
    changes: watch::Sender<u64>,
}

/// What `longshore classroom` asks of the running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassroomRequest {
    /// Decide about a mark.
    Override {
        /// The student's user name.
        user: String,
        /// The task's id.
        task: String,
        /// The points; `None` takes a decision back.
        points: Option<u32>,
        /// Why.
        reason: String,
    },
    /// Put on record that the folders of these students were made anew.
    Reset {
        /// Their user names.
        users: Vec<String>,
    },
}

impl Classroom {
    /// Opens a class to be served: reads its lesson, its students and its journal. Nobody else serves it meanwhile.
    pub fn open(directory: &Directory, exam: bool) -> anyhow::Result<Arc<Self>> {
        let lesson = Arc::new(Lesson::load(&directory.lesson())?);
        let (secret, has_words) = (Secret::load(directory)?, asks_for_words(&lesson).into());
        let mut marks = Marks::new(lesson, Some(secret.clone()));
        let mut journal = Journal::open(&directory.journal(), |entry| drop(marks.apply(&entry)))?;
        marks.apply(&journal.append(SystemTime::now(), "", Record::Started { exam })?);
        let (synced, cut_off) = (journal.synced(), journal.cut_off());
        let mut state = State::new(marks, journal);
        state.read_students(directory)?;
        if cut_off > 0 {
            state.notice(format!(
                "The last server was cut off in the middle of a line of the journal: {cut_off} bytes."
            ));
        }
        let (directory, run) = (directory.clone(), getrandom::u64()?);
        Ok(Arc::new(Self {
            directory,
            exam,
            secret,
            run,
            has_words,
            state: state.into(),
            synced,
            changes: watch::Sender::new(0),
        }))
    }

    /// Gives the lesson on this server from now on, and follows it until `stop`: what is returned ends with the last event
    /// in the journal. A reload reads the lesson again, and marks everything anew by it.
    pub fn give(self: &Arc<Self>, server: &Server, stop: CancellationToken) -> JoinHandle<()> {
        let (events, receiver) = (Arc::clone(server.events()), server.events().subscribe());
        let mut state = self.state();
        state.source = Some(Source { events, receiver, books: server.books() });
        state.resume();
        drop(state);
        server.practise(Arc::clone(self) as Arc<dyn crate::Practice>);
        server.on_reload(self.part());
        let classroom = Arc::clone(self);
        tokio::spawn(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                block_in_place(|| drop(classroom.caught_up()));
            }
            block_in_place(|| classroom.finish());
        })
    }

    /// Takes the last events into account, and has everything on the disk.
    fn finish(&self) {
        let mut state = self.caught_up();
        state.source = None;
        let last = state.journal.last();
        drop(state);
        if let Err(error) = self.synced.wait_for(last, || last) {
            tracing::error!(%error, "the journal of the class could not be written to its end");
        }
    }

    /// What a reload does with the lesson.
    fn part(self: &Arc<Self>) -> server::Part {
        let classroom = Arc::clone(self);
        Box::new(move |_| {
            let lesson = Arc::new(Lesson::load(&classroom.directory.lesson())?);
            let classroom = Arc::clone(&classroom);
            Ok(Box::new(move || classroom.mark_anew(lesson)))
        })
    }

    /// Marks everything that is in the journal by this lesson.
    fn mark_anew(&self, lesson: Arc<Lesson>) {
        let mut state = self.caught_up();
        self.has_words.store(asks_for_words(&lesson), Ordering::Relaxed);
        let mut marks = Marks::new(lesson, Some(self.secret.clone()));
        match journal::read(&self.directory.journal(), |entry| drop(marks.apply(&Arc::new(entry)))) {
            Ok(_) => state.marks = marks,
            Err(error) => state.notice(format!("The lesson was not changed: {error:#}")),
        }
        if let Err(error) = state.read_students(&self.directory) {
            state.notice(format!("The list of students was not read again: {error:#}"));
        }
        state.telling = state.journal.last();
        drop(state);
        self.changed();
        self.bring_homes_up_to_date();
    }

    /// Gives everybody what the class has by now: materials, folders to hand in, quest folders.
    pub(super) fn bring_homes_up_to_date(&self) {
        let (students, lesson) = (self.students(), self.lesson());
        if let Err(error) = prepare_homes(&self.directory, &students, &lesson) {
            self.state().notice(format!("Not everybody has the files of the class: {error:#}"));
        }
    }

    /// Its directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether it is an exam, in which there are no hints and no ports are shown to students.
    pub fn is_exam(&self) -> bool {
        self.exam
    }

    /// The lesson that is given.
    pub fn lesson(&self) -> Arc<Lesson> {
        Arc::clone(self.state().marks.lesson())
    }

    /// Who is in the class.
    pub fn students(&self) -> Students {
        self.caught_up().students.clone()
    }

    /// The student who logs in with this name.
    pub fn student(&self, user: &str) -> Option<Student> {
        // Whoever is new in the class is known from the login on.
        self.caught_up().students.find(user).cloned()
    }

    /// A number that is another one whenever marks or notices are new.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What the teacher should know: events that were missed, a journal that cannot be written.
    pub fn notices(&self) -> Vec<String> {
        self.state().notices.iter().cloned().collect()
    }

    /// All marks, of the students in the class's order. They are on the disk by then, or a notice says why not.
    pub fn marks(&self) -> Vec<StudentMarks> {
        let state = self.caught_up();
        let marks = state.students.iter().map(|student| state.marks.of(student)).collect();
        self.on_disk(state);
        marks
    }

    /// The marks of one student, in the same way.
    pub fn marks_of(&self, user: &str) -> Option<StudentMarks> {
        let state = self.caught_up();
        let marks = state.students.find(user).map(|student| state.marks.of(student));
        self.on_disk(state);
        marks
    }

    /// Judges an answer of a student.
    pub fn answer(&self, user: &str, task: &str, text: &str, via: Via) -> Verdict {
        let mut state = self.caught_up();
        if state.students.find(user).is_none() {
            return Verdict::try_again("", "you are not in this class.");
        }
        let verdict = self.judge(&mut state, user, task, text, via);
        match self.on_disk(state) {
            true => verdict,
            false => Verdict::try_again(task, "the marks cannot be stored now. Tell your teacher, and try again."),
        }
    }

    /// The hint for a task, or why there is none.
    pub fn hint(&self, user: &str, task: &str) -> Result<String, String> {
        let mut state = self.caught_up();
        let lesson = Arc::clone(state.marks.lesson());
        let task = find(&lesson, task)?;
        if self.exam {
            return Err("There are no hints in an exam.".to_owned());
        }
        if task.hint.is_empty() {
            return Err(format!("There is no hint for {}.", task.id));
        }
        self.append(&mut state, user, Record::Hinted { task: task.id.clone() })?;
        self.on_disk(state);
        Ok(format!("{}: {}", task.id, task.hint))
    }

    /// Makes the folder of a task as it was given, and says so, or why it cannot be done.
    pub fn reset(&self, user: &str, task: &str) -> Result<String, String> {
        let mut state = self.caught_up();
        let lesson = Arc::clone(state.marks.lesson());
        let task = find(&lesson, task)?;
        let folder = task.folder.as_ref().ok_or_else(|| format!("{} has no folder of its own.", task.id))?;
        let student = state.students.find(user).ok_or_else(|| format!("{user} is not in this class."))?;
        let restored = quest::restore(&self.directory, student, folder)
            .map_err(|error| format!("{} cannot be made again: {error}", folder.path))?;
        if let Some(Source { books, .. }) = &state.source
            && let Err(error) = books.changed_beside(&self.directory.home(user), restored.made, restored.gone)
        {
            tracing::warn!(%error, user, "the quota does not know of the folder that was restored");
        }
        self.append(&mut state, user, Record::Reset { task: task.id.clone() })?;
        self.on_disk(state);
        let kept = restored.kept.map(|kept| format!(" Your own files of it are in {kept}.")).unwrap_or_default();
        Ok(format!("{} is as it was given.{kept}", folder.path))
    }

    /// Decides about a mark, or takes a decision back, and says so, or why it cannot be done.
    pub fn override_mark(&self, user: &str, task: &str, points: Option<u32>, reason: &str) -> Result<String, String> {
        let mut state = self.caught_up();
        let decided = decision(&state.students, state.marks.lesson(), user, task, points, reason)?;
        let text = told(&decided, user);
        self.append(&mut state, user, decided)?;
        match self.on_disk(state) {
            true => Ok(text),
            false => Err("It could not be stored; see the log of the server.".to_owned()),
        }
    }

    /// Puts on record that the folders of these students were made anew.
    pub(super) fn were_reset(&self, users: &[String]) -> Result<(), String> {
        let mut state = self.caught_up();
        let lesson = Arc::clone(state.marks.lesson());
        resets(&lesson, users).try_for_each(|(user, task)| {
            self.append(&mut state, user, Record::Reset { task: task.to_owned() }).map(drop)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Entries are applied whole, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with everything that has happened by now.
    fn caught_up(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let before = (state.telling, state.notices.len());
        while let Some(source) = &mut state.source {
            match source.receiver.try_recv() {
                Ok(event) => self.take(&mut state, &event),
                Err(TryRecvError::Lagged(events)) => self.missed(&mut state, events),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if before != (state.telling, state.notices.len()) {
            self.changed();
        }
        state
    }

    fn take(&self, state: &mut State, event: &Event) {
        if let What::Login { user, outcome: LoginOutcome::Ok, .. } = &event.what
            && state.students.find(user).is_none()
            && let Err(error) = state.read_students(&self.directory)
        {
            state.notice(format!("The list of students was not read again: {error:#}"));
        }
        let State { observer, students, .. } = state;
        let sighted = observer.observe(event, |user| students.find(user).is_some(), |session| self.word(session));
        for Sighted { user, session, what } in sighted {
            let is_answers = matches!(
                &what,
                Observation::Transfer { verb, path, outcome: TransferOutcome::Complete, .. }
                    if verb == "STOR" && path.strip_prefix('/') == Some(ANSWERS)
            );
            if state.append(event.time, &user, Record::Seen { session, what }).is_ok() && is_answers {
                self.judge_file(state, &user);
            }
        }
    }

    fn missed(&self, state: &mut State, events: u64) {
        let _ = state.append(SystemTime::now(), "", Record::Missed { events });
        state.notice(format!(
            "{events} events were missed at {}, since too much happened at once. Something that was done then may be missing in \
             the marks.",
            chrono::Local::now().format("%H:%M:%S")
        ));
        state.resume();
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Appends what somebody asked for.
    fn append(&self, state: &mut State, user: &str, record: Record) -> Result<Applied, String> {
        let applied = state.append(SystemTime::now(), user, record).map_err(|error| format!("Not done: {error}."))?;
        self.changed();
        Ok(applied)
    }

    /// Waits until what has changed a mark is on the disk. Others go on meanwhile.
    fn on_disk(&self, state: MutexGuard<'_, State>) -> bool {
        let telling = state.telling;
        drop(state);
        match self.synced.wait_for(telling, || self.state().journal.last()) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the journal of the class cannot be written");
                self.state().notice(format!("The journal of the class cannot be written: {error}"));
                self.changed();
                false
            }
        }
    }

    /// The word in a session's FEAT.
    pub(super) fn word(&self, session: u64) -> String {
        self.secret.seed("", &format!("feat\0{}\0{session}", self.run)).word()
    }

    /// Whether a task asks for that word.
    pub(super) fn has_words(&self) -> bool {
        self.has_words.load(Ordering::Relaxed)
    }
}

/// Makes what is missing in the students' homes; those that are in the archive stay there.
fn prepare_homes(directory: &Directory, students: &Students, lesson: &Lesson) -> anyhow::Result<()> {
    for student in students.iter().filter(|student| directory.home(&student.user).is_dir()) {
        let attempt = || format!("cannot bring the home of {} up to date", student.user);
        homes::prepare(directory, lesson, student).with_context(attempt)?;
    }
    Ok(())
}

/// Whether a task asks for the word in a session's FEAT.
fn asks_for_words(lesson: &Lesson) -> bool {
    let ways = lesson.tasks.iter().flat_map(|task| &task.ways);
    ways.into_iter().any(|way| way.answer.contains(&Part::CaptureWord))
}

/// The entries for folders that were made anew: user and task.
pub(super) fn resets<'a>(lesson: &'a Lesson, users: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let tasks = || lesson.tasks.iter().filter(|task| task.folder.is_some());
    users.iter().flat_map(move |user| tasks().map(move |task| (user.as_str(), task.id.as_str())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::classroom::lesson::SHIPPED;
    use crate::sessions::{Ends, HELD, RefusedBecause};
    use crate::settings::Settings;

    #[tokio::test(flavor = "multi_thread")]
    async fn events_that_were_missed_are_on_record_and_the_teacher_is_told() {
        let base = tempfile::tempdir().unwrap();
        let directory = Directory::at(base.path());
        fs::write(directory.lesson(), SHIPPED).unwrap();
        fs::write(directory.secret(), "secret").unwrap();
        let mut settings = Settings::default();
        settings.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
        settings.storage.root = directory.root();
        let server = Server::start(settings).await.unwrap();
        let classroom = Classroom::open(&directory, false).unwrap();
        let stop = CancellationToken::new();
        let following = classroom.give(&server, stop.clone());
        assert_eq!(classroom.notices(), [""; 0]);
        let changes = classroom.changes();
        let ends = Ends { client: "192.0.2.7:40001".parse().unwrap(), server: server.addresses()[0] };
        {
            // Meanwhile nobody takes any.
            let _state = classroom.state();
            (0..HELD + 7).for_each(|_| server.events().refused(ends, RefusedBecause::AcceptRate));
        }
        drop(classroom.caught_up());
        let notices = classroom.notices();
        assert!(notices.len() == 1 && notices[0].starts_with("7 events were missed at "), "{notices:?}");
        assert!(changes.has_changed().unwrap());
        stop.cancel();
        following.await.unwrap();
        let mut missed = Vec::new();
        journal::read(&directory.journal(), |entry| missed.push(entry.record)).unwrap();
        assert_eq!(missed, [Record::Started { exam: false }, Record::Missed { events: 7 }]);
        server.shut_down().await;
    }
}
