//! Answers and decisions, in words.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::sync::Arc;

use serde::Serialize;

use super::Classroom;
use super::state::State;
use crate::classroom::Students;
use crate::classroom::journal::{Record, Via};
use crate::classroom::lesson::{Lesson, Task};
use crate::classroom::marks::{ATTEMPTS, Judgement};

/// The file in the home whose lines are answers, such as `A3=53514`.
pub(super) const ANSWERS: &str = "answers.txt";

/// The most bytes of it that are read.
const ANSWERS_LIMIT: u64 = 64 << 10;

/// The longest answer, and the longest reason of the teacher, in characters.
const LONGEST: usize = 500;

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it is right.
    pub correct: bool,
    /// A sentence for the student, which begins with CORRECT or TRY-AGAIN.
    pub text: String,
}

impl Verdict {
    pub(super) fn try_again(task: &str, why: &str) -> Self {
        let space = if task.is_empty() { "" } else { " " };
        Self { correct: false, text: format!("TRY-AGAIN{space}{task}: {why}") }
    }
}

impl Classroom {
    pub(super) fn judge(&self, state: &mut State, user: &str, id: &str, text: &str, via: Via) -> Verdict {
        let lesson = Arc::clone(state.marks.lesson());
        let Some((at, task)) = lesson.task(id) else {
            return Verdict::try_again(id, "there is no such task. SITE TASKS lists them.");
        };
        let id = &task.id;
        if state.marks.is_done(user, at) {
            return Verdict { correct: true, text: format!("CORRECT {id}: it is done already.") };
        }
        if !task.asks() {
            return Verdict::try_again(id, "there is nothing to answer. Do it, and SITE TASKS shows when it was seen.");
        }
        let text = text.trim();
        if text.is_empty() || text.chars().count() > LONGEST {
            return Verdict::try_again(id, &format!("an answer has 1 to {LONGEST} characters."));
        }
        let record = Record::Answered { task: id.clone(), text: text.to_owned(), via };
        let judgement = match self.append(state, user, record) {
            Ok(applied) => applied.judgement,
            Err(error) => return Verdict::try_again(id, &format!("{error} Tell your teacher.")),
        };
        match judgement {
            Some(Judgement::Right) => {
                Verdict { correct: true, text: format!("CORRECT {id}: {}.", points(task.points)) }
            }
            Some(Judgement::Paused(seconds)) => Verdict::try_again(
                id,
                &format!("{ATTEMPTS} answers were wrong. The next one is looked at in {seconds} s; think meanwhile."),
            ),
            _ if self.exam => Verdict::try_again(id, "not yet."),
            Some(Judgement::Wrong(why)) => {
                let help = if task.hint.is_empty() { String::new() } else { format!(" SITE HINT {id} helps.") };
                Verdict::try_again(id, &format!("{why}{help}"))
            }
            Some(Judgement::NotYet(step)) => {
                let step = task.ways.iter().find(|way| !way.answer.is_empty()).and_then(|way| way.need.get(step));
                let step = step.map(ToString::to_string).unwrap_or_default();
                Verdict::try_again(id, &format!("do first what it says. I have not seen {step} yet."))
            }
            Some(Judgement::NothingAsked) | None => Verdict::try_again(id, "there is nothing to answer."),
        }
    }

    /// Judges the lines of a student's answers.txt that are new in it.
    pub(super) fn judge_file(&self, state: &mut State, user: &str) {
        let path = self.directory.home(user).join(ANSWERS);
        let mut text = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(ANSWERS_LIMIT).read_to_end(&mut text));
        if let Err(error) = read {
            // It was deleted meanwhile, say.
            tracing::debug!(%error, user, "answers.txt cannot be read");
        }
        let lines: BTreeSet<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        // The same file with one more line is sent again and again.
        let before = state.files.insert(user.to_owned(), lines.clone()).unwrap_or_default();
        for (task, answer) in lines.difference(&before).filter_map(|line| line.split_once('=')) {
            self.judge(state, user, task.trim(), answer, Via::File);
        }
    }
}

/// A decision of the teacher for the journal, or what is wrong with it.
pub fn decision(
    students: &Students,
    lesson: &Lesson,
    user: &str,
    task: &str,
    points: Option<u32>,
    reason: &str,
) -> Result<Record, String> {
    let task = find(lesson, task)?;
    if students.find(user).is_none() {
        return Err(format!("There is no student {user:?}; name the alias on the card."));
    }
    if let Some(points) = points.filter(|points| *points > task.points) {
        return Err(format!("{} has {}, so it cannot get {points}.", task.id, self::points(task.points)));
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST {
        return Err(format!("A decision needs a reason of 1 to {LONGEST} characters."));
    }
    Ok(Record::Overridden { task: task.id.clone(), points, reason: reason.to_owned() })
}

/// What a decision is told as.
pub fn told(decision: &Record, user: &str) -> String {
    match decision {
        Record::Overridden { task, points: Some(points), .. } => {
            format!("{user} has {} for {task} by your decision", self::points(*points))
        }
        Record::Overridden { task, points: None, .. } => format!("{user} has for {task} what was observed"),
        _ => String::new(),
    }
}

pub(super) fn find<'a>(lesson: &'a Lesson, id: &str) -> Result<&'a Task, String> {
    let found = lesson.task(id).map(|(_, task)| task);
    found.ok_or_else(|| format!("There is no task {}.", id.escape_debug()))
}

/// `1 point`, `2 points`
pub(in crate::classroom) fn points(number: u32) -> String {
    format!("{number} point{}", if number == 1 { "" } else { "s" })
}
