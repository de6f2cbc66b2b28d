//! What each face may see of a row, an event and the rest: the one place where anything is left out.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::row::{Kind, Row, RowId, State, milliseconds};
use crate::ports::PortClass;
use crate::sessions::{Event, Mode, Side, What};

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Face {
    /// Everybody: names are aliases.
    Projector,
    /// A student: the own sessions.
    Student(Arc<str>),
    /// The teacher, or whoever runs the server: everything.
    Teacher,
}

/// What the teacher can switch while the page runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Switches {
    /// Whether the projector shows file names.
    pub files: bool,
    /// Whether the projector shows who has done which task.
    pub grid: bool,
    /// Whether the projector and the students see what would answer the tasks: ports and what follows from them.
    pub ports: bool,
}

/// Names of users for the wall and for the teacher.
pub(super) type Names = dyn Fn(&str) -> Option<Name> + Send + Sync;

/// What a user is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// On the projector.
    pub alias: String,
    /// For the teacher.
    pub full: String,
}

/// By which rules faces see.
pub(super) struct Rules {
    pub switches: Switches,
    pub names: Arc<Names>,
}

/// Verbs whose argument names no file and no user; what follows others goes with the file names.
const TECHNICAL: [&str; 15] = [
    "TYPE", "MODE", "STRU", "PORT", "EPRT", "PASV", "EPSV", "REST", "ALLO", "AUTH", "PROT", "PBSZ", "FEAT", "OPTS",
    "HELP",
];

/// Verbs whose argument is a user's name or somebody's answer to a task.
const PERSONAL: [&str; 4] = ["USER", "PASS", "ACCT", "SITE"];

/// A row as a face gets it. Browsers know the ports' classes themselves.
#[derive(Serialize)]
pub(super) struct Seen<'a> {
    id: String,
    pub session: u64,
    pub kind: Kind,
    place: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<String>,
    /// Whether somebody is logged in, who may have no name on this face.
    #[serde(skip_serializing_if = "is_false")]
    logged_in: bool,
    pub server: String,
    pub client: Option<String>,
    /// The class of the client's port.
    #[serde(skip)]
    pub class: Option<PortClass>,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_first: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    #[serde(skip_serializing_if = "is_false")]
    tls: bool,
    pub verb: &'a str,
    pub argument: &'a str,
    pub code: Option<u16>,
    pub bytes: Option<u64>,
    pub opened: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    steps: u32,
}

fn is_false(it: &bool) -> bool {
    !it
}

/// How a row is named towards the browser.
pub(super) fn id((session, kind): RowId) -> String {
    format!("{session}{}", if kind == Kind::Control { 'c' } else { 'd' })
}

impl Face {
    /// Whether this face gets the rows of this user.
    pub fn sees(&self, user: Option<&str>) -> bool {
        match self {
            Self::Projector | Self::Teacher => true,
            Self::Student(own) => user == Some(own),
        }
    }
}

impl Rules {
    /// A row as `face` sees it, in JSON; `None` where it does not.
    pub fn row(&self, face: &Face, row: &Row) -> Option<String> {
        // Strings and numbers always become JSON.
        self.seen(face, row).and_then(|seen| serde_json::to_string(&seen).ok())
    }

    /// A row as `face` sees it; `None` where it does not.
    pub fn seen<'a>(&self, face: &Face, row: &'a Row) -> Option<Seen<'a>> {
        if !face.sees(row.user.as_deref()) {
            return None;
        }
        let name = row.user.as_deref().and_then(|user| (self.names)(user));
        let hides_ports = self.hides_ports(face);
        Some(Seen {
            id: id(row.id()),
            session: row.session,
            kind: row.kind,
            place: row.place,
            full: name.as_ref().filter(|_| *face == Face::Teacher).map(|name| name.full.clone()),
            name: name.map(|name| name.alias),
            logged_in: row.user.is_some(),
            server: address(row.server, hides_ports && row.kind == Kind::Data),
            client: row.client.map(|client| address(client, hides_ports)),
            class: row.client.filter(|_| !hides_ports).map(|client| PortClass::of(client.port())),
            state: if hides_ports && row.state == State::TimeWait { State::Closed } else { row.state },
            closed_first: row.closed_first.filter(|_| !hides_ports),
            mode: row.mode.filter(|_| !hides_ports),
            tls: row.tls,
            verb: &row.verb,
            argument: if self.hides_argument(face, &row.verb) { "" } else { &row.argument },
            code: row.code,
            bytes: row.bytes,
            opened: row.opened,
            ended: row.ended,
            steps: row.steps,
        })
    }

    /// An event as `face` sees it in a ladder.
    pub fn step(&self, face: &Face, event: &Event) -> Value {
        let mut step = match serde_json::to_value(event) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let time = milliseconds(event.time);
        step.insert("at".to_owned(), json!(time));
        let verb = step.get("verb").and_then(Value::as_str).unwrap_or_default().to_owned();
        if self.hides_argument(face, &verb) {
            ["argument", "path"].iter().for_each(|key| drop(step.remove(*key)));
        }
        if let (What::Login { user, .. } | What::LoginDelayed { user, .. }, Face::Projector) = (&event.what, face) {
            let alias = (self.names)(user).map(|name| name.alias);
            step.insert("user".to_owned(), json!(alias.unwrap_or_default()));
        }
        Value::Object(step)
    }

    /// Whether `face` is kept from what would answer the tasks.
    pub fn hides_ports(&self, face: &Face) -> bool {
        *face != Face::Teacher && !self.switches.ports
    }

    fn hides_argument(&self, face: &Face, verb: &str) -> bool {
        let tells_ports = self.hides_ports(face) && matches!(verb, "PORT" | "EPRT");
        match face {
            Face::Teacher => false,
            Face::Student(_) => tells_ports,
            Face::Projector => {
                let files = self.switches.files || TECHNICAL.contains(&verb);
                tells_ports || !files || PERSONAL.contains(&verb)
            }
        }
    }
}

/// `192.0.2.7:51312`, or the address alone.
fn address(address: SocketAddr, without_port: bool) -> String {
    match (without_port, address) {
        (false, _) => address.to_string(),
        (true, SocketAddr::V4(address)) => format!("{}:", address.ip()),
        (true, SocketAddr::V6(address)) => format!("[{}]:", address.ip()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::sessions::{Ends, LoginOutcome};

    fn rules(switches: Switches) -> Rules {
        let names = |user: &str| (user == "ann7").then(|| Name { alias: "otter".into(), full: "Ann B".into() });
        Rules { switches, names: Arc::new(names) }
    }

    fn row(verb: &str, argument: &str) -> Row {
        Row {
            user: Some("ann7".into()),
            client: Some("192.0.2.7:51312".parse().unwrap()),
            verb: verb.into(),
            argument: argument.into(),
            state: State::TimeWait,
            closed_first: Some(Side::Server),
            mode: Some(Mode::Passive),
            ..Row::new(1, Kind::Data, 0, "192.0.2.1:61000".parse().unwrap(), 0)
        }
    }

    const OPEN: Switches = Switches { files: true, grid: false, ports: true };

    #[test]
    fn the_projector_knows_aliases_and_a_student_only_the_own_rows() {
        let (rules, row) = (rules(OPEN), row("RETR", "/a"));
        let projector = rules.row(&Face::Projector, &row).unwrap();
        assert!(projector.contains("\"name\":\"otter\"") && !projector.contains("ann7"), "{projector}");
        assert!(!projector.contains("Ann B"), "{projector}");
        assert!(rules.row(&Face::Teacher, &row).unwrap().contains("\"full\":\"Ann B\""));
        assert!(rules.row(&Face::Student("ann7".into()), &row).is_some());
        assert!(rules.row(&Face::Student("bob".into()), &row).is_none());
        assert!(rules.row(&Face::Student("bob".into()), &Row { user: None, ..row }).is_none());
    }

    #[test]
    fn file_names_names_and_answers_stay_off_the_wall() {
        let argument = |switches: Switches, face: &Face, verb: &str| {
            rules(switches).seen(face, &row(verb, "secret")).unwrap().argument == "secret"
        };
        let hidden = Switches { files: false, ..OPEN };
        for (verb, open, without_files) in
            [("RETR", true, false), ("SITE", false, false), ("USER", false, false), ("TYPE", true, true)]
        {
            assert_eq!(argument(OPEN, &Face::Projector, verb), open, "{verb}");
            assert_eq!(argument(hidden, &Face::Projector, verb), without_files, "{verb}");
            assert!(argument(hidden, &Face::Teacher, verb), "{verb}");
            assert!(argument(hidden, &Face::Student("ann7".into()), verb), "{verb}");
        }
    }

    #[test]
    fn an_exam_hides_what_would_answer_the_tasks() {
        let exam = rules(Switches { ports: false, ..OPEN });
        let student = Face::Student("ann7".into());
        for face in [&Face::Projector, &student] {
            let seen = exam.row(face, &row("PORT", "192,0,2,7,200,112")).unwrap();
            assert!(
                !["51312", "61000", "200,112", "TIME_WAIT", "closed_first", "passive"]
                    .iter()
                    .any(|it| seen.contains(it)),
                "{seen}"
            );
        }
        assert!(exam.row(&Face::Teacher, &row("PORT", "")).unwrap().contains("51312"));
    }

    #[test]
    fn a_login_on_the_wall_is_the_alias_or_nobody() {
        let ends = Ends { client: "192.0.2.7:51312".parse().unwrap(), server: "192.0.2.1:21".parse().unwrap() };
        let login = |user: &str| {
            let what = What::Login { user: user.to_owned(), outcome: LoginOutcome::Ok, attempts: 1 };
            let event = Event { time: SystemTime::UNIX_EPOCH + Duration::from_secs(1), session: 1, ends, what };
            rules(OPEN).step(&Face::Projector, &event)["user"].clone()
        };
        assert_eq!([login("ann7"), login("admin")], ["otter", ""]);
    }
}
