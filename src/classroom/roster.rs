//! The school's list of a class, as Moodle, Canvas, nbgrader, GitHub Classroom or an editor has written it.

use std::path::Path;

use anyhow::Context;
use csv::{ReaderBuilder, StringRecord};

use crate::settings::Faults;
use columns::{Columns, Field};

mod columns;

/// The longest roster in bytes.
const LONGEST: u64 = 4 << 20;

/// The longest cell in characters.
const LONGEST_CELL: usize = 200;

/// A student as the school has it. What it does not say is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The line of the file.
    pub line: u64,
    /// The name; where there is none, what else tells who it is.
    pub name: String,
    /// The school's own id.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// The school's login name.
    pub login: String,
    /// The section or group.
    pub section: String,
    /// The learning platform's own number.
    pub lms_id: String,
}

/// A list without faults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// What the file is called in faults.
    pub file: String,
    /// The students, in the file's order.
    pub entries: Vec<Entry>,
    /// What was left out, in sentences.
    pub notices: Vec<String>,
}

impl Roster {
    /// Reads a file, or everything that is wrong with it. With a `section`, only those in it.
    pub fn load(path: &Path, section: Option<&str>) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
        if size > LONGEST {
            let text = format!("the file has {size} bytes, which is more than any class; name the roster itself");
            return Err(Faults::one(name, text).into());
        }
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
        Ok(Self::parse(&bytes, &name, section)?)
    }

    /// Reads a file's contents; `file` is what it is called in faults.
    pub fn parse(bytes: &[u8], file: &str, section: Option<&str>) -> Result<Self, Faults> {
        let text = text(bytes, file)?;
        let mut reader = Reader { file, faults: Faults::default(), notices: Vec::new() };
        let entries = reader.entries(text);
        let entries = reader.in_section(entries, section);
        let twins = reader.twins(&entries);
        let Reader { mut faults, notices, .. } = reader;
        faults.extend_lines(twins);
        if entries.is_empty() && faults.iter().len() == 0 {
            faults.push(file, "there is no student in it; write a name a line, or a header and a row for each student");
        }
        faults.or(Self { file: file.to_owned(), entries, notices })
    }
}

/// The text of a file in UTF-8, with or without a byte order mark.
fn text<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, Faults> {
    const CURE: &str = "save it as \"CSV UTF-8\" in the spreadsheet, or convert it: iconv -f";
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(Faults::one(format!("{file}:1"), format!("this is UTF-16 and not UTF-8; {CURE} UTF-16 -t UTF-8")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Faults::one(format!("{file}:{line}"), format!("this line is not UTF-8; {CURE} WINDOWS-1252 -t UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

struct Reader<'a> {
    file: &'a str,
    faults: Faults,
    notices: Vec<String>,
}

impl Reader<'_> {
    fn fault(&mut self, line: u64, text: impl Into<String>) {
        self.faults.push(format!("{}:{line}", self.file), text);
    }

    fn entries(&mut self, text: &str) -> Vec<Entry> {
        let head = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let mut rows = self.rows(text, separator(head));
        let is_filled = |rows: &[StringRecord], place: usize| {
            rows.iter().skip(1).any(|row| row.get(place).is_some_and(|cell| !cell.trim().is_empty()))
        };
        let columns = rows.first().and_then(|header| Columns::of(header, |place| is_filled(&rows, place)));
        let columns = match columns {
            Some(columns) => {
                rows.remove(0);
                columns
            }
            // `Berg, Ann` is a name.
            None if separator(head) == b',' && rows.first().is_none_or(|row| row.len() <= 2) => {
                rows = self.rows(text, b'\x1f');
                Columns::names_only()
            }
            None => {
                let text = "no column of the first line is known; begin with a header such as: name,id,email,section";
                self.faults.push(format!("{}:1", self.file), text);
                return Vec::new();
            }
        };
        if !columns.unused.is_empty() {
            let quoted: Vec<String> = columns.unused.iter().map(|header| format!("{header:?}")).collect();
            self.notices.push(format!("columns that are not used: {}", quoted.join(", ")));
        }
        rows.iter().filter_map(|row| self.entry(&columns, row)).collect()
    }

    fn rows(&mut self, text: &str, separator: u8) -> Vec<StringRecord> {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(text.as_bytes());
        let mut rows = Vec::new();
        for row in reader.records() {
            match row {
                Ok(row) if row.iter().all(|cell| cell.trim().is_empty()) => {}
                Ok(row) => rows.push(row),
                Err(error) => self.faults.push(self.file, format!("this is no CSV: {error}; mend that line")),
            }
        }
        rows
    }

    fn entry(&mut self, columns: &Columns, row: &StringRecord) -> Option<Entry> {
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |field| columns.cell(field, row).to_owned();
        let (name, first, last) = (cell(Field::Name), cell(Field::FirstName), cell(Field::LastName));
        if let Some(notice) = not_a_student(columns, row, &name) {
            self.notices.push(format!("{}:{line}: left out, {notice}", self.file));
            return None;
        }
        let more = row.iter().skip(columns.count).any(|cell| !cell.trim().is_empty());
        if row.len() < columns.count || more {
            let text = format!(
                "this row has {} cells and the header {}; mend the row, with quotes around a cell that has a separator in it",
                row.len(),
                columns.count
            );
            self.fault(line, text);
            return None;
        }
        let (id, email, login) = (cell(Field::Id), cell(Field::Email), cell(Field::Login));
        let full = if name.is_empty() { format!("{first} {last}").trim().to_owned() } else { name };
        let name = [full, login.clone(), id.clone(), email.clone()].into_iter().find(|name| !name.is_empty());
        let Some(name) = name else {
            self.fault(line, "this row has neither a name nor an id, e-mail address or login name; write one of them");
            return None;
        };
        let faults = self.faults.iter().len();
        for (what, cell) in columns.cells(row) {
            let length = cell.chars().count();
            if cell.chars().any(char::is_control) {
                self.fault(line, format!("{what} has a line end or another control character in it; take it out"));
            } else if length > LONGEST_CELL {
                self.fault(line, format!("{what} has {length} characters; shorten it to {LONGEST_CELL}"));
            }
        }
        let entry = Entry { line, name, id, email, login, section: cell(Field::Section), lms_id: cell(Field::LmsId) };
        (self.faults.iter().len() == faults).then_some(entry)
    }

    /// Those in a section; where the roster has no sections, all of them, who are then in it.
    fn in_section(&mut self, mut entries: Vec<Entry>, section: Option<&str>) -> Vec<Entry> {
        let Some(section) = section else { return entries };
        if entries.iter().all(|entry| entry.section.is_empty()) {
            entries.iter_mut().for_each(|entry| entry.section = section.to_owned());
            return entries;
        }
        let (taken, others): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| is_in_section(&entry.section, section));
        if taken.is_empty() {
            let mut sections: Vec<String> = others.iter().map(|entry| format!("{:?}", entry.section)).collect();
            sections.sort();
            sections.dedup();
            let text = format!("nobody is in the section {section:?}; name one of {}", sections.join(", "));
            self.faults.push(self.file, text);
        } else if !others.is_empty() {
            self.notices.push(format!("students of other sections, who are left out: {}", others.len()));
        }
        taken
    }

    /// Two rows of one student, or of two whom nothing tells apart.
    fn twins(&self, entries: &[Entry]) -> Faults {
        let mut twins = Faults::default();
        for (place, entry) in entries.iter().enumerate() {
            let twin = entries[..place].iter().find_map(|other| Some((other.line, same(other, entry)?)));
            if let Some((line, what)) = twin {
                let text = format!("{what} is that of line {line}; remove one of them or mend it");
                twins.push(format!("{}:{}", self.file, entry.line), text);
            }
        }
        twins
    }
}

/// What two rows have in common that only one student can have.
fn same(one: &Entry, other: &Entry) -> Option<&'static str> {
    let equal = |one: &str, other: &str| !one.is_empty() && fold(one) == fold(other);
    if !one.id.is_empty() && one.id == other.id {
        Some("the school's id")
    } else if equal(&one.email, &other.email) {
        Some("the e-mail address")
    } else if equal(&one.login, &other.login) {
        Some("the school's login name")
    } else {
        // Namesakes are told apart by what both have and is different.
        let apart = [(&one.id, &other.id), (&one.email, &other.email), (&one.login, &other.login)];
        let apart = apart.iter().any(|(one, other)| !one.is_empty() && !other.is_empty());
        (!apart && equal(&one.name, &other.name)).then_some("without an id in both rows, the name")
    }
}

/// As names and addresses are compared.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Why a row of Canvas' gradebook is no student, if so.
fn not_a_student(columns: &Columns, row: &StringRecord, name: &str) -> Option<&'static str> {
    if name.starts_with("Points Possible") {
        Some("the row of possible points")
    } else if matches!(name, "Student, Test" | "Test Student") {
        Some("the test student of Canvas")
    } else if columns.has(Field::Login) && row.iter().any(|cell| cell.trim() == "Manual Posting") {
        Some("the row about posting")
    } else {
        None
    }
}

/// Canvas and Moodle write several into one cell.
fn is_in_section(written: &str, section: &str) -> bool {
    let parts = written.split([',', ';']).flat_map(|part| part.split(" and "));
    parts.chain([written]).any(|part| fold(part.trim()) == fold(section.trim()))
}

/// What stands between the cells: the most frequent of the three outside of quotes.
fn separator(line: &str) -> u8 {
    let outside: Vec<&str> = line.split('"').step_by(2).collect();
    let count = |separator: &u8| outside.concat().bytes().filter(|byte| byte == separator).count();
    // Of equally frequent ones the last, so the comma.
    *b"\t;,".iter().max_by_key(|separator| count(separator)).unwrap_or(&b',')
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn parse(text: &str) -> Result<Roster, Faults> {
        Roster::parse(text.as_bytes(), "r.csv", None)
    }

    /// A student a line: name, id, email, login, section.
    fn read(text: &str) -> Vec<String> {
        let entries = parse(text).unwrap_or_else(|faults| panic!("{text:?}: {faults}")).entries;
        entries
            .iter()
            .map(|it| [&it.name, &it.id, &it.email, &it.login, &it.section].map(String::as_str).join("|"))
            .collect()
    }

    fn faults(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_usual_programs_rosters_are_understood() {
        for (text, expected) in [
            (
                "username,password,firstname,lastname,email,idnumber,cohort1\nann1,,Ann,Berg,ann@x.org,0042,3B\n",
                "Ann Berg|0042|ann@x.org|ann1|3B",
            ),
            (
                "First name,Surname,ID number,Email address,Groups\r\nAnn,Berg,0042,ann@x.org,\"3B, 4A\"\r\n",
                "Ann Berg|0042|ann@x.org||3B, 4A",
            ),
            (
                "Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (77)\n,,,,,Manual Posting\n    Points Possible,,,,,10\n\
                 \"Berg, Ann\",9,0042,ann1,3B,\n\"Student, Test\",10,,,3B,\n",
                "Berg, Ann|0042||ann1|3B",
            ),
            ("id,first_name,last_name,email,lms_user_id\n0042,Ann,Berg,ann@x.org,7\n", "Ann Berg|0042|ann@x.org||"),
            ("id,first_name,last_name,email,lms_user_id\n0042,,,,\n", "0042|0042|||"),
            ("identifier,github_username,github_id,name\n0042,ann1,77,Ann Berg\n", "Ann Berg|0042||ann1|"),
            (
                "username,first_name,last_name,email,section,github_id\nann1,Ann,Berg,ann@x.org,3B,77\n",
                "Ann Berg||ann@x.org|ann1|3B",
            ),
            ("\n  Ann Berg  \n\n", "Ann Berg||||"),
            ("Berg, Ann\n", "Berg, Ann||||"),
            ("Vorname;Nachname;Klasse\nAnn;Berg;\"3;B\"\n", "Ann Berg||||3;B"),
            ("Name\tE-Mail\nAnn, Berg\tann@x.org\n", "Ann, Berg||ann@x.org||"),
            ("\u{feff}name\r\nÅsa Ødegård\r\n", "Åsa Ødegård||||"),
        ] {
            assert_eq!(read(text), [expected], "{text:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_named() {
        let text = "Student,ID,SIS Login ID,Lab 1\n    Points Possible,,,10\nAnn,7,ann,\n\"Student, Test\",8,x,\n";
        assert_eq!(
            parse(text).unwrap().notices,
            [
                "columns that are not used: \"Lab 1\"",
                "r.csv:2: left out, the row of possible points",
                "r.csv:4: left out, the test student of Canvas",
            ]
        );
    }

    #[test]
    fn every_faulty_row_is_named_with_its_cure() {
        let text = "name,id,email\nAnn,1,a@x\n,,\nBob,1,\nCem\n\"Da\nn\",4,\nEve,5,A@X\nFay,6,,x\n";
        let long = format!("{text}{},7,\n", "x".repeat(201));
        let found = faults(&long);
        let lines: Vec<String> = found.lines().map(|line| line.split_inclusive(' ').take(5).collect()).collect();
        assert_eq!(
            lines,
            [
                "r.csv:4: the school's id is ",
                "r.csv:5: this row has 1 ",
                "r.csv:6: the name has a ",
                "r.csv:8: the e-mail address is ",
                "r.csv:9: this row has 4 ",
                "r.csv:10: the name has 201 ",
            ],
            "{found}"
        );
        assert!(faults("name,colour\n,red\n").contains("r.csv:2: this row has neither a name nor"));
    }

    #[test]
    fn namesakes_need_something_to_tell_them_apart() {
        assert_eq!(read("name,id\nAnn,1\nann,2\n").len(), 2);
        for text in ["name,id\nAnn,1\nann,\n", "Ann Berg\nBob\nann berg\n"] {
            assert!(faults(text).contains("without an id in both rows, the name is that of line"), "{text}");
        }
    }

    #[test]
    fn other_encodings_are_refused_with_their_line_and_their_cure() {
        let parse = |bytes: &[u8]| Roster::parse(bytes, "r.csv", None).unwrap_err().to_string();
        let latin = parse(b"name\nAnn\n\xc5sa\n");
        assert!(latin.starts_with("r.csv:3: this line is not UTF-8; save it as") && latin.contains("iconv"), "{latin}");
        let utf16: Vec<u8> = "\u{feff}name".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(parse(&utf16).starts_with("r.csv:1: this is UTF-16"));
    }

    #[test]
    fn a_table_without_a_known_header_is_not_taken_for_names() {
        for text in ["Ann;Berg;3B\n", "Ann,Berg,3B\n", "", "\n\n", "name,id\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_section_is_chosen_or_given() {
        let section = |text: &str, section| Roster::parse(text.as_bytes(), "r.csv", Some(section));
        let text = "name,section\nAnn,3A\nBob,\"3A, 3B\"\nCem,3b and 4\nDan,\n";
        let names = |roster: Roster| roster.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        assert_eq!(names(section(text, "3B").unwrap()), ["Bob", "Cem"]);
        assert_eq!(section(text, "3A").unwrap().notices, ["students of other sections, who are left out: 2"]);
        assert!(section(text, "5").unwrap_err().to_string().contains("name one of \"\", \"3A\", \"3A, 3B\""));
        assert_eq!(section("Ann\nBob\n", "3B").unwrap().entries[1].section, "3B");
    }

    proptest::proptest! {
        #[test]
        fn any_roster_is_read_or_refused_and_its_students_fit_on_a_card(
            cells in vec(prop_oneof![
                4 => select(&["name", "id", "email", "Surname", "First name", "section", "Ann", "Bert", "", "@", "0042", "Berg, Ann", "\"", "\"\"", "é", "\u{7f}", "\u{feff}", "x\0"][..]).prop_map(str::to_owned),
                1 => "\\PC{0,220}",
            ], 0..40),
            separators in vec(select(&[",", ";", "\t", "\n", "\r\n", "\r"][..]), 40),
            bytes in vec(any::<u8>(), 0..100),
        ) {
            let text: String = cells.iter().zip(&separators).map(|(cell, separator)| format!("{cell}{separator}")).collect();
            for bytes in [text.as_bytes(), &bytes] {
                for section in [None, Some("3B")] {
                    let Ok(roster) = Roster::parse(bytes, "r.csv", section) else { continue };
                    prop_assert!(!roster.entries.is_empty());
                    for entry in roster.entries {
                        prop_assert!(!entry.name.is_empty() && entry.line > 0);
                        for cell in [entry.name, entry.id, entry.email, entry.login] {
                            prop_assert!(cell.chars().count() <= 2 * LONGEST_CELL + 1 && !cell.chars().any(char::is_control));
                        }
                    }
                }
            }
        }
    }
}
