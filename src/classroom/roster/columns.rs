//! Which column of a roster means what, whoever's program wrote its header.

use csv::StringRecord;

/// What of a student a column can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    FirstName,
    LastName,
    Id,
    Email,
    Login,
    Section,
    LmsId,
}

/// Every field with what it is called and the headers that mean it, letters and digits in small letters only. Of two
/// columns of a roster that mean the same, the header that comes first here is taken: Canvas has its own number as `ID`
/// beside the school's, and GitHub Classroom's `identifier` is the school's.
const HEADERS: [(Field, &str, &[&str]); 8] = [
    (
        Field::Name,
        "the name",
        &["name", "fullname", "student", "studentname", "displayname", "students", "names", "nombrecompleto"],
    ),
    (
        Field::FirstName,
        "the first name",
        &["firstname", "givenname", "given", "forename", "vorname", "prenom", "prénom", "nombre", "nome", "voornaam"],
    ),
    (
        Field::LastName,
        "the last name",
        &[
            "lastname",
            "surname",
            "familyname",
            "family",
            "nachname",
            "nom",
            "nomdefamille",
            "apellidos",
            "apellido",
            "cognome",
            "achternaam",
        ],
    ),
    (
        Field::Id,
        "the school's id",
        &[
            "sisuserid",
            "idnumber",
            "useridnumber",
            "studentid",
            "studentnumber",
            "matriculationnumber",
            "matrikelnummer",
            "identifier",
            "id",
        ],
    ),
    (Field::Email, "the e-mail address", &["email", "emailaddress", "mail", "emailadresse", "correo"]),
    (
        Field::Login,
        "the school's login name",
        &["sisloginid", "username", "loginid", "login", "user", "benutzername", "githubusername"],
    ),
    (
        Field::Section,
        "the section",
        &[
            "section", "sections", "group", "groups", "group1", "class", "cohort1", "klasse", "gruppe", "classe",
            "clase",
        ],
    ),
    (Field::LmsId, "the learning platform's id", &["lmsuserid", "canvasuserid"]),
];

/// Where one of these is, `ID` is Canvas' own number.
const OF_CANVAS: [&str; 2] = ["sisuserid", "sisloginid"];

/// The columns that are used, by field, and the headers of those that are not.
#[derive(Debug)]
pub(super) struct Columns {
    places: [Option<usize>; HEADERS.len()],
    pub unused: Vec<String>,
    /// How many cells the header has.
    pub count: usize,
}

impl Columns {
    /// Those of a header; `None` where the line has no header in it that is known. `filled` says whether a column has
    /// anything in it: an empty one of Canvas does not hide another.
    pub fn of(header: &StringRecord, filled: impl Fn(usize) -> bool) -> Option<Self> {
        let written: Vec<String> = header.iter().map(plain).collect();
        let choose = |(_, _, known): &(Field, &str, &[&str])| {
            let found = || known.iter().filter_map(|known| written.iter().position(|written| written == known));
            found().find(|place| filled(*place)).or_else(|| found().next())
        };
        let mut places = HEADERS.each_ref().map(choose);
        if written.iter().any(|header| OF_CANVAS.contains(&&header[..])) {
            places[Field::LmsId as usize] = written.iter().position(|header| header == "id");
        }
        if places.iter().all(Option::is_none) {
            return None;
        }
        let is_unused = |(place, text): &(usize, &str)| !text.trim().is_empty() && !places.contains(&Some(*place));
        let unused = header.iter().enumerate().filter(is_unused).map(|(_, text)| text.trim().to_owned());
        Some(Self { places, unused: unused.collect(), count: header.len() })
    }

    /// A roster without a header, in which each line is a name.
    pub fn names_only() -> Self {
        Self {
            places: HEADERS.each_ref().map(|(field, ..)| (*field == Field::Name).then_some(0)),
            unused: Vec::new(),
            count: 1,
        }
    }

    /// Whether there is a column for it.
    pub fn has(&self, field: Field) -> bool {
        self.places[field as usize].is_some()
    }

    /// What a row says, without spaces around it; empty where there is no such column.
    pub fn cell<'a>(&self, field: Field, row: &'a StringRecord) -> &'a str {
        self.places[field as usize].and_then(|place| row.get(place)).unwrap_or_default().trim()
    }

    /// What each used column means, and what a row says there.
    pub fn cells<'a>(&self, row: &'a StringRecord) -> impl Iterator<Item = (&'static str, &'a str)> {
        HEADERS.iter().map(|(field, name, _)| (*name, self.cell(*field, row)))
    }
}

/// A header's letters and digits, in small letters.
fn plain(header: &str) -> String {
    header.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str) -> Option<Columns> {
        Columns::of(&header.split(',').collect(), |_| true)
    }

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (place, (field, ..)) in HEADERS.iter().enumerate() {
            assert_eq!(*field as usize, place);
        }
    }

    #[test]
    fn headers_mean_the_same_however_they_are_written_and_in_any_order() {
        let row = StringRecord::from(vec!["x", "Ann", "7", "Berg"]);
        for header in ["Colour,First name,ID number,Surname", "colour,FIRSTNAME,idnumber,last_name"] {
            let columns = columns(header).unwrap();
            assert_eq!(
                [Field::FirstName, Field::LastName, Field::Id].map(|it| columns.cell(it, &row)),
                ["Ann", "Berg", "7"]
            );
            assert_eq!(columns.unused.len(), 1);
            assert!(!columns.has(Field::Email));
        }
        assert!(columns("Ann Berg").is_none());
    }

    #[test]
    fn of_two_columns_the_schools_own_id_is_taken_unless_it_is_empty() {
        let header = "Student,ID,SIS User ID,SIS Login ID,Section".split(',').collect();
        let row = StringRecord::from(vec!["Ann", "100", "s7", "ann", "3B"]);
        let canvas = Columns::of(&header, |_| true).unwrap();
        assert_eq!([Field::Id, Field::LmsId].map(|it| canvas.cell(it, &row)), ["s7", "100"]);
        assert!(canvas.unused.is_empty());
        let without = Columns::of(&header, |place| place != 2).unwrap();
        assert_eq!(without.cell(Field::Id, &row), "100");
    }

    #[test]
    fn an_id_is_the_schools_own_outside_of_canvas() {
        for (header, expected) in [("id,first_name,lms_user_id", ["7", "77"]), ("id,name,colour", ["7", ""])] {
            let columns = columns(header).unwrap();
            let row = StringRecord::from(vec!["7", "Ann", "77"]);
            assert_eq!([Field::Id, Field::LmsId].map(|it| columns.cell(it, &row)), expected, "{header}");
        }
    }
}
