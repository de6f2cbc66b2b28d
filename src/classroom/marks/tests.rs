//! Each task of the lesson that classes get: done right, and done nearly right.

use std::net::SocketAddr;

use chrono::TimeDelta;

use super::*;
use crate::classroom::journal::Via;
use crate::classroom::lesson::{SHIPPED, Type};
use crate::classroom::{Observation, quest};
use crate::sessions::{Mode, Side, TransferOutcome};

const SECRET: &str = "secret";

/// A class of three, in which time passes only when it is told to.
struct Class {
    marks: Marks,
    number: u64,
    now: DateTime<Utc>,
    _directory: tempfile::TempDir,
}

impl Class {
    fn new() -> Self {
        Self::with(SHIPPED)
    }

    fn with(lesson: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let class = Directory::at(directory.path());
        std::fs::write(class.secret(), SECRET).unwrap();
        let lesson = Lesson::parse(lesson, "l.toml").unwrap_or_else(|faults| panic!("{faults}"));
        let marks = Marks::new(Arc::new(lesson), Some(Secret::load(&class).unwrap()));
        Self { marks, number: 0, now: DateTime::UNIX_EPOCH, _directory: directory }
    }

    fn passes(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    fn apply(&mut self, user: &str, record: Record) -> Applied {
        self.number += 1;
        self.now += TimeDelta::milliseconds(10);
        let entry = Entry { number: self.number, time: self.now, user: user.to_owned(), record };
        // As it is read back.
        let line = serde_json::to_string(&entry).unwrap();
        let entry: Entry = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.marks.apply(&Arc::new(entry))
    }

    fn seen(&mut self, user: &str, session: u64, what: Observation) {
        self.apply(user, Record::Seen { session, what });
    }

    fn login_with(&mut self, user: &str, session: u64, client: &str, change: impl FnOnce(&mut Observation)) {
        let (client, server): (SocketAddr, SocketAddr) = (client.parse().unwrap(), "192.0.2.1:21".parse().unwrap());
        let word = format!("quick-river-{}", 100 + session);
        let mut login = Observation::Login { client, server, tls: false, program: false, ftp_exe: false, word };
        change(&mut login);
        self.seen(user, session, login);
    }

    /// Session 1 from port 40001, 2 from 40002 and so on; behind 10 from 50000 on.
    fn login(&mut self, session: u64) {
        let port = if session > 10 { 50_000 } else { 40_000 } + session;
        self.login_with("otter", session, &format!("192.0.2.7:{port}"), |_| {});
    }

    fn leave(&mut self, session: u64) {
        self.seen("otter", session, Observation::Left);
    }

    fn command(&mut self, session: u64, verb: &str, argument: &str, code: u16) {
        let (verb, argument) = (verb.to_owned(), argument.to_owned());
        self.seen("otter", session, Observation::Command { verb, argument, to: None, code });
    }

    fn offered(&mut self, verb: &str, port: u16) {
        let (verb, numbers) = (verb.to_owned(), String::new());
        self.seen("otter", 1, Observation::Offered { verb, port, numbers });
    }

    fn opened(&mut self, session: u64, mode: Mode, verb: &str, path: &str) {
        let port = if mode == Mode::Active { 20 } else { 61_001 };
        let (client, server) =
            ("192.0.2.7:45678".parse().unwrap(), SocketAddr::new("192.0.2.1".parse().unwrap(), port));
        let (verb, path) = (verb.to_owned(), path.to_owned());
        self.seen("otter", session, Observation::DataOpened { mode, client, server, verb, path });
    }

    fn ended(&mut self, session: u64, verb: &str, path: &str, change: impl FnOnce(&mut Observation)) {
        let mut transfer = Observation::Transfer {
            verb: verb.to_owned(),
            path: path.to_owned(),
            r#type: Type::Binary,
            bytes: 100,
            sha256: Some(digest(path)),
            outcome: TransferOutcome::Complete,
            closed_first: if verb == "STOR" { Side::Client } else { Side::Server },
        };
        change(&mut transfer);
        self.seen("otter", session, transfer);
        self.command(session, verb, path, 226);
    }

    /// A whole transfer in session 1.
    fn transfer(&mut self, verb: &str, path: &str) {
        self.opened(1, Mode::Passive, verb, path);
        self.ended(1, verb, path, |_| {});
    }

    fn transfers(&mut self, verb: &str, directory: &str, names: &[&str]) {
        names.iter().for_each(|name| self.transfer(verb, &format!("{directory}/{name}")));
    }

    fn upload(&mut self, path: &str, sha256: &str, as_type: Type) {
        self.opened(1, Mode::Passive, "STOR", path);
        self.ended(1, "STOR", path, |transfer| {
            let Observation::Transfer { sha256: sum, r#type, .. } = transfer else { panic!() };
            (*sum, *r#type) = (Some(sha256.to_owned()), as_type);
        });
    }

    fn answers(&mut self, task: &str, text: &str) -> Judgement {
        let (task, text) = (task.to_owned(), text.to_owned());
        self.apply("otter", Record::Answered { task, text, via: Via::Session }).judgement.unwrap()
    }

    fn mark(&self, task: &str) -> Mark {
        let student = Student { user: "otter".to_owned(), ..Student::default() };
        self.marks.of(&student).marks.into_iter().find(|mark| mark.task == task).unwrap()
    }

    fn has(&self, task: &str) -> bool {
        self.mark(task).state == State::Done
    }

    /// The student's file, as the lesson gives it.
    fn given(&self, path: &str) -> quest::Given {
        let given = Given { lesson: &self.marks.lesson, secret: self.marks.secret.as_ref(), user: "otter" };
        let (folder, name) = path.rsplit_once('/').unwrap();
        given.file(folder, name, Clone::clone).unwrap()
    }
}

/// Some digest, which differs from path to path.
fn digest(path: &str) -> String {
    format!("{path:0>64}")
}

fn active_list(class: &mut Class) {
    class.opened(1, Mode::Active, "LIST", "/");
    class.ended(1, "LIST", "/", |_| {});
}

fn by_hand(class: &mut Class, pause: i64) {
    class.login(1);
    class.passes(pause);
    class.offered("PASV", 61_001);
    class.passes(pause);
    class.transfer("LIST", "/");
}

fn slow(class: &mut Class, outcome: TransferOutcome, bytes: u64) {
    class.opened(1, Mode::Passive, "RETR", "/quest/slow/slow.bin");
    class.ended(1, "RETR", "/quest/slow/slow.bin", |transfer| {
        let Observation::Transfer { outcome: it, bytes: so_many, .. } = transfer else { panic!() };
        (*it, *so_many) = (outcome, bytes);
    });
}

fn pack(class: &mut Class, names: &[&str]) {
    for name in names {
        let given = class.given(&format!("/quest/pack/{name}"));
        class.upload(&format!("/pack/{name}"), &given.sha256(), Type::Binary);
    }
}

fn clean(class: &mut Class, names: &[&str], code: u16) {
    names.iter().for_each(|name| class.command(1, "DELE", &format!("/quest/clean/{name}"), code));
}

fn tidy(class: &mut Class) {
    class.command(1, "MKD", "/reports", 257);
    class.command(1, "CWD", "/reports", 250);
    class.command(1, "XPWD", "/reports", 257);
    class.command(1, "CDUP", "/", 250);
}

fn rename(class: &mut Class, to: &str) {
    let (verb, argument, to) = ("RNTO".to_owned(), "/hello.txt".to_owned(), Some(to.to_owned()));
    class.seen("otter", 1, Observation::Command { verb, argument, to, code: 250 });
}

fn refusals(class: &mut Class) {
    class.seen("otter", 9, Observation::Refused { code: 530 });
    class.login(1);
    class.command(1, "RETR", "/missing", 550);
    class.command(1, "STOR", "/materials/x", 550);
}

fn with_neighbour(class: &mut Class) {
    class.login(1);
    class.login_with("fox", 2, "192.0.2.8:51234", |_| {});
}

type Act = fn(&mut Class);

/// Task, what is done and answered, and whether that is right.
const ACTS: &[(&str, Act, &str, bool)] = &[
    ("A1", |class| class.login(1), "", true),
    ("A1", |class| class.seen("otter", 1, Observation::Refused { code: 530 }), "", false),
    ("A2", |class| class.login(1), "21 system", true),
    ("A2", |class| class.login(1), "Well-known port 21", true),
    ("A2", |class| class.login(1), "21 user", false),
    ("A2", |class| class.login(1), "21", false),
    ("A2", |class| class.login(1), "21 system user dynamic", false),
    ("A3", |class| class.login(1), "40001", true),
    ("A3", |class| class.login(1), "192.0.2.7:40001", true),
    ("A3", |class| class.login(1), "21", false),
    ("A3", |class| class.login(1), "40000 40001 40002", false),
    ("A3", with_neighbour, "51234", false),
    ("A4", |class| class.login(1), "user", true),
    ("A4", |class| class.login(1), "dynamic", false),
    ("A4", |class| class.login(11), "It is private", true),
    ("A4", |class| class.login(11), "registered", false),
    ("A5", with_neighbour, "40001 user and 51234 dynamic. Both are right!", true),
    ("A5", with_neighbour, "40001 dynamic 51234 dynamic", false),
    ("A5", with_neighbour, "40001 user 40001 user", false),
    ("A5", |class| class.login(1), "40001 user 51234 dynamic", false),
    ("A6", |class| (1..=5).for_each(|session| class.login(session)), "40001 40002 40003 40004 40005", true),
    ("A6", |class| (1..=5).for_each(|session| class.login(session)), "40001, 40002, 7, 40004, 40005", true),
    ("A6", |class| (1..=5).for_each(|session| class.login(session)), "40005 40004 40003 40002 40001", false),
    ("A6", |class| (1..=5).for_each(|session| class.login(session)), "40001 40002 40003 40004", false),
    ("A6", |class| (1..=4).for_each(|session| class.login(session)), "40001 40002 40003 40004 40005", false),
    ("A7", |class| (1..=2).for_each(|session| class.login(session)), "The client's port", true),
    ("A7", |class| (1..=2).for_each(|session| class.login(session)), "server port", false),
    (
        "A7",
        |class| {
            class.login(1);
            class.leave(1);
            class.login(2);
        },
        "client port",
        false,
    ),
    (
        "A8",
        |class| {
            class.login(1);
            class.opened(1, Mode::Passive, "RETR", "/quest/slow/slow.bin");
        },
        "2",
        true,
    ),
    (
        "A8",
        |class| {
            class.login(1);
            class.login(2);
            slow(class, TransferOutcome::Aborted, 10);
        },
        "3",
        true,
    ),
    (
        "A8",
        |class| {
            class.login(1);
            class.opened(1, Mode::Passive, "RETR", "/quest/slow/slow.bin");
        },
        "1",
        false,
    ),
    (
        "A8",
        |class| {
            class.login(1);
            class.transfer("RETR", "/materials/readme.txt");
        },
        "2",
        false,
    ),
    (
        "A9",
        |class| {
            class.login(1);
            class.transfer("RETR", "/materials/readme.txt");
            class.transfer("STOR", "/hello.txt");
        },
        "download: the server, upload: the client",
        true,
    ),
    (
        "A9",
        |class| {
            class.login(1);
            class.transfer("RETR", "/materials/readme.txt");
            class.transfer("STOR", "/hello.txt");
        },
        "client server",
        false,
    ),
    (
        "A9",
        |class| {
            class.login(1);
            class.transfer("RETR", "/materials/readme.txt");
        },
        "server client",
        false,
    ),
    ("A10", |class| class.login(1), "21", true),
    ("A10", |class| class.login(1), "20", false),
    (
        "B1",
        |class| {
            class.login(1);
            class.transfer("NLST", "/");
        },
        "61001",
        true,
    ),
    (
        "B1",
        |class| {
            class.login(1);
            class.transfer("RETR", "/x");
        },
        "61001",
        false,
    ),
    (
        "B2",
        |class| {
            class.login(1);
            class.offered("PASV", 50_019)
        },
        "195*256+99=50019",
        true,
    ),
    (
        "B2",
        |class| {
            class.login(1);
            class.offered("PASV", 50_019)
        },
        "99*256+195",
        false,
    ),
    (
        "B2",
        |class| {
            class.login(1);
            class.offered("EPSV", 50_019)
        },
        "50019",
        false,
    ),
    (
        "B3",
        |class| {
            class.login(1);
            class.offered("EPSV", 50_019)
        },
        "50019, it is the same address",
        true,
    ),
    (
        "B3",
        |class| {
            class.login(1);
            class.offered("PASV", 50_019)
        },
        "50019",
        false,
    ),
    (
        "B4",
        |class| {
            class.login(1);
            class.offered("EPRT", 50_019)
        },
        "50019",
        true,
    ),
    (
        "B4",
        |class| {
            class.login(1);
            class.offered("PORT", 50_019)
        },
        "195 * 256 + 99",
        true,
    ),
    (
        "B4",
        |class| {
            class.login(1);
            class.offered("PASV", 50_019)
        },
        "50019",
        false,
    ),
    (
        "B5",
        |class| {
            class.login(1);
            active_list(class);
            class.transfer("MLSD", "/");
        },
        "active: server, passive: client",
        true,
    ),
    (
        "B5",
        |class| {
            class.login(1);
            active_list(class);
            class.transfer("MLSD", "/");
        },
        "client server",
        false,
    ),
    (
        "B5",
        |class| {
            class.login(1);
            class.transfer("LIST", "/");
        },
        "server client",
        false,
    ),
    (
        "B5",
        |class| {
            class.login_with("otter", 1, "192.0.2.7:50001", |login| {
                let Observation::Login { ftp_exe, .. } = login else { panic!() };
                *ftp_exe = true;
            });
            active_list(class);
        },
        "server",
        true,
    ),
    (
        "B5",
        |class| {
            class.login(1);
            active_list(class);
        },
        "server",
        false,
    ),
    (
        "B6",
        |class| {
            class.login(1);
            active_list(class)
        },
        "20",
        true,
    ),
    (
        "B6",
        |class| {
            class.login(1);
            class.transfer("LIST", "/")
        },
        "61001",
        false,
    ),
    ("B7", |class| by_hand(class, 2), "", true),
    ("B7", |class| by_hand(class, 0), "", false),
    (
        "B7",
        |class| {
            class.login(1);
            class.command(1, "TYPE", "A", 200);
            class.passes(2);
            class.offered("PASV", 61_001);
            class.passes(2);
            class.transfer("LIST", "/");
        },
        "",
        false,
    ),
    (
        "B8",
        |class| {
            class.login(1);
            class.offered("PASV", 61_001);
            class.seen("otter", 1, Observation::DataFailed { mode: Mode::Passive, reason: "nobody came".to_owned() });
            class.command(1, "LIST", "/", 425);
        },
        "425",
        true,
    ),
    (
        "B8",
        |class| {
            class.login(1);
            class.command(1, "LIST", "/", 425);
        },
        "425",
        false,
    ),
    (
        "B9",
        |class| {
            class.login(1);
            class.transfer("STOR", "/hello.txt");
            class.transfer("LIST", "/quest/count");
            class.transfers("RETR", "/quest/count", &["one.txt", "two.txt"]);
        },
        "3",
        true,
    ),
    (
        "B9",
        |class| {
            class.login(1);
            class.transfer("LIST", "/quest/count");
            class.transfers("RETR", "/quest/count", &["one.txt", "two.txt"]);
        },
        "1",
        false,
    ),
    (
        "B9",
        |class| {
            class.login(1);
            class.transfer("LIST", "/quest/count");
            class.transfers("RETR", "/quest/count", &["one.txt"]);
        },
        "3",
        false,
    ),
    (
        "C1",
        |class| {
            class.login(1);
            class.transfer("RETR", "/materials/readme.txt")
        },
        "",
        true,
    ),
    (
        "C1",
        |class| {
            class.login(1);
            class.transfer("RETR", "/readme.txt")
        },
        "",
        false,
    ),
    (
        "C1",
        |class| {
            class.login(1);
            class.ended(1, "RETR", "/materials/readme.txt", |transfer| {
                let Observation::Transfer { outcome, .. } = transfer else { panic!() };
                *outcome = TransferOutcome::ConnectionLost;
            });
        },
        "",
        false,
    ),
    (
        "C2",
        |class| {
            class.login(1);
            class.transfer("STOR", "/hello.txt")
        },
        "",
        true,
    ),
    (
        "C2",
        |class| {
            class.login(1);
            class.transfer("STOR", "/quest/hello.txt")
        },
        "",
        false,
    ),
    (
        "C2",
        |class| {
            class.login(1);
            class.ended(1, "STOR", "/hello.txt", |transfer| {
                let Observation::Transfer { bytes, .. } = transfer else { panic!() };
                *bytes = 0;
            });
        },
        "",
        false,
    ),
    (
        "C3",
        |class| {
            class.login(1);
            class.transfer("NLST", "/quest/five/*");
            class.transfers("RETR", "/quest/five", &["ant.txt", "bee.txt", "cat.txt", "dog.txt", "elk.txt"]);
        },
        "",
        true,
    ),
    (
        "C3",
        |class| {
            class.login(1);
            class.transfers("RETR", "/quest/five", &["ant.txt", "bee.txt", "cat.txt", "dog.txt"]);
        },
        "",
        false,
    ),
    (
        "C3",
        |class| {
            class.login(1);
            class.transfers("RETR", "/quest/five", &["ant.txt", "bee.txt", "cat.txt", "dog.txt"]);
            class.passes(200);
            class.transfers("RETR", "/quest/five", &["elk.txt"]);
        },
        "",
        false,
    ),
    (
        "C4",
        |class| {
            class.login(1);
            class.transfers("RETR", "/quest/mixed", &["april.txt", "june.txt", "may.txt"]);
        },
        "",
        true,
    ),
    // mget *, and after a new listing mget *.txt.
    (
        "C4",
        |class| {
            class.login(1);
            class.transfers("RETR", "/quest/mixed", &["april.txt", "august.log", "july.log", "june.txt", "may.txt"]);
            class.transfer("NLST", "/quest/mixed/*.txt");
            class.transfers("RETR", "/quest/mixed", &["april.txt", "june.txt", "may.txt"]);
        },
        "",
        true,
    ),
    (
        "C4",
        |class| {
            class.login(1);
            class.transfer("NLST", "/quest/mixed/*");
            class.transfers("RETR", "/quest/mixed", &["april.txt", "august.log", "july.log", "june.txt", "may.txt"]);
        },
        "",
        false,
    ),
    (
        "C5",
        |class| {
            class.login(1);
            class.transfer("NLST", "/quest/choose/*");
            class.transfers("RETR", "/quest/choose", &["a.txt", "b.txt", "d.txt", "e.txt"]);
        },
        "",
        true,
    ),
    (
        "C5",
        |class| {
            class.login(1);
            class.transfer("NLST", "/quest/choose/*");
            class.transfers("RETR", "/quest/choose", &["a.txt", "b.txt", "c.log", "d.txt", "e.txt"]);
        },
        "",
        false,
    ),
    (
        "C5",
        |class| {
            class.login(1);
            class.transfers("RETR", "/quest/choose", &["a.txt", "b.txt", "d.txt", "e.txt"]);
        },
        "",
        false,
    ),
    (
        "C6",
        |class| {
            class.login(1);
            pack(class, &["east.txt", "north.txt", "south.txt", "west.txt"])
        },
        "",
        true,
    ),
    (
        "C6",
        |class| {
            class.login(1);
            pack(class, &["east.txt", "north.txt", "south.txt"])
        },
        "",
        false,
    ),
    (
        "C6",
        |class| {
            class.login(1);
            pack(class, &["east.txt", "north.txt", "south.txt"]);
            class.upload("/pack/west.txt", &digest("another"), Type::Binary);
        },
        "",
        false,
    ),
    (
        "C7",
        |class| {
            class.login(1);
            clean(class, &["a.tmp", "b.tmp", "c.tmp", "z.tmp"], 250);
        },
        "",
        true,
    ),
    (
        "C7",
        |class| {
            class.login(1);
            clean(class, &["a.tmp", "b.tmp", "c.tmp", "keep.me", "z.tmp"], 250);
        },
        "",
        false,
    ),
    (
        "C7",
        |class| {
            class.login(1);
            clean(class, &["a.tmp", "b.tmp", "c.tmp", "z.tmp"], 550);
        },
        "",
        false,
    ),
    (
        "C8",
        |class| {
            class.login(1);
            tidy(class);
            rename(class, "/done.txt");
        },
        "",
        true,
    ),
    (
        "C8",
        |class| {
            class.login(1);
            tidy(class);
            rename(class, "/reports/done.txt");
        },
        "",
        false,
    ),
    // curl's PWD behind the login is not credited.
    (
        "C8",
        |class| {
            class.login(1);
            class.command(1, "PWD", "/", 257);
            class.command(1, "MKD", "/reports", 257);
            class.command(1, "CWD", "/reports", 250);
            class.command(1, "CWD", "/", 250);
            rename(class, "/done.txt");
        },
        "",
        false,
    ),
    (
        "C9",
        |class| {
            class.login(1);
            let given = class.given("/quest/picture/logo.png").sha256();
            class.upload("/logo.png", &given, Type::Binary);
        },
        "binary",
        true,
    ),
    (
        "C9",
        |class| {
            class.login(1);
            let given = class.given("/quest/picture/logo.png").sha256();
            class.upload("/logo.png", &given, Type::Ascii);
        },
        "binary",
        false,
    ),
    (
        "C9",
        |class| {
            class.login(1);
            class.upload("/logo.png", &digest("damaged"), Type::Binary);
        },
        "binary",
        false,
    ),
    (
        "C9",
        |class| {
            class.login(1);
            let given = class.given("/quest/picture/logo.png").sha256();
            class.upload("/logo.png", &given, Type::Binary);
        },
        "ascii",
        false,
    ),
    (
        "C10",
        |class| {
            class.login(1);
            class.upload("/logo.png", &digest("damaged"), Type::Ascii);
        },
        "different",
        true,
    ),
    (
        "C10",
        |class| {
            class.login(1);
            let given = class.given("/quest/picture/logo.png").sha256();
            class.upload("/logo.png", &given, Type::Ascii);
        },
        "same",
        true,
    ),
    (
        "C10",
        |class| {
            class.login(1);
            let given = class.given("/quest/picture/logo.png").sha256();
            class.upload("/logo.png", &given, Type::Ascii);
        },
        "different",
        false,
    ),
    (
        "C11",
        |class| {
            class.login(1);
            slow(class, TransferOutcome::Aborted, 1000);
            class.command(1, "REST", "1000", 350);
            slow(class, TransferOutcome::Complete, 5000);
        },
        "",
        true,
    ),
    (
        "C11",
        |class| {
            class.login(1);
            slow(class, TransferOutcome::Aborted, 1000);
            slow(class, TransferOutcome::Complete, 6000);
        },
        "",
        false,
    ),
    (
        "C11",
        |class| {
            class.login(1);
            class.command(1, "REST", "1000", 350);
            slow(class, TransferOutcome::Complete, 5000);
        },
        "",
        false,
    ),
    ("C12", refusals, "530 550 550", true),
    ("C12", refusals, "550 530 550", false),
    (
        "C12",
        |class| {
            class.login(1);
            class.command(1, "RETR", "/missing", 550);
            class.command(1, "STOR", "/materials/x", 550);
        },
        "530 550 550",
        false,
    ),
    ("D1", |class| class.login(1), "pass", true),
    ("D1", |class| class.login(1), "USER and PASS and TYPE", false),
    ("D1", |class| class.login(1), "auth", false),
    ("D2", |class| class.login(1), "quick-river-101", true),
    ("D2", |class| class.login(1), "quick-river-102", false),
    (
        "D2",
        |class| {
            class.login(1);
            class.login_with("fox", 2, "192.0.2.8:51234", |_| {})
        },
        "quick-river-102",
        false,
    ),
    (
        "D3",
        |class| {
            class.login(1);
            class.transfer("STOR", "/handin/report (2).txt");
            class.transfer("LIST", "/handin");
            class.command(1, "RETR", "/handin/report.txt", 550);
        },
        "550",
        true,
    ),
    (
        "D3",
        |class| {
            class.login(1);
            class.transfer("STOR", "/report.txt");
            class.transfer("LIST", "/handin");
            class.command(1, "RETR", "/handin/report.txt", 550);
        },
        "550",
        false,
    ),
    ("E1", |class| class.login_with("otter", 1, "[2001:db8::7]:40001", |_| {}), "EPRT and EPSV", true),
    ("E1", |class| class.login_with("otter", 1, "[2001:db8::7]:40001", |_| {}), "EPSV, PORT", false),
    ("E1", |class| class.login(1), "EPRT EPSV", false),
    ("F1", |class| class.login(1), "40001 same", true),
    ("F1", |class| class.login(1), "12345 different, it was Docker", true),
    ("F1", |class| class.login(1), "12345 same", false),
    ("F2", |class| class.login(1), "4*256+89", true),
    ("F2", |class| class.login(1), "89*256+4", false),
];

#[test]
fn who_does_a_task_right_gets_its_point_and_who_does_it_nearly_right_does_not() {
    for (number, (task, act, answer, right)) in ACTS.iter().enumerate() {
        let mut class = Class::new();
        act(&mut class);
        let judged = (!answer.is_empty()).then(|| class.answers(task, answer));
        let mark = class.mark(task);
        assert_eq!(mark.state == State::Done, *right, "{number}: {task} {answer:?}: {judged:?}");
        assert_eq!(
            judged.is_none_or(|judged| judged == Judgement::Right),
            *right || answer.is_empty(),
            "{number}: {task}"
        );
        assert_eq!((mark.points > 0, mark.done_at.is_some()), (*right, *right), "{task}");
        assert_eq!(mark.evidence.is_empty(), !*right && mark.attempts == 0, "{task}");
    }
}

#[test]
fn a_letter_s_word_is_the_student_s_own() {
    for (user, right) in [("otter", true), ("fox", false)] {
        let mut class = Class::new();
        class.login(1);
        class.transfer("RETR", "/quest/letter/letter.txt");
        let given = Given { lesson: &class.marks.lesson, secret: class.marks.secret.as_ref(), user };
        let word = given.word_at("/quest/letter/letter.txt").unwrap();
        assert_eq!(class.answers("C13", &format!("It says {word}.")) == Judgement::Right, right);
    }
}

#[test]
fn every_task_of_the_shipped_lesson_has_a_right_and_a_nearly_right_act() {
    let class = Class::new();
    for task in class.marks.lesson.tasks.iter().filter(|task| task.id != "C13") {
        for right in [true, false] {
            assert!(ACTS.iter().any(|act| act.0 == task.id && act.3 == right), "{} {right}", task.id);
        }
    }
}

#[test]
fn evidence_is_what_the_mark_rests_on_and_nothing_else() {
    let mut class = Class::new();
    class.login(1);
    class.transfer("RETR", "/materials/readme.txt");
    class.offered("EPSV", 61_002);
    let evidence = |mark: &Mark| -> Vec<String> {
        let told = |entry: &Arc<Entry>| match &entry.record {
            Record::Seen { what: Observation::Offered { port, .. }, .. } => port.to_string(),
            Record::Answered { text, .. } => text.clone(),
            other => format!("{other:?}"),
        };
        mark.evidence.iter().map(told).collect()
    };
    for wrong in ["61001", "61003"] {
        let why = "No 229 that you got names this port.".to_owned();
        assert_eq!(class.answers("B3", wrong), Judgement::Wrong(why));
        assert_eq!(evidence(&class.mark("B3")), [wrong], "why there is no point yet");
    }
    assert_eq!(class.answers("B3", "61002"), Judgement::Right);
    let mark = class.mark("B3");
    assert_eq!(evidence(&mark), ["61002", "61002"]);
    assert_eq!((mark.attempts, mark.first_try, mark.source), (3, false, Source::Auto));
    assert_eq!(class.mark("C1").evidence.len(), 1);
    assert!(class.mark("C1").first_try);
}

#[test]
fn an_answer_is_right_for_a_quarter_of_an_hour_and_longer_for_a_session_that_is_open() {
    let mut class = Class::new();
    class.login(1);
    class.offered("PASV", 50_019);
    class.login(2);
    class.leave(2);
    class.passes(14 * 60);
    let mut other = Class { marks: class.marks.clone(), _directory: tempfile::tempdir().unwrap(), ..class };
    assert_eq!(other.answers("B2", "50019"), Judgement::Right);
    assert_eq!(other.answers("A3", "40002"), Judgement::Right);
    other = Class { marks: Class::new().marks, ..other };
    other.login(1);
    other.offered("PASV", 50_019);
    other.login(2);
    other.leave(2);
    other.passes(16 * 60);
    assert!(matches!(other.answers("B2", "50019"), Judgement::Wrong(_)));
    assert!(matches!(other.answers("A3", "40002"), Judgement::Wrong(_)));
    assert_eq!(other.answers("A3", "40001"), Judgement::Right);
}

#[test]
fn five_wrong_answers_bring_a_pause_in_which_none_is_judged() {
    let mut class = Class::new();
    class.login(1);
    for _ in 0..ATTEMPTS {
        assert!(matches!(class.answers("A3", "7"), Judgement::Wrong(_)));
    }
    assert_eq!(class.answers("A3", "40001"), Judgement::Paused(30));
    // Another task is not meant by it.
    assert_eq!(class.answers("A4", "user"), Judgement::Right);
    class.passes(20);
    assert_eq!(class.answers("A3", "40001"), Judgement::Paused(10));
    class.passes(10);
    assert_eq!(class.answers("A3", "40001"), Judgement::Right);
    assert_eq!(class.mark("A3").attempts, ATTEMPTS + 1);
}

#[test]
fn an_answer_before_its_time_is_no_attempt() {
    let mut class = Class::new();
    class.login(1);
    assert_eq!(class.answers("B9", "3"), Judgement::NotYet(0));
    class.transfer("LIST", "/quest/count");
    class.transfers("RETR", "/quest/count", &["one.txt"]);
    assert_eq!(class.answers("B9", "3"), Judgement::NotYet(2));
    assert_eq!((class.mark("B9").attempts, class.mark("B9").state), (0, State::Tried));
    assert_eq!(class.answers("A1", "yes"), Judgement::Right);
    assert_eq!(class.answers("C1", "yes"), Judgement::NothingAsked);
}

#[test]
fn a_reset_gives_another_chance_and_takes_no_point_away() {
    let mut class = Class::new();
    class.login(1);
    clean(&mut class, &["a.tmp", "keep.me", "b.tmp", "c.tmp", "z.tmp"], 250);
    assert!(!class.has("C7"));
    class.apply("otter", Record::Reset { task: "C7".to_owned() });
    clean(&mut class, &["b.tmp", "c.tmp", "z.tmp"], 250);
    assert!(!class.has("C7"), "what was deleted before is there again");
    clean(&mut class, &["a.tmp"], 250);
    assert!(class.has("C7"));
    class.apply("otter", Record::Reset { task: "C7".to_owned() });
    clean(&mut class, &["keep.me"], 250);
    assert!(class.has("C7"));
}

#[test]
fn the_teacher_has_the_last_word_and_can_take_it_back() {
    let mut class = Class::new();
    let decide = |class: &mut Class, points: Option<u32>| {
        let (task, reason) = ("C1".to_owned(), "seen by me".to_owned());
        class.apply("otter", Record::Overridden { task, points, reason })
    };
    assert!(decide(&mut class, Some(2)).changed);
    let mark = class.mark("C1");
    assert_eq!((mark.state, mark.points, mark.evidence.len()), (State::Done, 2, 1));
    assert_eq!(mark.source, Source::Manual("seen by me".to_owned()));
    class.login(1);
    class.transfer("RETR", "/materials/readme.txt");
    assert_eq!(class.mark("C1").points, 2);
    decide(&mut class, None);
    assert_eq!((class.mark("C1").points, class.mark("C1").source), (1, Source::Auto));
}

#[test]
fn a_restart_counts_sessions_anew_and_keeps_the_marks() {
    let mut class = Class::new();
    class.login(1);
    class.transfer("LIST", "/quest/count");
    class.transfers("RETR", "/quest/count", &["one.txt", "two.txt"]);
    class.apply("", Record::Started { exam: false });
    assert_eq!(class.answers("A3", "40001"), Judgement::Right, "it was seen in the last minutes");
    assert_eq!(class.answers("B9", "3"), Judgement::Right, "it was complete before");
    // The new session 1 is not the old one.
    class.login_with("otter", 1, "192.0.2.7:40009", |_| {});
    class.transfers("RETR", "/quest/choose", &["a.txt"]);
    assert!(matches!(class.answers("A8", "2"), Judgement::Wrong(_)));
}

#[test]
fn the_same_journal_gives_other_marks_with_a_mended_lesson() {
    let wrong = "title = \"L\"\n[[task]]\nid = \"A\"\ntitle = \"T\"\nask = \"Q\"\npoints = 1\nneed = [{ did = \"download\", \
                 files = [\"/redme.txt\"] }]\n[[task]]\nid = \"B\"\ntitle = \"T\"\nask = \"Q\"\npoints = 3\nanswer = [{ number \
                 = 7 }]\n";
    let mended = wrong.replace("redme", "readme").replace("= 7", "= 8");
    for (lesson, marks) in [(wrong, [0, 3]), (&mended, [1, 0])] {
        let mut class = Class::with(lesson);
        class.login(1);
        class.transfer("RETR", "/readme.txt");
        class.answers("B", "7");
        assert_eq!([class.mark("A").points, class.mark("B").points], marks);
    }
}

#[test]
fn what_is_remembered_of_a_student_has_an_end() {
    let mut class = Class::new();
    class.login(1);
    for session in 2..=200 {
        class.login(session);
        class.leave(session);
        class.offered("PASV", 50_000);
        class.transfer("LIST", "/quest/count");
    }
    let work = &class.marks.students["otter"];
    assert_eq!(work.sessions().recent(class.now).count(), 64);
    assert_eq!(work.sessions().facts(class.now).count(), 500);
}
