//! The class on the page: who has done which task, as each face may see it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::view::{Face, Switches};
use crate::classroom::Classroom;
use crate::classroom::lesson::{Lesson, Task};
use crate::classroom::marks::{Mark, Source, State, StudentMarks};

/// The marks of a class at one moment.
#[derive(Debug)]
pub(super) struct Board {
    lesson: Arc<Lesson>,
    exam: bool,
    notices: Vec<String>,
    seats: Vec<Seat>,
    /// Whether the lesson or the notices are others than on the board before.
    is_another: bool,
}

/// A student.
#[derive(Debug)]
struct Seat {
    user: String,
    alias: String,
    full: String,
    points: u32,
    marks: Vec<Cell>,
    /// Whether it is another than on the board before.
    is_new: bool,
}

/// A mark, without what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cell {
    state: State,
    points: u32,
    attempts: u32,
    hints: u32,
    /// Whether the teacher has decided about it.
    decided: bool,
}

impl Cell {
    fn of(mark: &Mark) -> Self {
        let Mark { state, points, attempts, hints, .. } = *mark;
        Self { state, points, attempts, hints, decided: matches!(mark.source, Source::Manual(_)) }
    }

    /// One letter; on the wall nobody sees what the teacher has decided.
    fn letter(&self, face: &Face) -> char {
        match (self.decided, self.state) {
            (true, _) if *face == Face::Teacher => '!',
            (true, _) if self.points == 0 => '~',
            (_, State::Done) => 'x',
            (_, State::Tried) => '~',
            (_, State::Open) => '.',
        }
    }
}

impl Board {
    /// The class as it is now. It waits for the disk.
    pub fn of(classroom: &Classroom, before: Option<&Self>) -> Self {
        let (lesson, marks) = (classroom.lesson(), classroom.marks());
        let old: HashMap<&str, &Seat> =
            before.iter().flat_map(|before| &before.seats).map(|seat| (seat.user.as_str(), seat)).collect();
        let seat = |StudentMarks { student, points, marks }: StudentMarks| {
            let marks: Vec<Cell> = marks.iter().map(Cell::of).collect();
            let is_new =
                old.get(student.user.as_str()).is_none_or(|old| old.marks != marks || old.full != student.name);
            Seat { user: student.user, alias: student.alias, full: student.name, points, marks, is_new }
        };
        let (seats, notices): (Vec<Seat>, _) = (marks.into_iter().map(seat).collect(), classroom.notices());
        let is_same = before.is_some_and(|before| {
            let same_students = before.seats.iter().map(|seat| &seat.user).eq(seats.iter().map(|seat| &seat.user));
            before.lesson == lesson && before.notices == notices && same_students
        });
        Self { lesson, exam: classroom.is_exam(), notices, seats, is_another: !is_same }
    }

    /// It as `face` sees it, in JSON: all of it, or what is another than on the board before. `None` where that is nothing.
    pub fn write(&self, face: &Face, switches: Switches, afresh: bool) -> Option<String> {
        let all = afresh || self.is_another;
        let new = self.seats.iter().filter(|seat| all || seat.is_new);
        let mut board = json!({});
        if all {
            board = json!({ "title": self.lesson.title, "exam": self.exam });
        }
        match face {
            Face::Teacher => {
                let seat = |seat: &Seat| {
                    let Seat { user, alias, full, points, .. } = seat;
                    json!({ "user": user, "alias": alias, "full": full, "points": points, "states": seat.states(face) })
                };
                board["students"] = new.map(seat).collect();
                if all {
                    board["tasks"] =
                        self.tasks(|task| json!({ "id": task.id, "title": task.title, "points": task.points }));
                    board["notices"] = json!(self.notices);
                }
            }
            Face::Projector => {
                let seat = |seat: &Seat| json!({ "alias": seat.alias, "states": seat.states(face) });
                board["students"] = new.filter(|_| switches.grid).map(seat).collect();
                if all && switches.grid {
                    board["tasks"] = self.tasks(|task| json!({ "id": task.id, "title": task.title }));
                }
            }
            Face::Student(user) => {
                let seat = self.seats.iter().find(|seat| seat.user == **user && (all || seat.is_new))?;
                (board["marks"], board["points"]) = (json!(seat.marks), json!(seat.points));
                board["alias"] = json!(seat.alias);
                if all {
                    board["tasks"] = self.tasks(|task| self.for_a_student(task));
                }
            }
        }
        let nothing = !all && board["students"].as_array().is_some_and(Vec::is_empty);
        (!nothing).then(|| board.to_string())
    }

    fn tasks(&self, show: impl Fn(&Task) -> serde_json::Value) -> serde_json::Value {
        self.lesson.tasks.iter().map(show).collect()
    }

    fn for_a_student(&self, task: &Task) -> serde_json::Value {
        json!({
            "id": task.id,
            "title": task.title,
            "ask": task.ask,
            "points": task.points,
            "asks": task.asks(),
            "hint": !task.hint.is_empty() && !self.exam,
            "folder": task.folder.as_ref().map(|folder| &folder.path),
        })
    }
}

impl Seat {
    /// A letter for each task.
    fn states(&self, face: &Face) -> String {
        self.marks.iter().map(|cell| cell.letter(face)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(is_new: [bool; 2], is_another: bool) -> Board {
        let cell = |state, points, decided| Cell { state, points, attempts: 0, hints: 0, decided };
        let seat = |user: &str, is_new| Seat {
            user: user.to_owned(),
            alias: format!("{user}-alias"),
            full: format!("{user} Full"),
            points: 3,
            marks: vec![cell(State::Done, 3, false), cell(State::Tried, 0, false), cell(State::Done, 0, true)],
            is_new,
        };
        let task = |id: &str| Task { id: id.to_owned(), hint: "secret".to_owned(), points: 3, ..Task::default() };
        let lesson = Lesson { title: "Ports".to_owned(), tasks: vec![task("A1"), task("A2"), task("A3")] };
        let seats = vec![seat("ann", is_new[0]), seat("bob", is_new[1])];
        Board { lesson: lesson.into(), exam: false, notices: Vec::new(), seats, is_another }
    }

    const SWITCHES: Switches = Switches { files: true, grid: true, ports: true };

    #[test]
    fn the_wall_has_no_names_no_points_and_no_decisions() {
        let board = board([true, true], true);
        let wall = board.write(&Face::Projector, SWITCHES, true).unwrap();
        assert!(wall.contains("{\"alias\":\"ann-alias\",\"states\":\"x~~\"}"), "{wall}");
        assert!(!wall.contains("Full") && !wall.contains("points") && !wall.contains("secret"), "{wall}");
        let off = board.write(&Face::Projector, Switches { grid: false, ..SWITCHES }, true).unwrap();
        assert!(!off.contains("alias") && !off.contains("A1"), "{off}");
        assert!(board.write(&Face::Teacher, SWITCHES, true).unwrap().contains("\"states\":\"x~!\""));
    }

    #[test]
    fn a_student_gets_the_own_marks_and_no_hint_before_it_is_asked_for() {
        let board = board([true, true], true);
        let ann = board.write(&Face::Student("ann".into()), SWITCHES, true).unwrap();
        assert!(ann.contains("ann-alias") && !ann.contains("bob") && !ann.contains("secret"), "{ann}");
        assert_eq!(board.write(&Face::Student("eve".into()), SWITCHES, true), None);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let board = board([false, true], false);
        let told = |face: &Face| board.write(face, SWITCHES, false);
        assert_eq!(told(&Face::Student("ann".into())), None);
        assert!(told(&Face::Student("bob".into())).is_some());
        let wall = told(&Face::Projector).unwrap();
        assert!(wall.contains("bob") && !wall.contains("ann") && !wall.contains("A1"), "{wall}");
        let nobody = super::tests::board([false, false], false);
        assert_eq!(nobody.write(&Face::Teacher, SWITCHES, false), None);
    }
}
