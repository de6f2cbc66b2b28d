//! What students ask in their sessions: SITE TASKS, ANSWER, HINT, WHOAMI and RESET.

use super::journal::Via;
use super::live::{Classroom, ClassroomRequest, points};
use super::marks::{Mark, State};
use crate::ports::PortClass;
use crate::{Asker, Practice};

impl Practice for Classroom {
    fn site(&self, asker: Asker<'_>, word: &str, argument: &str) -> Option<Vec<String>> {
        self.student(asker.user)?;
        let argument = argument.trim();
        let (task, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        let one = |line: String| Some(vec![line]);
        let said = |said: Result<String, String>| one(said.unwrap_or_else(|why| why));
        match word {
            "TASKS" => Some(if task.is_empty() { self.tasks(asker.user) } else { self.task(asker.user, task) }),
            "ANSWER" if rest.is_empty() => {
                one("TRY-AGAIN: write the task and your answer, such as SITE ANSWER A3 53514.".to_owned())
            }
            "ANSWER" => one(self.answer(asker.user, task, rest, Via::Session).text),
            "HINT" | "RESET" if task.is_empty() => one(format!("Write the task, such as SITE {word} C7.")),
            "HINT" => said(self.hint(asker.user, task)),
            "RESET" => said(self.reset(asker.user, task)),
            "WHOAMI" => Some(self.who_am_i(asker)),
            _ => None,
        }
    }

    fn help(&self) -> Vec<String> {
        [
            "SITE TASKS [task] (what there is to do, and what is done)",
            "SITE ANSWER task text",
            "SITE HINT task",
            "SITE WHOAMI (what the server sees of you)",
            "SITE RESET task (make its folder as it was given)",
        ]
        .map(str::to_owned)
        .into()
    }

    fn feature(&self, session: u64) -> Option<String> {
        self.has_words().then(|| format!("CAPTURE {}", self.word(session)))
    }

    fn hides_ports(&self) -> bool {
        self.is_exam()
    }

    fn administer(&self, request: serde_json::Value) -> Result<serde_json::Value, String> {
        let request = serde_json::from_value(request).map_err(|error| format!("this is no request: {error}"))?;
        match request {
            ClassroomRequest::Override { user, task, points, reason } => {
                self.override_mark(&user, &task, points, &reason).map(serde_json::Value::String)
            }
            ClassroomRequest::Reset { users } => self.were_reset(&users).map(|()| serde_json::Value::Null),
        }
    }
}

impl Classroom {
    /// All tasks, a line each.
    fn tasks(&self, user: &str) -> Vec<String> {
        let (lesson, marks) = (self.lesson(), self.marks_of(user));
        let Some(marks) = marks else { return Vec::new() };
        let done = marks.marks.iter().filter(|mark| mark.state == State::Done).count();
        let all = lesson.tasks.len();
        let mut lines =
            vec![format!("{}: {done} of {all} done, {} of {}", lesson.title, marks.points, points(lesson.points()))];
        let row = |(task, mark): (&super::lesson::Task, &Mark)| {
            format!(" {} {:<4} {:>2} p  {}", sign(mark), task.id, task.points, task.title)
        };
        lines.extend(lesson.tasks.iter().zip(&marks.marks).map(row));
        lines.push("SITE TASKS A1 shows a question. SITE ANSWER A1 ... answers it.".to_owned());
        lines
    }

    /// One task with its question.
    fn task(&self, user: &str, id: &str) -> Vec<String> {
        let lesson = self.lesson();
        let Some((at, task)) = lesson.task(id) else {
            return vec!["There is no such task. SITE TASKS lists them.".to_owned()];
        };
        let marks = self.marks_of(user);
        let mark = marks.as_ref().and_then(|marks| marks.marks.get(at)).cloned().unwrap_or_default();
        let mut lines = vec![format!("{} {} {}, {}", sign(&mark), task.id, task.title, points(task.points))];
        lines.extend(wrapped(&task.ask));
        lines.push(match (mark.state, task.asks()) {
            (State::Done, _) => "It is done.".to_owned(),
            (_, true) => format!("SITE ANSWER {} ... answers it.", task.id),
            (_, false) => "There is nothing to answer: do it.".to_owned(),
        });
        lines
    }

    /// What the server sees of who asks.
    fn who_am_i(&self, asker: Asker<'_>) -> Vec<String> {
        let alias = self.student(asker.user).map_or_else(|| asker.user.to_owned(), |student| student.alias);
        let mut lines = vec![format!("You are {alias}, in session {}.", asker.session)];
        if self.is_exam() {
            lines.push("This is an exam: look for the ports yourself.".to_owned());
            return lines;
        }
        let end = |whose: &str, end: std::net::SocketAddr| {
            format!(" {whose} end of this control connection: {end}, a {} port", PortClass::of(end.port()))
        };
        lines.extend([end("Your", asker.ends.client), end("The server's", asker.ends.server)]);
        lines.push(
            "netstat -n on your computer shows the same two ends, unless a router in between changes one.".to_owned(),
        );
        lines
    }
}

/// A word and a shape for how far a task is.
fn sign(mark: &Mark) -> &'static str {
    match mark.state {
        State::Open => "[ ]",
        State::Tried => "[~]",
        State::Done => "[x]",
    }
}

/// Lines of a text that fit a terminal. The space in front keeps them from looking like the end of a reply.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 78;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!(" {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}
