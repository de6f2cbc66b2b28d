//! The keys of the accounts file: one table.

use chrono::NaiveDate;
use config::{Value, ValueKind};

use super::{Draft, Root};
use crate::accounts::{PasswordHash, is_anonymous};
use crate::settings::address;
use crate::settings::value::{self, Bad, Parsed};
use crate::storage::PathPattern;
use crate::storage::rights::{Action, Rights, Words};
use crate::tls::Subject;

const RATE: &str = r#"bytes a second, such as 500000 or "500 KB", or 0 for no limit"#;

pub(super) const CONTROL_CHARACTERS: &str = "it has control characters";

/// What can be written about a user or a group.
pub struct Key {
    /// As the file has it; a flag of the command line has `-` for `_`.
    pub name: &'static str,
    /// Whether it can be said of a group, too.
    pub(super) of_groups: bool,
    /// How it is typed as a flag of `longshore user` and `longshore group`.
    pub form: Form,
    /// What the flag means.
    pub help: &'static str,
    pub(super) allowed: &'static str,
    pub(super) set: fn(&mut Draft, &Value, &Root) -> Parsed<()>,
}

/// How a key's value is typed on the command line. An empty one takes the key out.
pub enum Form {
    /// Not as a flag.
    Hidden,
    /// As it is, and what stands for it in the help.
    Text(&'static str),
    /// A whole number.
    Number,
    /// With commas in between, and what stands for it in the help.
    List(&'static str),
    /// As words or by path.
    Permissions,
    /// Nothing for true, or `=false`.
    Switch,
}

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "name",
        of_groups: true,
        form: Form::Hidden,
        help: "The name",
        allowed: "a login name of at most 64 characters, none of them a control character, other than anonymous and ftp",
        set: |draft, value, _| {
            let name = value::text(value)?;
            // Only a group has no password, and may have this name.
            if name != GUESTS || !draft.of_group {
                check_name(name).map_err(|why| Bad::because(value, why))?;
            }
            draft.name = Some(name.to_owned());
            Ok(())
        },
    },
    Key {
        name: "password",
        of_groups: false,
        form: Form::Hidden,
        help: "The hash of the password",
        allowed: "a hash that begins with $argon2id$ (as `longshore user passwd` makes it), $2b$, $6$ or $y$",
        set: |draft, value, _| {
            let hash = value::text(value).map(PasswordHash::parse).map_err(hide)?;
            draft.password = Some(hash.map_err(|why| hide(Bad::because(value, why)))?);
            Ok(())
        },
    },
    Key {
        name: "home",
        of_groups: true,
        form: Form::Text("DIR"),
        help: "The directory, relative to the root or absolute below it [default: the root]",
        allowed: "a directory relative to the root, or an absolute one below it",
        set: |draft, value, root| {
            let home = root.home(&value::path(value)?);
            draft.says.home = home.map_err(|why| Bad::because(value, why))?;
            Ok(())
        },
    },
    Key {
        name: "permissions",
        of_groups: true,
        form: Form::Permissions,
        help: "What may be done: read-only, read-write, add-only, hand-in, none, or words such as list,read,create; for a path /incoming=add-only, and then several times",
        allowed: r#""read-only", "read-write", "add-only", "hand-in", "none", a list of list, read, create, append, overwrite, delete, rename, mkdir, rmdir and attributes, or a table of these by path, such as { "/" = "read-only", "/incoming" = "add-only" }"#,
        set: |draft, value, _| permissions(value).map(|it| draft.says.rights = it),
    },
    Key {
        name: "enabled",
        of_groups: true,
        form: Form::Switch,
        help: "Let in, or keep out with =false",
        allowed: "true or false",
        set: |draft, value, _| value::switch(value).map(|it| draft.says.terms.enabled = it),
    },
    Key {
        name: "expires",
        of_groups: true,
        form: Form::Text("YYYY-MM-DD"),
        help: "The last day, in UTC",
        allowed: "the last day (in UTC) as \"2026-12-31\"",
        set: |draft, value, _| date(value).map(|it| draft.says.terms.expires = Some(it)),
    },
    Key {
        name: "allow_from",
        of_groups: true,
        form: Form::List("NETWORKS"),
        help: "The networks to let in from, such as 192.0.2.0/24; several with commas",
        allowed: r#"a list of networks, such as ["192.0.2.0/24", "2001:db8::/32"]"#,
        set: |draft, value, _| match address::networks(value)? {
            networks if networks.is_empty() => Err(Bad::because(value, "the list is empty")),
            networks => {
                draft.says.terms.allow_from = Some(networks);
                Ok(())
            }
        },
    },
    Key {
        name: "create_home",
        of_groups: true,
        form: Form::Switch,
        help: "Make the home at the first login when it is missing",
        allowed: "true or false",
        set: |draft, value, _| value::switch(value).map(|it| draft.says.create_home = it),
    },
    Key {
        name: "max_sessions",
        of_groups: true,
        form: Form::Number,
        help: "How many sessions at once, whatever limits.max_sessions_per_user says; 0 for any number",
        allowed: "a whole number from 1 to 1000000, or 0 for no limit",
        set: |draft, value, _| value::number(value, 0..=1_000_000).map(|it| draft.says.max_sessions = Some(it)),
    },
    Key {
        name: "quota_bytes",
        of_groups: true,
        form: Form::Text("BYTES"),
        help: "The bytes that there may be below the home, such as 50MB; 0 for any number",
        allowed: r#"a number of bytes, such as 50000000 or "50 MB", or 0 for no limit"#,
        set: |draft, value, _| value::bytes(value).map(|it| draft.says.quota.bytes = it),
    },
    Key {
        name: "quota_files",
        of_groups: true,
        form: Form::Number,
        help: "The files and directories that there may be below the home; 0 for any number",
        allowed: "a whole number from 1 to 1000000000, or 0 for no limit",
        set: |draft, value, _| value::number(value, 0..=1_000_000_000).map(|it| draft.says.quota.files = it.into()),
    },
    Key {
        name: "download_rate",
        of_groups: true,
        form: Form::Text("BYTES"),
        help: "Bytes a second of all the user's downloads together, such as 500KB; 0 for any number",
        allowed: RATE,
        set: |draft, value, _| value::rate(value).map(|it| draft.says.rates.download = it),
    },
    Key {
        name: "upload_rate",
        of_groups: true,
        form: Form::Text("BYTES"),
        help: "Bytes a second of all the user's uploads together, such as 500KB; 0 for any number",
        allowed: RATE,
        set: |draft, value, _| value::rate(value).map(|it| draft.says.rates.upload = it),
    },
    Key {
        name: "client_certificate",
        of_groups: false,
        form: Form::Text("SUBJECT"),
        help: "The subject of the client's certificate, such as CN=alice, without which nobody is let in",
        allowed: "the subject of a certificate as RFC 4514 writes it, such as \"CN=alice,O=Example\", and set tls.client_certificates to \"request\" or \"require\"",
        set: |draft, value, root| {
            if !root.certificates {
                let why = "tls.client_certificates is \"off\", so nobody could show it and log in";
                return Err(Bad::because(value, why));
            }
            let subject = value::text(value)?.parse::<Subject>().map_err(|why| Bad::because(value, why))?;
            draft.says.terms.client_certificate = Some(subject);
            Ok(())
        },
    },
    Key {
        name: GROUP,
        of_groups: false,
        form: Form::Text("NAME"),
        help: "A group, whose keys hold where the user has none",
        allowed: "the name of a [[group]] in this file",
        // What a group says is done before any other key.
        set: |_, _, _| Ok(()),
    },
];

/// The key that names a user's group, and the table of a group.
pub(super) const GROUP: &str = "group";

/// The group that guests are in.
pub const GUESTS: &str = "anonymous";

/// The keys that can be typed about a user, or about a group.
pub fn typed_keys(of_groups: bool) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| (key.of_groups || !of_groups) && !matches!(key.form, Form::Hidden))
}

fn date(value: &Value) -> Parsed<NaiveDate> {
    let written = value::text(value)?;
    match NaiveDate::parse_from_str(written, "%Y-%m-%d") {
        Ok(date) if written.len() == 10 => Ok(date),
        _ => Err(Bad::because(value, "it is not a day")),
    }
}

/// What a user may do: everywhere, or by path.
fn permissions(value: &Value) -> Parsed<Rights> {
    let ValueKind::Table(rules) = &value.kind else {
        return words(value).map(Rights::everywhere);
    };
    let (mut by_path, mut bad) = (Vec::new(), Vec::new());
    for (pattern, allowed) in rules {
        let written = Value::new(allowed.origin().map(str::to_owned).as_ref(), pattern.as_str());
        let pattern = PathPattern::new(pattern).map_err(|why| Bad::because(&written, why));
        match (pattern, words(allowed)) {
            (Ok(pattern), Ok(words)) => by_path.push((pattern, words)),
            (pattern, words) => bad.extend(pattern.err().into_iter().chain(words.err()).flatten()),
        }
    }
    match (bad.is_empty(), by_path.is_empty()) {
        (true, true) => Err(Bad::because(value, "the table is empty")),
        (true, false) => Ok(Rights::by_path(by_path)),
        (false, _) => Err(bad),
    }
}

/// A preset's name, or a list of words.
fn words(value: &Value) -> Parsed<Words> {
    match &value.kind {
        ValueKind::Array(items) if items.is_empty() => Err(Bad::because(value, "the list is empty")),
        ValueKind::Array(items) => {
            let (mut actions, mut bad) = (Vec::new(), Vec::new());
            for item in items {
                match value::choice(item, &Action::ALL) {
                    Ok(action) => actions.push(action),
                    Err(more) => bad.extend(more),
                }
            }
            if bad.is_empty() { Ok(Words::of(actions)) } else { Err(bad) }
        }
        _ => value::choice(value, &Words::PRESETS),
    }
}

/// A password in the clear may stand where a hash belongs: it must not get into messages and logs.
fn hide(mut bad: Vec<Bad>) -> Vec<Bad> {
    for bad in &mut bad {
        bad.found = "(not shown)".to_owned();
    }
    bad
}

/// Why `name` cannot be a login name, if so.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("it is empty")
    } else if name.chars().count() > 64 {
        Err("it has more than 64 characters")
    } else if name.chars().any(char::is_control) {
        Err(CONTROL_CHARACTERS)
    } else if name.trim() != name {
        Err("it begins or ends with a space")
    } else if is_anonymous(name) {
        Err("anonymous and ftp are the guests' names")
    } else {
        Ok(())
    }
}
