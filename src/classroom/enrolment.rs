//! A roster beside the class as it is: who is new, who has changed, who is missing.

use super::roster::{Entry, Roster, fold};
use super::student::{Student, Students};
use crate::settings::Faults;

/// What a roster makes of a class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enrolment {
    /// The roster's students, in its order.
    pub rows: Vec<Row>,
    /// Those of the class who are not in the roster.
    pub missing: Vec<Student>,
}

/// A student of a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// As the class will have it. A new one has neither alias nor user name yet.
    pub student: Student,
    /// What is new about that.
    pub change: Change,
}

/// What is new about a student.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Was not in the class.
    New,
    /// Was, with other details.
    Updated,
    /// Was, as now.
    Same,
}

/// By what a student is known again, the first first. Whoever has two different ids is two people.
const KEYS: [fn(&Entry, &Student) -> bool; 4] = [
    |entry, student| !entry.id.is_empty() && entry.id == student.id,
    |entry, student| no_two_ids(entry, student) && equal(&entry.email, &student.email),
    |entry, student| no_two_ids(entry, student) && equal(&entry.login, &student.login),
    |entry, student| no_two_ids(entry, student) && equal(&entry.name, &student.name),
];

impl Enrolment {
    /// Compares. With a `section`, only students of that section can be missing.
    pub fn of(roster: &Roster, class: &Students, section: Option<&str>) -> Result<Self, Faults> {
        let class: Vec<&Student> = class.iter().collect();
        let mut known: Vec<Option<usize>> = vec![None; roster.entries.len()];
        let mut faults = Faults::default();
        // Each key for all rows before the next: a name must not take whom another row names by id.
        for is_same in KEYS {
            for (row, entry) in
                roster.entries.iter().enumerate().filter(|(row, _)| known[*row].is_none()).collect::<Vec<_>>()
            {
                let free = |place: &usize| !known.contains(&Some(*place)) && is_same(entry, class[*place]);
                match (0..class.len()).filter(free).collect::<Vec<_>>()[..] {
                    [] => {}
                    [place] => known[row] = Some(place),
                    _ => faults.push(
                        format!("{}:{}", roster.file, entry.line),
                        format!(
                            "{:?} could be several students of the class; write the school's id in this row",
                            entry.name
                        ),
                    ),
                }
            }
        }
        let rows =
            roster.entries.iter().zip(&known).map(|(entry, place)| Row::of(entry, place.map(|place| class[place])));
        let is_missing = |(place, student): &(usize, &&Student)| {
            !known.contains(&Some(*place)) && section.is_none_or(|section| fold(&student.section) == fold(section))
        };
        let missing = class.iter().enumerate().filter(is_missing).map(|(_, student)| (*student).clone());
        faults.or(Self { rows: rows.collect(), missing: missing.collect() })
    }

    /// How many rows are of this kind.
    pub fn count(&self, change: Change) -> usize {
        self.rows.iter().filter(|row| row.change == change).count()
    }
}

impl Row {
    fn of(entry: &Entry, before: Option<&Student>) -> Self {
        let mut student = before.cloned().unwrap_or_default();
        let fields = [
            (&mut student.name, &entry.name),
            (&mut student.id, &entry.id),
            (&mut student.email, &entry.email),
            (&mut student.login, &entry.login),
            (&mut student.section, &entry.section),
            (&mut student.lms_id, &entry.lms_id),
        ];
        // A list of names takes nobody's id away.
        for (field, new) in fields.into_iter().filter(|(_, new)| !new.is_empty()) {
            field.clone_from(new);
        }
        let change = match before {
            None => Change::New,
            Some(before) if *before == student => Change::Same,
            Some(_) => Change::Updated,
        };
        Self { student, change }
    }
}

fn no_two_ids(entry: &Entry, student: &Student) -> bool {
    entry.id.is_empty() || student.id.is_empty()
}

fn equal(one: &str, other: &str) -> bool {
    !one.is_empty() && fold(one) == fold(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &[[&str; 4]]) -> Students {
        let student = |[user, name, id, email]: &[&str; 4]| Student {
            user: (*user).into(),
            alias: (*user).into(),
            name: (*name).into(),
            id: (*id).into(),
            email: (*email).into(),
            ..Student::default()
        };
        Students::new(text.iter().map(student).collect())
    }

    /// The user and name of each row, and the users who are missing.
    fn enrol(roster: &str, class: &Students) -> Result<(Vec<String>, Vec<String>), Faults> {
        let roster = Roster::parse(roster.as_bytes(), "r.csv", None).unwrap();
        let Enrolment { rows, missing } = Enrolment::of(&roster, class, None)?;
        let row = |Row { student, change }: Row| format!("{} {} {change:?}", student.user, student.name);
        Ok((rows.into_iter().map(row).collect(), missing.into_iter().map(|student| student.user).collect()))
    }

    #[test]
    fn the_id_decides_whatever_else_has_changed() {
        let class = class(&[["otter", "Ann", "1", "a@x"], ["fox", "Bob", "2", "b@x"], ["elk", "Cem", "3", ""]]);
        let (rows, missing) = enrol("name,id,email\nBob,3,c@x\nAnn M,1,a@x\nBob,2,b@x\nDan,4,\n", &class).unwrap();
        assert_eq!(rows, ["elk Bob Updated", "otter Ann M Updated", "fox Bob Same", " Dan New"]);
        assert!(missing.is_empty());
    }

    #[test]
    fn a_missing_id_falls_back_to_what_else_there_is_and_loses_nothing() {
        let class = class(&[["otter", "Ann", "1", "a@x"], ["fox", "Bob", "", "b@x"]]);
        let (rows, missing) = enrol("Ann\n", &class).unwrap();
        assert_eq!((rows, missing), (vec!["otter Ann Same".to_owned()], vec!["fox".to_owned()]));
        let (rows, _) = enrol("name,id,email\nRobert,2,B@X\nAnn,9,\n", &class).unwrap();
        assert_eq!(rows, ["fox Robert Updated", " Ann New"]);
    }

    #[test]
    fn a_name_that_could_be_two_students_is_refused() {
        let class = class(&[["otter", "Ann", "1", ""], ["fox", "Ann", "2", ""]]);
        assert!(enrol("Bob\nAnn\n", &class).unwrap_err().to_string().starts_with("r.csv:2: \"Ann\" could be several"));
        let (rows, _) = enrol("name,id\nAnn,1\nAnn,2\n", &class).unwrap();
        assert_eq!(rows, ["otter Ann Same", "fox Ann Same"]);
    }

    #[test]
    fn only_the_sections_own_students_can_be_missing() {
        let mut ann = Student { user: "otter".into(), name: "Ann".into(), section: "3A".into(), ..Student::default() };
        let roster = Roster::parse(b"Bob\n", "r.csv", Some("3B")).unwrap();
        let missing = |ann: &Student| {
            Enrolment::of(&roster, &Students::new(vec![ann.clone()]), Some("3B")).unwrap().missing.len()
        };
        assert_eq!(missing(&ann), 0);
        ann.section = "3b".into();
        assert_eq!(missing(&ann), 1);
    }
}
