//! The names that people know from other FTP images, such as `FTP_USER` and `PASV_ADDRESS`.
//!
//! They hold where the variable `LONGSHORE_IMAGE` is set, as our image does, and nowhere else: a stray `FTP_USER` in
//! somebody's shell shall open no account. They come before the settings file, and `LONGSHORE__SECTION__KEY` before them;
//! where both say the same key, they must agree. An empty variable says nothing, as compose makes one of `${NAME:-}`.

use config::{Map, Value};

use super::{Faults, GivenUser, Settings, accident, keys};

mod users;

/// The variable by which the image says that it is one.
pub(crate) const MARK: &str = "LONGSHORE_IMAGE";

/// Names for settings.
const SETTINGS: &[(&str, &str)] = &[
    ("PASV_ADDRESS", "server.passive_address"),
    ("TLS_CERT", "tls.certificate"),
    ("TLS_KEY", "tls.key"),
    ("ANONYMOUS", "accounts.anonymous"),
];

/// All other names. `PUID` and `PGID` have been obeyed when settings are read, see `cli::identity`.
const OTHERS: &[&str] =
    &["PASV_MIN_PORT", "PASV_MAX_PORT", "FTP_USER", "FTP_PASS", "FTP_PASS_FILE", "USERS", "USERS_FILE", "PUID", "PGID"];

/// What the same things are called in other images.
const ELSEWHERE: &[(&str, &str)] = &[
    ("FTP_USER_NAME", "FTP_USER"),
    ("FTP_USER_PASS", "FTP_PASS"),
    ("FTP_PASSWORD", "FTP_PASS"),
    ("FTP_PASSWORD_HASH", "FTP_PASS, which takes hashes too"),
    ("FTP_PASSWORD_FILE", "FTP_PASS_FILE"),
    ("PUBLICHOST", "PASV_ADDRESS"),
    ("PUBLIC_IP", "PASV_ADDRESS"),
    ("PASSIVE_IP", "PASV_ADDRESS"),
    ("FTP_PASV_ADDRESS", "PASV_ADDRESS"),
    ("MIN_PORT", "PASV_MIN_PORT"),
    ("MAX_PORT", "PASV_MAX_PORT"),
    ("FTP_PASSIVE_PORTS", "PASV_MIN_PORT, together with PASV_MAX_PORT"),
    ("PASSIVE_PORT_RANGE", "PASV_MIN_PORT, together with PASV_MAX_PORT"),
    ("ANONYMOUS_ACCESS", "ANONYMOUS"),
];

/// The environment, as far as it is text.
pub(super) type Variables = Map<String, String>;

/// What the variables say: values by the full names of their keys, and accounts.
#[derive(Default)]
pub(super) struct Said {
    pub values: Map<String, Value>,
    pub users: Vec<GivenUser>,
}

/// Reads the variables, if they hold.
pub(super) fn read(variables: &Variables, faults: &mut Faults) -> Said {
    let mut said = Said::default();
    if !holds(variables) {
        return said;
    }
    let image = Image { variables };
    image.check_names(faults);
    for &(variable, key) in SETTINGS {
        if let Some(value) = image.value(variable, key, faults) {
            said.put(key, variable, value);
        }
    }
    if let Some(range) = image.passive_ports(faults) {
        said.put("server.passive_ports", "PASV_MIN_PORT and PASV_MAX_PORT", &range);
    }
    for (key, value) in &said.values {
        image.check_agreement(key, value, faults);
    }
    if let Some((variable, users)) = image.users(faults) {
        said.users = users;
        // Nobody who gives a password means that others need none.
        if !said.values.contains_key("accounts.anonymous") {
            said.put("accounts.anonymous", variable, "off");
        }
    }
    said
}

/// Whether the names hold here.
fn holds(variables: &Variables) -> bool {
    variables.get(MARK).is_some_and(|value| !value.is_empty())
}

/// What a setting is called in the image, where it has a name there.
pub(super) fn name_of(key: &str) -> Option<&'static str> {
    let accounts = ("FTP_USER and FTP_PASS_FILE", "accounts.file");
    SETTINGS.iter().chain([&accounts]).find(|(_, other)| *other == key).map(|(variable, _)| *variable)
}

impl Said {
    fn put(&mut self, key: &str, origin: &str, value: &str) {
        self.values.insert(key.to_owned(), Value::new(Some(&origin.to_owned()), value));
    }
}

/// The variables, where they hold.
struct Image<'a> {
    variables: &'a Variables,
}

impl<'a> Image<'a> {
    /// What is written, if it is more than nothing.
    fn written(&self, variable: &str) -> Option<&'a str> {
        self.variables.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The same, unless something has happened to it; faults are about `key`.
    fn value(&self, variable: &str, key: &str, faults: &mut Faults) -> Option<&'a str> {
        let value = self.written(variable)?;
        match accident::of(value, false) {
            None => Some(value),
            Some(text) => {
                faults.push_value(key, variable, text);
                None
            }
        }
    }

    fn passive_ports(&self, faults: &mut Faults) -> Option<String> {
        const KEY: &str = "server.passive_ports";
        let (min, max) = ("PASV_MIN_PORT", "PASV_MAX_PORT");
        match (self.value(min, KEY, faults), self.value(max, KEY, faults)) {
            (Some(first), Some(last)) => Some(format!("{first}-{last}")),
            (Some(_), None) if self.written(max).is_none() => {
                faults.push_value(
                    KEY,
                    min,
                    format!("it is the first port of a range without a last one; set {max} too"),
                );
                None
            }
            (None, Some(_)) if self.written(min).is_none() => {
                faults.push_value(
                    KEY,
                    max,
                    format!("it is the last port of a range without a first one; set {min} too"),
                );
                None
            }
            _ => None,
        }
    }

    /// Whether `LONGSHORE__SECTION__KEY` says the same, if it says anything that can be said.
    fn check_agreement(&self, key: &str, value: &Value, faults: &mut Faults) {
        let long = format!("LONGSHORE__{}", key.replace('.', "__")).to_uppercase();
        let (Some(key), Some(other)) = (keys::find(key), self.variables.get(&long)) else { return };
        let shown = |value: &Value| {
            let mut settings = Settings::default();
            key.set(&mut settings, value).ok().map(|()| key.show(&settings))
        };
        if let (Some(ours), Some(theirs)) = (shown(value), shown(&Value::new(None, other.as_str())))
            && ours != theirs
        {
            let origin = value.origin().unwrap_or_default();
            faults.push_value(key.name, origin, format!("says {ours}, and {long} says {theirs}; keep one of them"));
        }
    }

    /// Names of other images, and ours with a slip in them. What else begins like ours may be anybody's: Kubernetes sets
    /// `FTP_PORT` and the like where a service is called `ftp`.
    fn check_names(&self, faults: &mut Faults) {
        let known: Vec<&str> = SETTINGS.iter().map(|(variable, _)| *variable).chain(OTHERS.iter().copied()).collect();
        for (variable, _) in self.variables.iter().filter(|(variable, _)| !known.contains(&variable.as_str())) {
            if let Some((_, here)) = ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere == variable) {
                faults.push(variable, format!("that is its name in another image; here it is {here}"));
            } else if ["FTP_", "PASV_", "TLS_"].iter().any(|prefix| variable.starts_with(prefix))
                && let Some(near) = known.iter().find(|known| strsim::damerau_levenshtein(variable, known) <= 2)
            {
                faults.push(variable, format!("there is no such variable; did you mean {near}?"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the variables say, or everything that is wrong with them.
    pub(super) fn read_all(variables: &[(&str, &str)]) -> Result<Said, String> {
        let mark = [(MARK, "1")];
        let variables = mark.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut faults = Faults::default();
        let said = read(&variables.collect(), &mut faults);
        faults.or(said).map_err(|faults| faults.to_string())
    }

    #[test]
    fn names_stand_for_settings() {
        let said = read_all(&[
            ("PASV_ADDRESS", "203.0.113.7"),
            ("PASV_MIN_PORT", "21100"),
            ("PASV_MAX_PORT", "21110"),
            ("TLS_CERT", "/run/secrets/cert.pem"),
            ("TLS_KEY", "/run/secrets/key.pem"),
            ("ANONYMOUS", "add-only"),
            ("LONGSHORE__SERVER__PASSIVE_PORTS", "21100-21110"),
            ("FTP_PORT", "tcp://10.0.0.1:21"),
        ])
        .unwrap_or_else(|faults| panic!("{faults}"));
        let said: Vec<_> = said.values.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let expected = [
            "server.passive_address = 203.0.113.7",
            "tls.certificate = /run/secrets/cert.pem",
            "tls.key = /run/secrets/key.pem",
            "accounts.anonymous = add-only",
            "server.passive_ports = 21100-21110",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn outside_of_the_image_and_empty_they_say_nothing() {
        let stray = [("FTP_USER", "ann"), ("PASV_ADDRESS", "10.0.0.1"), ("FTP_PASSWORD", "x")];
        let mut faults = Faults::default();
        for mark in [None, Some((MARK, ""))] {
            let variables = stray.iter().chain(&mark).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let said = read(&variables.collect(), &mut faults);
            assert_eq!(faults.to_string(), "");
            assert!(said.values.is_empty() && said.users.is_empty());
        }
        let empty = ["PASV_ADDRESS", "PASV_MIN_PORT", "TLS_CERT", "ANONYMOUS", "FTP_USER", "FTP_PASS", "USERS"];
        let said = read_all(&empty.map(|name| (name, ""))).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(said.values.is_empty() && said.users.is_empty());
    }

    #[test]
    fn accidents_contradictions_and_other_images_names_are_faults() {
        for (variables, expected) in [
            (
                &[("PASV_ADDRESS", "'203.0.113.7'")][..],
                "PASV_ADDRESS: a quote has become part of it; write it without: env files and lists in compose (- NAME=value) keep quotes as they are",
            ),
            (
                &[("PASV_MIN_PORT", "21100")],
                "PASV_MIN_PORT: it is the first port of a range without a last one; set PASV_MAX_PORT too",
            ),
            (
                &[("PASV_MAX_PORT", "21100"), ("PASV_MIN_PORT", "")],
                "PASV_MAX_PORT: it is the last port of a range without a first one; set PASV_MIN_PORT too",
            ),
            (
                &[("PASV_ADDRESS", "10.0.0.1"), ("LONGSHORE__SERVER__PASSIVE_ADDRESS", "10.0.0.2")],
                "PASV_ADDRESS: says \"10.0.0.1\", and LONGSHORE__SERVER__PASSIVE_ADDRESS says \"10.0.0.2\"; keep one of them",
            ),
            (&[("PUBLICHOST", "x")], "PUBLICHOST: that is its name in another image; here it is PASV_ADDRESS"),
            (&[("PASV_ADRESS", "x")], "PASV_ADRESS: there is no such variable; did you mean PASV_ADDRESS?"),
        ] {
            assert_eq!(read_all(variables).err().as_deref(), Some(expected));
        }
    }
}
