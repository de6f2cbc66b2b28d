//! Accounts from variables: `FTP_USER` with `FTP_PASS`, or several in `USERS`.

use std::fs::File;
use std::io::Read;

use rustix::process::{getegid, geteuid};

use super::Image;
use crate::settings::{Faults, GIVEN_USERS, GivenUser, Secret, accident};

/// The most bytes of a file with a password or with users.
const FILE_LIMIT: u64 = 1 << 20;

const ONE: (&str, &str, &str) = ("FTP_USER", "FTP_PASS", "FTP_PASS_FILE");
const SEVERAL: (&str, &str) = ("USERS", "USERS_FILE");

impl Image<'_> {
    /// The accounts, and the variable that gives them; `None` where none does.
    pub(super) fn users(&self, faults: &mut Faults) -> Option<(&'static str, Vec<GivenUser>)> {
        let (user, ..) = ONE;
        let one = self.written(user).map(|_| user);
        let several = [SEVERAL.0, SEVERAL.1].into_iter().filter(|variable| self.written(variable).is_some());
        let given: Vec<&str> = one.into_iter().chain(several).collect();
        self.check_strays(faults);
        let mut wrong = |variable: &str, text: String| faults.push_value(GIVEN_USERS, variable, text);
        match given[..] {
            [] => None,
            [variable] if variable == user => Some((user, self.one(faults).into_iter().collect())),
            [variable] if variable == SEVERAL.0 => {
                let text = self.written(variable).unwrap_or_default();
                let accident = accident::of(text.trim(), true);
                accident.into_iter().for_each(|text| wrong(variable, text));
                Some((SEVERAL.0, several_of(variable, text, faults)))
            }
            [variable] => {
                let text = self.read_file(variable, faults).unwrap_or_default();
                Some((SEVERAL.1, several_of(variable, &text, faults)))
            }
            [first, second, ..] => {
                wrong(second, format!("there is {first} too; put all users into one of them"));
                Some((SEVERAL.0, Vec::new()))
            }
        }
    }

    /// A password without a user.
    fn check_strays(&self, faults: &mut Faults) {
        let (user, pass, file) = ONE;
        if self.written(user).is_none() {
            for variable in [pass, file].into_iter().filter(|variable| self.written(variable).is_some()) {
                let text = format!("it is a password without a user; set {user} too");
                faults.push_value(GIVEN_USERS, variable, text);
            }
        }
    }

    fn one(&self, faults: &mut Faults) -> Option<GivenUser> {
        let (user, pass, file) = ONE;
        let name = self.value(user, GIVEN_USERS, faults)?.to_owned();
        let (variable, password) = match (self.written(pass), self.written(file)) {
            (None, Some(_)) => (file, Ok(self.read_file(file, faults)?)),
            (Some(_), Some(_)) => (pass, Err(format!("there is {file} too; keep one of them"))),
            (Some(password), None) => {
                let happened = accident::of(password, true).or_else(|| looks_wrong(password));
                (pass, happened.map_or_else(|| Ok(password.to_owned()), Err))
            }
            (None, None) => {
                let missing = "it has no password, and there is no default one";
                let empty =
                    format!(" ({pass} is there, but empty: shells and compose take a $ for a variable; {DOLLAR})");
                let empty = self.variables.get(pass).map_or(String::new(), |_| empty);
                (user, Err(format!("{missing}; set {file} to a file with it, or {pass}{empty}")))
            }
        };
        match password {
            Ok(password) => {
                let (origin, password) = (format!("{user} and {variable}"), Secret::new(password));
                Some(GivenUser { origin, name, password, home: None })
            }
            Err(text) => {
                faults.push_value(GIVEN_USERS, variable, text);
                None
            }
        }
    }

    /// The text of the file that a variable names, without its last line end.
    fn read_file(&self, variable: &str, faults: &mut Faults) -> Option<String> {
        let path = self.value(variable, GIVEN_USERS, faults)?;
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text));
        let why = match read {
            Err(error) => {
                let user = geteuid().as_raw();
                format!("{path} cannot be read: {error}; mount a text file there that user {user} may read")
            }
            Ok(length) if length as u64 > FILE_LIMIT => format!("{path} is larger than 1 MiB; name another file"),
            Ok(_) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if !text.trim().is_empty() {
                    return Some(text.to_owned());
                }
                format!("{path} is empty; write what it is for into it")
            }
        };
        faults.push_value(GIVEN_USERS, variable, why);
        None
    }
}

/// What to do about a `$` that is gone.
const DOLLAR: &str =
    "in compose write $$ for each, in a shell put single quotes around all, or use the variable with _FILE";

/// What has happened to a password that could be one, but hardly is.
fn looks_wrong(password: &str) -> Option<String> {
    let bcrypt = ["a", "b", "y"].iter().any(|kind| {
        let rest = password.strip_prefix(kind).and_then(|rest| rest.strip_prefix('2'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
    });
    let argon2 = !password.starts_with('$') && password.contains(",t=") && password.contains(",p=");
    if bcrypt || argon2 {
        return Some(format!("it looks like what is left of a hash when its $ are taken for variables; {DOLLAR}"));
    }
    let path = password.starts_with("/run/secrets/");
    path.then(|| "it is the path of a secret; set FTP_PASS_FILE to it, and not FTP_PASS".to_owned())
}

/// Users with white space between them.
fn several_of(variable: &str, text: &str, faults: &mut Faults) -> Vec<GivenUser> {
    let entries = text.split_whitespace().zip(1..);
    let read = entries.filter_map(|(entry, number)| {
        let origin = format!("{variable}, user {number}");
        // What a shell or compose does to a value, nobody does to a file.
        let in_file = variable == SEVERAL.1;
        let user = user_of(&origin, entry).and_then(|user| match looks_wrong(user.password.reveal()) {
            Some(text) if !in_file => Err(text),
            _ => Ok(user),
        });
        user.map_err(|text| faults.push_value(GIVEN_USERS, origin, text)).ok()
    });
    read.collect()
}

/// `name|password|[home]|[uid]|[gid]`. Nothing but names and homes is shown of it.
fn user_of(origin: &str, entry: &str) -> Result<GivenUser, String> {
    let fields: Vec<&str> = entry.split('|').collect();
    let field = |index: usize| fields.get(index).copied().filter(|field| !field.is_empty());
    let (Some(name), Some(password)) = (field(0), field(1)) else {
        return Err(
            "it has no name or no password; write name|password or name|password|home for each, and spaces between \
                    them (none inside)"
                .to_owned(),
        );
    };
    if fields.len() > 5 {
        return Err("it has more than five fields; a password cannot have a | or a space here".to_owned());
    }
    for (what, index, own) in [("uid", 3, geteuid().as_raw()), ("gid", 4, getegid().as_raw())] {
        if field(index).is_some_and(|id| id.parse() != Ok(own)) {
            return Err(format!(
                "its {what} is not {own}, to whom all files belong that are uploaded here; leave it out, and start the \
                 container with --user to serve as somebody else"
            ));
        }
    }
    // Each has a home to itself, as where this form comes from.
    let home = Some(field(2).unwrap_or(name).to_owned());
    let (origin, name, password) = (origin.to_owned(), name.to_owned(), Secret::new(password.to_owned()));
    Ok(GivenUser { origin, name, password, home })
}

#[cfg(test)]
mod tests {
    use super::super::tests::read_all;
    use super::*;

    fn users(variables: &[(&str, &str)]) -> Vec<(String, String, Option<String>)> {
        let said = read_all(variables).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(said.values["accounts.anonymous"].to_string(), "off");
        let of = |user: GivenUser| (user.name, user.password.reveal().to_owned(), user.home);
        said.users.into_iter().map(of).collect()
    }

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn one_user_has_the_root_and_several_have_homes_of_their_own() {
        let ann = |password: &str| vec![("ann".to_owned(), password.to_owned(), None)];
        assert_eq!(users(&[("FTP_USER", "ann"), ("FTP_PASS", "pa ss")]), ann("pa ss"));
        for text in ["'a' ${b}", "'a' ${b}\n", "'a' ${b}\r\n"] {
            let file = written(text);
            let path = file.path().to_str().unwrap();
            assert_eq!(users(&[("FTP_USER", "ann"), ("FTP_PASS_FILE", path)]), ann("'a' ${b}"), "as it is");
        }
        let own = geteuid().as_raw();
        let several = format!("ann|secret bob|$2b$04$x|class/bob\neve|x||{own}|");
        let homes: Vec<_> = users(&[("USERS", &several)]).into_iter().map(|(name, _, home)| (name, home)).collect();
        let expected = [("ann", "ann"), ("bob", "class/bob"), ("eve", "eve")];
        assert_eq!(homes, expected.map(|(name, home)| (name.to_owned(), Some(home.to_owned()))));
        let file = written(&several);
        assert_eq!(users(&[("USERS_FILE", file.path().to_str().unwrap())]).len(), 3);
    }

    #[test]
    fn guests_stay_where_they_are_let_in_beside_users() {
        let said = read_all(&[("FTP_USER", "ann"), ("FTP_PASS", "x"), ("ANONYMOUS", "read-only")]);
        assert_eq!(said.ok().unwrap().values["accounts.anonymous"].to_string(), "read-only");
    }

    #[test]
    fn what_is_missing_contradictory_or_eaten_is_a_fault() {
        let user = ("FTP_USER", "ann");
        let dollar =
            "in compose write $$ for each, in a shell put single quotes around all, or use the variable with _FILE";
        let hash =
            format!("FTP_PASS: it looks like what is left of a hash when its $ are taken for variables; {dollar}");
        let none = "FTP_USER: it has no password, and there is no default one; set FTP_PASS_FILE to a file with it, or FTP_PASS";
        let empty = written("\n");
        let (empty, missing) = (empty.path().to_str().unwrap(), "/no/such");
        for (variables, expected) in [
            (&[user][..], none.to_owned()),
            (
                &[user, ("FTP_PASS", "")],
                format!("{none} (FTP_PASS is there, but empty: shells and compose take a $ for a variable; {dollar})"),
            ),
            (&[("FTP_PASS", "x")], "FTP_PASS: it is a password without a user; set FTP_USER too".to_owned()),
            (
                &[user, ("FTP_PASS", "x"), ("FTP_PASS_FILE", "/x")],
                "FTP_PASS: there is FTP_PASS_FILE too; keep one of them".to_owned(),
            ),
            (
                &[user, ("FTP_PASS", "x"), ("USERS", "ann|x")],
                "USERS: there is FTP_USER too; put all users into one of them".to_owned(),
            ),
            (
                &[("USERS", "ann|x"), ("USERS_FILE", "/x")],
                "USERS_FILE: there is USERS too; put all users into one of them".to_owned(),
            ),
            (&[user, ("FTP_PASS", "b2./x")], hash.clone()),
            (&[user, ("FTP_PASS", "=19=19456,t=2,p=1")], hash),
            (
                &[user, ("FTP_PASS", "/run/secrets/pass")],
                "FTP_PASS: it is the path of a secret; set FTP_PASS_FILE to it, and not FTP_PASS".to_owned(),
            ),
            (
                &[user, ("FTP_PASS", "'secret'")],
                "FTP_PASS: a quote has become part of it; write it without: env files and lists in compose (- NAME=value) \
                 keep quotes as they are, or use the variable with _FILE, since a file is taken as it is"
                    .to_owned(),
            ),
            (
                &[user, ("FTP_PASS_FILE", missing)],
                format!(
                    "FTP_PASS_FILE: {missing} cannot be read: No such file or directory (os error 2); mount a text file \
                     there that user {} may read",
                    geteuid().as_raw()
                ),
            ),
            (
                &[user, ("FTP_PASS_FILE", empty)],
                format!("FTP_PASS_FILE: {empty} is empty; write what it is for into it"),
            ),
            (
                &[("USERS", "ann|secret bob ida|x|y|z|0|1 eve|x||1234567 ivy|b2.x")],
                format!(
                    "USERS, user 2: it has no name or no password; write name|password or name|password|home for each, and \
                     spaces between them (none inside)\n\
                     USERS, user 3: it has more than five fields; a password cannot have a | or a space here\n\
                     USERS, user 4: its uid is not {}, to whom all files belong that are uploaded here; leave it out, and \
                     start the container with --user to serve as somebody else\n\
                     USERS, user 5: it looks like what is left of a hash",
                    geteuid().as_raw()
                ),
            ),
        ] {
            let faults = read_all(variables).err().unwrap();
            assert!(faults.starts_with(&expected), "{faults}\n{expected}");
            assert!(!faults.contains("secret'") && !faults.contains("|secret"), "{faults}");
        }
    }
}
