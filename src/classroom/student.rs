//! Who is in a class. The file `students.csv` is the roster as it is kept, whatever the school's file looked like.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A student.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Student {
    /// The login name, which is also the name of the home.
    pub user: String,
    /// The name on the projector, which tells nobody who it is.
    pub alias: String,
    /// The name on the teacher's page and in exports.
    pub name: String,
    /// The school's own id, by which a roster is imported again; every export carries it. May be empty.
    pub id: String,
    /// May be empty.
    pub email: String,
    /// The section or group; may be empty.
    pub section: String,
    /// The school's login name, such as Canvas' `SIS Login ID` or Moodle's `username`; may be empty.
    pub login: String,
    /// The learning platform's own number: Canvas' `ID`, nbgrader's `lms_user_id`; may be empty.
    #[serde(default)]
    pub lms_id: String,
}

/// All of them, in the order of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Students(Vec<Student>);

impl Students {
    /// These students, whose `user` names differ.
    pub fn new(students: Vec<Student>) -> Self {
        Self(students)
    }

    /// Reads the file.
    pub fn load(path: &Path) -> io::Result<Self> {
        let read = || -> csv::Result<Vec<Student>> { csv::Reader::from_path(path)?.deserialize().collect() };
        let named = |error| io::Error::other(format!("cannot read the students in {}: {error}", path.display()));
        Ok(Self(read().map_err(named)?))
    }

    /// The same, or nobody where there is no file yet.
    pub fn load_or_none(path: &Path) -> io::Result<Self> {
        if path.try_exists()? { Self::load(path) } else { Ok(Self::default()) }
    }

    /// The file's contents.
    pub fn to_csv(&self) -> io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for student in &self.0 {
            writer.serialize(student)?;
        }
        writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
    }

    /// The student who logs in with this name.
    pub fn find(&self, user: &str) -> Option<&Student> {
        self.0.iter().find(|student| student.user == user)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Student> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_brings_back_what_was_written() {
        let ann =
            Student { user: "otter".into(), name: "Ann \"A\", of B".into(), id: "0042".into(), ..Student::default() };
        let students = Students::new(vec![ann.clone(), Student { user: "maple".into(), ..Student::default() }]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, students.to_csv().unwrap()).unwrap();
        let read = Students::load(file.path()).unwrap();
        assert_eq!(read, students);
        assert_eq!(read.find("otter"), Some(&ann));
        assert_eq!(read.find("Otter"), None);
    }
}
