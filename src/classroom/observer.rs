//! From the server's events to what lessons need of them: whose it is, and which path is meant.

use std::collections::HashMap;

use super::Observation;
use super::lesson::Type;
use crate::sessions::{Ends, Event, LoginOutcome, What};
use crate::storage::{ListRequest, VirtualPath};

/// Verbs that only tell a program from somebody who types; one of them a session is enough.
const CHATTER: [&str; 5] = ["SYST", "FEAT", "OPTS", "CLNT", "TYPE"];

/// Verbs of which nothing can be learnt, or that another event is about. Programs send some of them for every file.
const LEFT_OUT: [&str; 26] = [
    "", "ACCT", "ALLO", "AUTH", "CCC", "EPRT", "EPSV", "HASH", "HOST", "MDTM", "MFMT", "MLST", "NOOP", "PASV", "PBSZ",
    "PORT", "PROT", "QUIT", "REIN", "RNFR", "SITE", "SIZE", "STRU", "USER", "XMD5", "XSHA256",
];

/// Something that was seen of a student.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighted {
    pub user: String,
    pub session: u64,
    pub what: Observation,
}

/// What is known of the sessions that there are. It ends with them.
#[derive(Debug, Default)]
pub(super) struct Observer {
    sessions: HashMap<u64, Watched>,
}

/// A session.
#[derive(Debug)]
struct Watched {
    ends: Ends,
    tls: bool,
    /// The student who is logged in.
    user: Option<String>,
    /// Who was refused just now.
    refused: Option<String>,
    /// The working directory; none where some of the events were missed.
    directory: Option<VirtualPath>,
    rename_from: Option<String>,
    /// The chatter before the login, and whether it is on record.
    chatter: Vec<&'static str>,
    chatter_is_told: bool,
}

impl Watched {
    fn new(ends: Ends) -> Self {
        Self {
            ends,
            tls: false,
            user: None,
            refused: None,
            directory: Some(VirtualPath::root()),
            rename_from: None,
            chatter: Vec::new(),
            chatter_is_told: false,
        }
    }

    /// The path that an argument means, as far as it is known.
    fn path(&self, argument: &str) -> String {
        let root = VirtualPath::root();
        let directory = self.directory.as_ref().or(argument.starts_with('/').then_some(&root));
        let path = directory.and_then(|directory| directory.resolve(argument.as_bytes()).ok());
        path.map_or_else(|| argument.to_owned(), |path| path.to_string())
    }

    /// Windows' `ftp.exe` asks for UTF-8 before the login and for nothing else.
    fn is_ftp_exe(&self) -> bool {
        self.chatter == ["OPTS"] && !self.tls
    }
}

impl Observer {
    /// Some events were missed: sessions that are no longer there are forgotten, and of the others only the user is
    /// known.
    pub fn resume(&mut self, sessions: impl Iterator<Item = (u64, Ends, Option<String>)>) {
        let mut known = std::mem::take(&mut self.sessions);
        for (number, ends, user) in sessions {
            let mut session = known.remove(&number).unwrap_or_else(|| Watched::new(ends));
            (session.user, session.directory, session.rename_from) = (user, None, None);
            self.sessions.insert(number, session);
        }
    }

    /// What an event shows of students; `is_student` says who is one, and `word` what is in a session's FEAT.
    pub fn observe(
        &mut self,
        event: &Event,
        is_student: impl Fn(&str) -> bool,
        word: impl Fn(u64) -> String,
    ) -> Vec<Sighted> {
        let number = event.session;
        let mut sighted = Vec::new();
        let mut tell = |user: &Option<String>, what: Observation| {
            if let Some(user) = user.clone() {
                sighted.push(Sighted { user, session: number, what });
            }
        };
        if let What::SessionOpened { .. } = event.what {
            self.sessions.insert(number, Watched::new(event.ends));
        }
        if let What::SessionClosed { .. } = event.what {
            let user = self.sessions.remove(&number).and_then(|session| session.user);
            tell(&user, Observation::Left);
            return sighted;
        }
        let Some(session) = self.sessions.get_mut(&number) else { return sighted };
        match &event.what {
            What::TlsOpened { .. } => session.tls |= event.ends == session.ends,
            What::Login { user, outcome: LoginOutcome::Ok, .. } => {
                tell(&session.user, Observation::Left);
                session.user = Some(user.clone()).filter(|user| is_student(user));
                session.directory = Some(VirtualPath::root());
                let (Ends { client, server }, tls, program) = (session.ends, session.tls, !session.chatter.is_empty());
                let (ftp_exe, word) = (session.is_ftp_exe(), word(number));
                session.chatter_is_told = program;
                tell(&session.user, Observation::Login { client, server, tls, program, ftp_exe, word });
            }
            What::Login { user, outcome: LoginOutcome::WrongPassword, .. } => {
                session.refused = Some(user.clone()).filter(|user| is_student(user));
            }
            What::Command { verb: "PASS", code, .. } => {
                tell(&session.refused.take(), Observation::Refused { code: *code });
            }
            // Whatever USER is answered, it has logged out; behind a 232 it has logged in since.
            What::Command { verb: "USER", code, .. } if *code != 232 => {
                tell(&session.user.take(), Observation::Left);
            }
            What::Command { verb: "REIN", .. } => tell(&session.user.take(), Observation::Left),
            What::Command { verb, argument, code, .. } => {
                if let Some(command) = session.command(verb, argument, *code) {
                    tell(&session.user, command);
                }
            }
            What::DataOffered { verb, port, numbers, .. } => {
                let (verb, numbers) = ((*verb).to_owned(), numbers.clone());
                tell(&session.user, Observation::Offered { verb, port: *port, numbers });
            }
            What::DataOpened { mode, verb, path, .. } => {
                let Ends { client, server } = event.ends;
                let (verb, path) = ((*verb).to_owned(), path.clone());
                tell(&session.user, Observation::DataOpened { mode: *mode, client, server, verb, path });
            }
            What::DataFailed { mode, reason, .. } => {
                tell(&session.user, Observation::DataFailed { mode: *mode, reason: reason.clone() });
            }
            What::Transfer { verb, path, r#type, bytes, sha256, outcome, closed_first, .. } => {
                let transfer = Observation::Transfer {
                    verb: (*verb).to_owned(),
                    path: path.clone(),
                    r#type: if *r#type == 'A' { Type::Ascii } else { Type::Binary },
                    bytes: *bytes,
                    sha256: sha256.clone(),
                    outcome: *outcome,
                    closed_first: *closed_first,
                };
                tell(&session.user, transfer);
            }
            What::SessionOpened { .. }
            | What::SessionClosed { .. }
            | What::TlsFailed { .. }
            | What::Refused { .. }
            | What::LoginDelayed { .. }
            | What::Login { .. } => {}
        }
        sighted
    }
}

impl Watched {
    /// A command, if something can be learnt from it.
    fn command(&mut self, verb: &'static str, argument: &str, code: u16) -> Option<Observation> {
        let succeeded = (200..300).contains(&code);
        if CHATTER.contains(&verb) {
            if self.user.is_none() && !self.chatter.contains(&verb) {
                self.chatter.push(verb);
            }
            if self.user.is_none() || std::mem::replace(&mut self.chatter_is_told, true) {
                return None;
            }
        }
        let (mut argument, mut to) = match verb {
            "CWD" | "XCWD" | "MKD" | "XMKD" | "RMD" | "XRMD" | "DELE" | "RETR" | "STOR" | "APPE" | "STAT" => {
                (self.path(argument), None)
            }
            "LIST" | "NLST" | "MLSD" => {
                let listed = ListRequest::parse(argument.as_bytes()).argument;
                (self.path(&String::from_utf8_lossy(&listed)), None)
            }
            "PWD" | "XPWD" => (self.path("."), None),
            "CDUP" | "XCUP" => (self.path(".."), None),
            "RNFR" => {
                self.rename_from = Some(self.path(argument)).filter(|_| code == 350);
                return None;
            }
            "RNTO" => (self.rename_from.take().unwrap_or_default(), Some(self.path(argument))),
            _ => (argument.to_owned(), None),
        };
        if succeeded && matches!(verb, "CWD" | "XCWD" | "CDUP" | "XCUP") {
            self.directory =
                VirtualPath::root().resolve(argument.as_bytes()).ok().filter(|_| argument.starts_with('/'));
        }
        if LEFT_OUT.contains(&verb) {
            return None;
        }
        for text in [Some(&mut argument), to.as_mut()].into_iter().flatten() {
            shorten(text);
        }
        Some(Observation::Command { verb: verb.to_owned(), argument, to, code })
    }
}

/// A line of 4 KiB, of which a journal needs no more than this.
fn shorten(text: &mut String) {
    const LONGEST: usize = 500;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::sessions::{CloseReason, Family};

    struct Watch(Observer);

    impl Watch {
        fn new() -> Self {
            let mut watch = Self(Observer::default());
            let listener = "0.0.0.0:21".parse().unwrap();
            watch.sees(What::SessionOpened { listener, family: Family::IPv4, tls: false });
            watch
        }

        fn sees(&mut self, what: What) -> Vec<(String, Observation)> {
            let ends = Ends { client: "192.0.2.7:40001".parse().unwrap(), server: "192.0.2.1:21".parse().unwrap() };
            let event = Event { time: SystemTime::UNIX_EPOCH, session: 7, ends, what };
            let sighted = self.0.observe(&event, |user| user != "teacher", |session| format!("word-{session}"));
            sighted.into_iter().map(|sighted| (sighted.user, sighted.what)).collect()
        }

        fn command(&mut self, verb: &'static str, argument: &str, code: u16) -> Vec<(String, Observation)> {
            self.sees(What::Command { verb, argument: argument.to_owned(), code, duration: Duration::ZERO })
        }

        fn login(&mut self, user: &str, outcome: LoginOutcome) -> Vec<(String, Observation)> {
            self.sees(What::Login { user: user.to_owned(), outcome, attempts: 1 })
        }

        /// The argument and the new name of a command that is on record.
        fn paths(&mut self, verb: &'static str, argument: &str, code: u16) -> (String, Option<String>) {
            match &self.command(verb, argument, code)[..] {
                [(_, Observation::Command { argument, to, .. })] => (argument.clone(), to.clone()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn only_students_are_seen_and_from_their_login_to_their_leave() {
        let mut watch = Watch::new();
        assert_eq!(watch.command("PWD", "", 530), []);
        assert_eq!(watch.login("otter", LoginOutcome::WrongPassword), []);
        assert_eq!(watch.command("PASS", "***", 530), [("otter".to_owned(), Observation::Refused { code: 530 })]);
        let login = watch.login("otter", LoginOutcome::Ok);
        assert!(
            matches!(&login[..], [(user, Observation::Login { word, program: false, ftp_exe: false, .. })]
            if user == "otter" && word == "word-7"),
            "{login:?}"
        );
        assert_eq!(watch.command("PWD", "", 257).len(), 1);
        assert_eq!(watch.command("USER", "fox", 331), [("otter".to_owned(), Observation::Left)]);
        assert_eq!(watch.command("PWD", "", 530), []);
        assert_eq!(watch.login("teacher", LoginOutcome::Ok), []);
        assert_eq!(watch.command("PWD", "", 257), []);
        watch.login("fox", LoginOutcome::Ok);
        let closed = What::SessionClosed {
            reason: CloseReason::Quit,
            transfers: 0,
            bytes_sent: 0,
            bytes_received: 0,
            duration: Duration::ZERO,
        };
        assert_eq!(watch.sees(closed), [("fox".to_owned(), Observation::Left)]);
        assert!(watch.0.sessions.is_empty());
    }

    #[test]
    fn paths_are_absolute_wherever_the_student_is() {
        let mut watch = Watch::new();
        watch.login("otter", LoginOutcome::Ok);
        assert_eq!(watch.paths("MKD", "reports", 257).0, "/reports");
        assert_eq!(watch.paths("CWD", "missing", 550).0, "/missing");
        assert_eq!(watch.paths("XCWD", "reports", 250).0, "/reports");
        assert_eq!(watch.paths("PWD", "", 257).0, "/reports");
        assert_eq!(watch.paths("NLST", "-CF *.txt", 226).0, "/reports/*.txt");
        assert_eq!(watch.paths("LIST", "", 226).0, "/reports");
        assert_eq!(watch.paths("CDUP", "", 250).0, "/");
        assert_eq!(watch.command("RNFR", "a.txt", 350), []);
        assert_eq!(watch.paths("RNTO", "reports/b.txt", 250), ("/a.txt".to_owned(), Some("/reports/b.txt".to_owned())));
        assert_eq!(watch.paths("DELE", &"x".repeat(5000), 250).0.len(), 500);
    }

    #[test]
    fn what_programs_send_is_on_record_once() {
        let mut watch = Watch::new();
        watch.login("otter", LoginOutcome::Ok);
        let seen: Vec<usize> =
            ["SYST", "TYPE", "SIZE", "MDTM", "NOOP", "FEAT"].map(|verb| watch.command(verb, "", 200).len()).into();
        assert_eq!(seen, [1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn windows_own_client_is_known_by_what_it_asks_before_the_login() {
        for (before, program, ftp_exe) in [
            (&[][..], false, false),
            (&["OPTS"], true, true),
            (&["FEAT", "OPTS"], true, false),
            (&["SYST"], true, false),
        ] {
            let mut watch = Watch::new();
            before.iter().for_each(|verb| drop(watch.command(verb, "UTF8 ON", 200)));
            let login = watch.login("otter", LoginOutcome::Ok);
            let Observation::Login { program: by_it, ftp_exe: is_it, .. } = &login[0].1 else { panic!() };
            assert_eq!((*by_it, *is_it), (program, ftp_exe), "{before:?}");
        }
    }

    #[test]
    fn behind_a_gap_paths_are_told_as_far_as_they_are_known() {
        let mut watch = Watch::new();
        watch.login("otter", LoginOutcome::Ok);
        watch.paths("CWD", "/reports", 250);
        let ends = watch.0.sessions[&7].ends;
        watch.0.resume([(7, ends, Some("otter".to_owned())), (8, ends, None)].into_iter());
        assert_eq!(watch.paths("DELE", "a", 250).0, "a");
        assert_eq!(watch.paths("DELE", "/b/a", 250).0, "/b/a");
        watch.paths("CWD", "/reports", 250);
        assert_eq!(watch.paths("DELE", "a", 250).0, "/reports/a");
    }
}
