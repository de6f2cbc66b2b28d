//! From a lesson file to a lesson, or to everything that is wrong with it.

use std::ops::Range;

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{self, Place};
use super::{Lesson, Task, Way};
use crate::settings::Faults;
use crate::settings::document::{self, Lines};

const LESSON_KEYS: [&str; 2] = ["title", "task"];
const WAY_KEYS: [&str; 4] = ["need", "in_order", "one_session", "answer"];
const TASK_KEYS: [&str; 11] =
    ["id", "title", "ask", "points", "hint", "folder", "need", "in_order", "one_session", "answer", "way"];

pub(super) fn lesson(text: &str, name: &str) -> Result<Lesson, Faults> {
    let (table, lines, mut wrong) = document::tree(text, name);
    let mut reader =
        Reader { lines, faults: Faults::default(), not_read: 0, places: Vec::new(), folders_are_known: true };
    let lesson = reader.lesson(table);
    wrong.extend_lines(std::mem::take(&mut reader.faults));
    for (span, place) in std::mem::take(&mut reader.places) {
        if let Err(fault) = check::check(&lesson, place, reader.folders_are_known) {
            reader.fault(span, fault);
        }
    }
    wrong.extend_lines(reader.faults);
    wrong.or(lesson)
}

/// What is read, with the places of what is to be checked when all of it is known.
struct Reader<'a> {
    lines: Lines<'a>,
    faults: Faults,
    /// How many values could not be read. Where one is missing, what is left is not checked as a whole.
    not_read: usize,
    places: Vec<(Range<usize>, Place)>,
    folders_are_known: bool,
}

impl Reader<'_> {
    fn fault(&mut self, span: Range<usize>, text: impl Into<String>) {
        self.faults.push(self.lines.origin(Some(span)), text);
    }

    fn lesson(&mut self, table: DeTable<'_>) -> Lesson {
        let mut lesson = Lesson::default();
        for (key, value) in table {
            let span = key.span();
            match key.get_ref().as_ref() {
                "title" => self.take(&mut lesson.title, "title", "a line of text", value),
                "task" => {
                    for (span, task) in self.tables("task", value) {
                        let place = Place::task(lesson.tasks.len());
                        lesson.tasks.push(self.task(task, span, place));
                    }
                }
                unknown => self.unknown(span, unknown, "in a lesson", &LESSON_KEYS),
            }
        }
        self.places.push((0..0, Place::lesson()));
        lesson
    }

    fn check_unless_not_read(&mut self, before: usize, span: Range<usize>, place: Place) {
        if self.not_read == before {
            self.places.push((span, place));
        }
    }

    fn task(&mut self, table: DeTable<'_>, at: Range<usize>, place: Place) -> Task {
        let (mut task, mut own) = (Task::default(), DeTable::new());
        let (mut ways, not_read) = (Vec::new(), self.not_read);
        for (key, value) in table {
            let span = key.span();
            match key.get_ref().as_ref() {
                "id" => self.take(&mut task.id, "id", "a short name such as \"A3\"", value),
                "title" => self.take(&mut task.title, "title", "a line of text", value),
                "ask" => self.take(&mut task.ask, "ask", "a question", value),
                "points" => self.take(&mut task.points, "points", "a whole number", value),
                "hint" => self.take(&mut task.hint, "hint", "a line of text", value),
                "folder" => {
                    self.take(
                        &mut task.folder,
                        "folder",
                        "{ path = \"/quest/NAME\", files = [{ name = \"a.txt\" }] }",
                        value,
                    );
                    self.folders_are_known &= task.folder.is_some();
                }
                "way" => ways = self.tables("way", value),
                name if WAY_KEYS.contains(&name) => drop(own.insert(key, value)),
                unknown => self.unknown(span, unknown, "in a [[task]]", &TASK_KEYS),
            }
        }
        for text in [&mut task.title, &mut task.ask, &mut task.hint] {
            *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        self.check_unless_not_read(not_read, at, place);
        if !own.is_empty() {
            // What the task itself says is its first way.
            let span = own.keys().next().map_or(0..0, Spanned::span);
            ways.insert(0, (span, own));
        }
        for (span, table) in ways {
            let (place, not_read) = (place.way(task.ways.len()), self.not_read);
            task.ways.push(self.way(table, place));
            self.check_unless_not_read(not_read, span, place);
        }
        task
    }

    fn way(&mut self, table: DeTable<'_>, place: Place) -> Way {
        let mut way = Way::default();
        for (key, value) in table {
            let span = key.span();
            match key.get_ref().as_ref() {
                "need" => {
                    for (span, step) in self.items("need", "a list of steps, such as { did = \"login\" }", value) {
                        self.places.push((span, place.step(way.need.len())));
                        way.need.push(step);
                    }
                }
                "answer" => {
                    for (span, part) in self.items("answer", "a list of what to answer, such as \"client-port\"", value)
                    {
                        self.places.push((span, place.part(way.answer.len())));
                        way.answer.push(part);
                    }
                }
                "in_order" => self.take(&mut way.in_order, "in_order", "true or false", value),
                "one_session" => self.take(&mut way.one_session, "one_session", "true or false", value),
                unknown => self.unknown(span, unknown, "in a [[task.way]]", &WAY_KEYS),
            }
        }
        way
    }

    fn unknown(&mut self, span: Range<usize>, name: &str, place: &str, known: &[&str]) {
        self.faults.push_unknown(self.lines.origin(Some(span)), name, place, known);
    }

    /// Puts a value in its place, if it can be one.
    fn take<T: DeserializeOwned>(&mut self, to: &mut T, name: &str, allowed: &str, value: Spanned<DeValue<'_>>) {
        if let Some(value) = self.value(name, allowed, value) {
            *to = value;
        }
    }

    fn value<T: DeserializeOwned>(&mut self, name: &str, allowed: &str, value: Spanned<DeValue<'_>>) -> Option<T> {
        let span = value.span();
        let read = T::deserialize(value.into_deserializer());
        read.map_err(|error| {
            self.not_read += 1;
            let span = error.span().unwrap_or(span);
            let why = error.message().replace('\n', " ");
            self.fault(span, format!("{name} is not allowed ({why}); write {allowed}"));
        })
        .ok()
    }

    /// What can be read of a list.
    fn items<T: DeserializeOwned>(
        &mut self,
        name: &str,
        allowed: &str,
        value: Spanned<DeValue<'_>>,
    ) -> Vec<(Range<usize>, T)> {
        let span = value.span();
        let DeValue::Array(items) = value.into_inner() else {
            self.fault(span, format!("{name} is no list; write {allowed}"));
            return Vec::new();
        };
        let one = |item: Spanned<DeValue<'_>>| {
            let span = item.span();
            self.value(name, allowed, item).map(|item| (span, item))
        };
        items.into_iter().filter_map(one).collect()
    }

    /// The tables of a list of tables.
    fn tables<'t>(&mut self, name: &str, value: Spanned<DeValue<'t>>) -> Vec<(Range<usize>, DeTable<'t>)> {
        let mut tables = Vec::new();
        let span = value.span();
        let items = match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            _ => Vec::new(),
        };
        let is_list = !items.is_empty();
        for item in items {
            match (item.span(), item.into_inner()) {
                (span, DeValue::Table(table)) => tables.push((span, table)),
                (span, _) => self.fault(span, format!("{name} is a list of tables; write [[{name}]]")),
            }
        }
        if !is_list {
            self.fault(span, format!("{name} is a list of tables; write [[{name}]]"));
        }
        tables
    }
}
