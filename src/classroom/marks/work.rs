//! What one student has done.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::{self, Known};
use super::sessions::Sessions;
use super::steps::{Scene, Trials};
use super::{Applied, Given, Judgement, Mark, Source, State, evidence};
use crate::classroom::journal::{Entry, Record};
use crate::classroom::lesson::{Lesson, Task};

/// Wrong answers to a task before a pause.
pub const ATTEMPTS: u32 = 5;

/// The pause, in which no answer is judged.
pub const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// A student's sessions and tasks.
#[derive(Debug, Clone)]
pub(super) struct Work {
    sessions: Sessions,
    tasks: Vec<TaskWork>,
}

/// A student's work on one task.
#[derive(Debug, Clone, Default)]
struct TaskWork {
    /// For each way.
    trials: Vec<Trials>,
    attempts: u32,
    hints: u32,
    /// Wrong answers since the last pause.
    wrong: u32,
    /// The last wrong answer.
    last_wrong: Option<Arc<Entry>>,
    paused_until: Option<DateTime<Utc>>,
    done: Option<Done>,
    decision: Option<Decision>,
}

/// A task that was done.
#[derive(Debug, Clone)]
struct Done {
    at: DateTime<Utc>,
    evidence: Vec<Arc<Entry>>,
}

/// What the teacher decided.
#[derive(Debug, Clone)]
struct Decision {
    points: u32,
    reason: String,
    entry: Arc<Entry>,
}

impl Work {
    pub fn new(lesson: &Lesson) -> Self {
        let task = |task: &Task| TaskWork { trials: vec![Trials::default(); task.ways.len()], ..TaskWork::default() };
        Self { sessions: Sessions::default(), tasks: lesson.tasks.iter().map(task).collect() }
    }

    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The server was started anew.
    pub fn restart(&mut self, now: DateTime<Utc>) {
        self.sessions.end_all(now);
        self.tasks.iter_mut().flat_map(|task| &mut task.trials).for_each(Trials::restart);
    }

    /// Takes an entry about this student into account.
    pub fn apply<'a>(
        &mut self,
        lesson: &Lesson,
        given: &Given<'_>,
        others: &dyn Fn() -> Vec<&'a Sessions>,
        entry: &Arc<Entry>,
    ) -> Applied {
        if let Record::Seen { session, what } = &entry.record {
            self.sessions.follow(*session, what, entry);
            let scene = Scene {
                entry,
                seen: what,
                session: self.sessions.get(*session),
                sessions: &self.sessions,
                given: &|folder, name| given.digest(folder, name),
            };
            let mut changed = false;
            for (task, work) in lesson.tasks.iter().zip(&mut self.tasks) {
                changed |= work.see(task, &scene);
            }
            return Applied { changed, judgement: None };
        }
        let id = match &entry.record {
            Record::Answered { task, .. }
            | Record::Hinted { task }
            | Record::Reset { task }
            | Record::Overridden { task, .. } => task,
            Record::Started { .. } | Record::Missed { .. } | Record::Seen { .. } => return Applied::default(),
        };
        // A task that the lesson has no longer.
        let Some((at, task)) = lesson.task(id) else { return Applied::default() };
        let work = &mut self.tasks[at];
        let mut judgement = None;
        match &entry.record {
            Record::Answered { text, .. } => {
                judgement = Some(work.answer(task, text, &self.sessions, given, others, entry));
            }
            Record::Hinted { .. } => work.hints += 1,
            Record::Reset { .. } => work.trials.fill(Trials::default()),
            Record::Overridden { points, reason, .. } => {
                let (reason, entry) = (reason.clone(), Arc::clone(entry));
                work.decision = points.map(|points| Decision { points, reason, entry });
            }
            Record::Started { .. } | Record::Missed { .. } | Record::Seen { .. } => {}
        }
        Applied { changed: true, judgement }
    }

    pub fn is_done(&self, task: usize) -> bool {
        self.tasks.get(task).is_some_and(|work| work.done.is_some())
    }

    pub fn marks(&self, lesson: &Lesson) -> Vec<Mark> {
        lesson.tasks.iter().zip(&self.tasks).map(|(task, work)| work.mark(task)).collect()
    }
}

impl TaskWork {
    /// Looks at what was seen, and tells whether the mark is another one by it.
    fn see(&mut self, task: &Task, scene: &Scene<'_>) -> bool {
        if self.done.is_some() {
            return false;
        }
        let had_begun = self.has_begun(task);
        for (way, trials) in task.ways.iter().zip(&mut self.trials) {
            if way.need.is_empty() || !trials.see(way, scene) || !way.answer.is_empty() {
                continue;
            }
            let found = trials.complete().next().into_iter().flat_map(|trial| trial.evidence()).cloned();
            self.done = Some(Done { at: scene.entry.time, evidence: evidence(found) });
            return true;
        }
        !had_begun && self.has_begun(task)
    }

    fn has_begun(&self, task: &Task) -> bool {
        task.ways.iter().zip(&self.trials).any(|(way, trials)| trials.has_begun(way))
    }

    fn answer<'a>(
        &mut self,
        task: &Task,
        text: &str,
        own: &Sessions,
        given: &Given<'_>,
        others: &dyn Fn() -> Vec<&'a Sessions>,
        entry: &Arc<Entry>,
    ) -> Judgement {
        if self.done.is_some() {
            return Judgement::Right;
        }
        if !task.asks() {
            return Judgement::NothingAsked;
        }
        let left = self.paused_until.map_or(TimeDelta::zero(), |until| until - entry.time);
        // Longer than a pause it is only where the clock was set back.
        if left > TimeDelta::zero() && left <= PAUSE {
            // Begun seconds count.
            return Judgement::Paused((left.num_milliseconds() + 999) / 1000);
        }
        let others = others();
        let nothing = super::steps::Trial::nothing();
        // Of the first way: it is the one that the question is about.
        let (mut why, mut missing) = (None, None);
        for (way, trials) in task.ways.iter().zip(&self.trials).filter(|(way, _)| !way.answer.is_empty()) {
            let complete: Vec<_> = match way.need.is_empty() {
                true => vec![&nothing],
                false => trials.complete().collect(),
            };
            if complete.is_empty() {
                missing = missing.or(Some(trials.missing()));
            }
            for trial in complete {
                let known = Known {
                    now: entry.time,
                    own,
                    others: &others,
                    trial,
                    file_word: &|path| given.word_at(path),
                    file_digest: &|path| given.digest_at(path),
                };
                match answer::judge(&way.answer, text, &known) {
                    Ok(found) => {
                        let found = trial.evidence().cloned().chain(found).chain([Arc::clone(entry)]);
                        self.done = Some(Done { at: entry.time, evidence: evidence(found) });
                        self.attempts += 1;
                        return Judgement::Right;
                    }
                    Err(reason) => why = why.or(Some(reason)),
                }
            }
        }
        let Some(why) = why else { return Judgement::NotYet(missing.unwrap_or_default()) };
        self.attempts += 1;
        self.last_wrong = Some(Arc::clone(entry));
        self.wrong += 1;
        if self.wrong >= ATTEMPTS {
            self.wrong = 0;
            self.paused_until = Some(entry.time + PAUSE);
        }
        Judgement::Wrong(why)
    }

    fn mark(&self, task: &Task) -> Mark {
        let Self { attempts, hints, last_wrong, done, decision, .. } = self;
        let state = match (done, decision) {
            (None, None) if *attempts > 0 || self.has_begun(task) => State::Tried,
            (None, None) => State::Open,
            _ => State::Done,
        };
        let earned = if done.is_some() { task.points } else { 0 };
        let decided = decision.as_ref().map(|decision| Arc::clone(&decision.entry));
        // What somebody did after a wrong answer may have done the task without another one.
        let missed = last_wrong.iter().filter(|_| done.is_none()).cloned();
        let found = done.iter().flat_map(|done| done.evidence.iter().cloned()).chain(missed);
        Mark {
            task: task.id.clone(),
            state,
            points: decision.as_ref().map_or(earned, |decision| decision.points),
            attempts: *attempts,
            hints: *hints,
            first_try: done.is_some() && *attempts <= 1,
            done_at: done.as_ref().map(|done| done.at).or(decided.as_ref().map(|entry| entry.time)),
            source: decision.as_ref().map_or(Source::Auto, |decision| Source::Manual(decision.reason.clone())),
            evidence: evidence(found.chain(decided)),
        }
    }
}
