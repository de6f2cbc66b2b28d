//! From the school's list to students who log in.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fixture::{LONGSHORE, Process, left_out};
use crate::ftp::Ftp;

const MOODLE: &str = "username,password,firstname,lastname,email,idnumber,cohort1\r\n\
    ann1,,Ann,Berg,ann@example.org,0042,3B\r\n\
    bob1,,<script>alert(1)</script>,Cole,bob@example.org,0043,3B\r\n";

/// A directory with a roster and perhaps a class.
struct Desk(TempDir);

impl Desk {
    fn new(roster: &str) -> Self {
        let desk = Self(tempfile::Builder::new().prefix("longshore-class-").tempdir().unwrap());
        desk.write_roster(roster);
        desk
    }

    fn write_roster(&self, roster: &str) {
        fs::write(self.0.path().join("roster.csv"), roster).unwrap();
    }

    fn class(&self, name: &str) -> PathBuf {
        self.0.path().join("class").join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(LONGSHORE);
        command.arg("classroom").args(arguments.split(' ')).current_dir(self.0.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Makes the class, or brings it up to date.
    #[track_caller]
    fn enrol(&self, more: &str) -> String {
        self.done(&format!("new class --roster roster.csv --address 192.0.2.5:2121{more}"))
    }

    /// What a command says that succeeds.
    #[track_caller]
    fn done(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.class(name)).unwrap()
    }

    /// The rows of a table of the class, without its head.
    fn rows(&self, name: &str) -> Vec<Vec<String>> {
        let text = self.read(name);
        text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    /// The user and password of the student with this id, from credentials.csv.
    fn login_of(&self, id: &str) -> (String, String) {
        let row = self.rows("credentials.csv").into_iter().find(|row| row[3] == id).unwrap();
        (row[0].clone(), row[1].clone())
    }

    /// Everything in the directory of the class, with what the files contain.
    fn tree(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        walk(&self.class(""), &mut found);
        found.sort();
        found
    }

    /// The class, served on ports that are free.
    fn serve(&self) -> (Process, SocketAddr) {
        let mut command = Command::new("setsid");
        command.args([LONGSHORE, "--config"]).arg(self.class("classroom.toml"));
        let mut server = Process::spawn(command.env("LONGSHORE__SERVER__LISTEN", "127.0.0.1:0"));
        let address = server.listening(1)[0];
        (server, address)
    }
}

fn walk(directory: &Path, found: &mut Vec<(PathBuf, Option<Vec<u8>>)>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
            found.push((path, None));
        } else {
            let contents = fs::read(&path).ok();
            found.push((path, contents));
        }
    }
}

fn logs_in(address: SocketAddr, user: &str, password: &str) -> bool {
    let mut ftp = Ftp::connect(address);
    ftp.expect(331, format!("USER {user}"));
    ftp.command(format!("PASS {password}")).code == 230
}

/// Runs curl as a student, and returns what it and the server said to each other.
fn curl(login: &(String, String), arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--verbose", "--max-time", "30"]);
    command.args(["--user", &format!("{}:{}", login.0, login.1)]).args(arguments);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn students_of_a_moodle_roster_log_in_and_hand_in_with_receipts() {
    if Command::new("curl").arg("--version").output().is_err() {
        return left_out("there is no curl; a class was not played");
    }
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    fs::create_dir(desk.class("handin/lab1")).unwrap();
    // The second run gives everybody the folder.
    desk.enrol("");
    let (_server, address) = desk.serve();
    let login = desk.login_of("0042");
    let url = format!("ftp://{address}");
    let (done, text) = curl(&login, &[&format!("{url}/materials/readme.txt")]);
    assert!(done && text.contains("Hand your work in"), "{text}");

    let report = desk.0.path().join("report.txt");
    for (attempt, stored, bytes) in [(1, "report.txt", 1204), (2, "report (2).txt", 7)] {
        fs::write(&report, "x".repeat(bytes)).unwrap();
        let (done, text) = curl(&login, &["-T", report.to_str().unwrap(), &format!("{url}/handin/lab1/")]);
        assert!(done, "{text}");
        let path = desk.class("root").join(&login.0).join("handin/lab1").join(stored);
        let sum = String::from_utf8(Command::new("sha256sum").arg(&path).output().unwrap().stdout).unwrap();
        let size = if bytes == 1204 { "1,204".to_owned() } else { bytes.to_string() };
        let receipt = format!(
            "226 Received report.txt, {size} bytes, sha256 {}, attempt {attempt}.",
            sum.split(' ').next().unwrap()
        );
        assert!(text.contains(&receipt), "{receipt} is not in {text}");
    }
    let (done, text) = curl(&login, &["--list-only", &format!("{url}/handin/lab1/")]);
    assert!(done && text.starts_with("report (2).txt\nreport.txt\n"), "{text}");
    for (arguments, code) in [
        (vec![format!("{url}/handin/lab1/report.txt")], "550"),
        (vec!["-T".to_owned(), report.to_str().unwrap().to_owned(), format!("{url}/materials/")], "550"),
        (vec![format!("{url}/"), "-Q".to_owned(), "DELE /materials/readme.txt".to_owned()], "550"),
        (vec![format!("{url}/"), "-Q".to_owned(), "RNFR /handin".to_owned()], "550"),
    ] {
        let (done, text) = curl(&login, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!done && text.contains(&format!("< {code} ")), "{arguments:?}: {text}");
    }
}

#[test]
fn a_dry_run_shows_everything_and_writes_nothing() {
    let desk = Desk::new(MOODLE);
    let text = desk.enrol(" --dry-run");
    assert!(text.contains("new          Ann Berg") && text.ends_with("nothing was written\n"), "{text}");
    assert!(!desk.class("").exists());
    desk.enrol("");
    let before = desk.tree();
    desk.write_roster("name,id\nAnn Berg,0042\nEve,0044\n");
    let text = desk.enrol(" --dry-run --remove-missing");
    assert!(text.contains("1 new, 0 updated, 1 unchanged; 1 of the class not in it"), "{text}");
    assert_eq!(desk.tree(), before);
}

#[test]
fn a_roster_with_faults_is_refused_as_a_whole_with_all_of_them() {
    let desk = Desk::new("name;id\nAnn;1\n;\nBob;1\nCem\n");
    let output = desk.run("new class --roster roster.csv --address 192.0.2.5:2121");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("roster.csv:4: the school's id is that of line 2"), "{text}");
    assert!(text.contains("roster.csv:5: this row has 1 cells and the header 2"), "{text}");
    assert!(!desk.class("").exists());
}

#[test]
fn a_changed_roster_updates_the_class_and_students_keep_what_they_have() {
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    let (ann, bob) = (desk.login_of("0042"), desk.login_of("0043"));
    fs::write(desk.class("root").join(&ann.0).join("own"), "own").unwrap();
    let cards = desk.read("cards.html");
    desk.write_roster("Student ID;Full name\n0044;Eve\n0042;Ann Berg-Muir\n");
    assert!(desk.enrol(" --credentials").contains("1 new, 1 updated, 0 unchanged; 1 of the class not in it"));
    assert_eq!(desk.read("cards.html"), cards, "the first cards are not lost");
    let rows = desk.rows("students.csv");
    assert_eq!(rows.len(), 3, "who is missing stays: {rows:?}");
    assert_eq!([&rows[1][0], &rows[1][2], &rows[1][4]], [&ann.0, "Ann Berg-Muir", "ann@example.org"]);
    let eve = desk.login_of("0044");
    let (_server, address) = desk.serve();
    for (user, password) in [&ann, &bob, &eve] {
        assert!(logs_in(address, user, password), "{user}");
    }
    // Again the same: nothing changes.
    let before = desk.tree();
    desk.enrol("");
    let is_log = |path: &Path| path.ends_with("sessions.log");
    let without_log = |tree: Vec<(PathBuf, _)>| tree.into_iter().filter(|(path, _)| !is_log(path)).collect::<Vec<_>>();
    assert_eq!(without_log(desk.tree()), without_log(before));

    desk.enrol(" --remove-missing");
    assert!(!logs_in(address, &bob.0, &bob.1));
    assert!(logs_in(address, &ann.0, &ann.1));
    assert_eq!(fs::read(desk.class("root").join(&ann.0).join("own")).unwrap(), b"own");
    assert!(!desk.class("root").join(&bob.0).exists());
    let archived = fs::read_dir(desk.class("archive")).unwrap().next().unwrap().unwrap().path();
    assert!(archived.join("root").join(&bob.0).join("materials/readme.txt").exists());
}

#[test]
fn cards_are_text_and_private_and_new_ones_have_new_passwords() {
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    let cards = desk.read("cards.html");
    assert!(cards.contains("&lt;script&gt;") && !cards.contains("<script"), "{cards}");
    for file in ["cards.html", "credentials.csv", "students.csv", "accounts.toml", "secret", "classroom.toml"] {
        assert_eq!(fs::metadata(desk.class(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let (ann, bob) = (desk.login_of("0042"), desk.login_of("0043"));
    assert!(cards.contains(&format!("<dd>{}</dd>", ann.1)) && !desk.read("accounts.toml").contains(&ann.1));
    desk.done(&format!("cards class --student {} --address 192.0.2.5:2121 --credentials", ann.0));
    let new = desk.login_of("0042");
    let (_server, address) = desk.serve();
    assert!(!logs_in(address, &ann.0, &ann.1));
    assert!(logs_in(address, &new.0, &new.1) && logs_in(address, &bob.0, &bob.1));
    assert_eq!(desk.read("cards.html"), cards);
    let unknown = desk.run("cards class --student nobody --address 192.0.2.5:2121");
    assert!(!unknown.status.success());
}

/// As when the computer stopped between the list of students and their accounts.
#[test]
fn a_student_without_an_account_gets_one_at_the_next_run() {
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    let before = desk.login_of("0042");
    let mut remove = Command::new(LONGSHORE);
    remove.args(["user", "remove", &before.0, "--config"]).arg(desk.class("classroom.toml"));
    assert!(remove.status().unwrap().success());
    desk.enrol(" --credentials");
    let after = desk.login_of("0042");
    assert_eq!(before.0, after.0);
    assert_eq!(desk.rows("credentials.csv").len(), 1);
    let (_server, address) = desk.serve();
    assert!(logs_in(address, &after.0, &after.1));
}

#[test]
fn a_class_too_large_is_refused_before_anybody_is_in_it() {
    let names: String = (0..251).map(|number| format!("Student {number}\n")).collect();
    let desk = Desk::new(&names);
    let output = desk.run("new class --roster roster.csv --address 192.0.2.5:2121");
    assert!(String::from_utf8(output.stderr).unwrap().contains("at most 250 students"));
    assert!(!desk.class("students.csv").exists());
}

/// A session of a student, who has stored a file.
fn session(address: SocketAddr, (user, password): &(String, String), file: &str) -> Ftp {
    let mut ftp = Ftp::connect(address);
    ftp.login(user, password);
    ftp.put(format!("STOR {file}"), file.as_bytes());
    ftp
}

#[test]
fn the_end_of_a_lesson_keeps_students_out_and_ends_their_sessions() {
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    let (ann, bob) = (desk.login_of("0042"), desk.login_of("0043"));
    let (mut server, address) = desk.serve();
    let (mut anns, mut bobs) = (session(address, &ann, "own"), session(address, &bob, "own"));
    let text = desk.done(&format!("end class --student {}", ann.0));
    assert!(text.ends_with("sessions ended: 1\n"), "{text}");
    anns.read(421);
    bobs.lives();
    assert!(!logs_in(address, &ann.0, &ann.1) && logs_in(address, &bob.0, &bob.1));
    desk.done("end class");
    bobs.read(421);
    assert!(!logs_in(address, &bob.0, &bob.1));
    server.signal(Signal::KILL);
    server.wait();
    let text = desk.done("end class");
    assert!(text.contains("no session was ended (no server runs at"), "{text}");
}

#[test]
fn a_reset_moves_homes_to_the_archive_and_makes_them_anew() {
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    let (ann, bob) = (desk.login_of("0042"), desk.login_of("0043"));
    let (_server, address) = desk.serve();
    let mut anns = session(address, &ann, "own");
    drop(session(address, &ann, "handin/report"));
    drop(session(address, &bob, "own"));
    let asked = desk.run("reset class");
    let text = String::from_utf8(asked.stderr).unwrap();
    assert!(!asked.status.success() && text.contains("would move 3 files"), "{text}");
    let home = desk.class("root").join(&ann.0);
    assert!(home.join("own").exists());

    desk.done(&format!("reset class --yes --keep-handin --student {}", ann.0));
    anns.read(421);
    assert!(!home.join("own").exists() && home.join("materials/readme.txt").exists());
    assert_eq!(fs::read(home.join("handin/report")).unwrap(), b"handin/report");
    let archived = fs::read_dir(desk.class("archive")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(archived.join("root").join(&ann.0).join("own")).unwrap(), b"own");
    assert!(desk.class("root").join(&bob.0).join("own").exists(), "the other one's stays");
    drop(session(address, &ann, "new"));
    assert!(home.join("new").exists());

    let text = desk.done("reset class --yes");
    assert!(text.contains(": 2; "), "{text}");
    assert!(!home.join("handin/report").exists() && home.join("handin").is_dir());
    assert_eq!(desk.done("reset class"), "there was nothing to move\n");
}

#[test]
fn an_archived_class_has_lost_nothing_and_can_begin_again() {
    let desk = Desk::new(MOODLE);
    desk.enrol(" --credentials");
    let (ann, bob) = (desk.login_of("0042"), desk.login_of("0043"));
    let (mut server, address) = desk.serve();
    drop(session(address, &ann, "own"));
    drop(session(address, &bob, "handin/report"));
    fs::write(desk.class("journal.jsonl"), "{}\n").unwrap();
    let served = desk.run("archive class");
    assert!(String::from_utf8(served.stderr).unwrap().contains("stop its server first"));
    desk.done(&format!("archive class --student {}", ann.0));
    assert!(!logs_in(address, &ann.0, &ann.1) && logs_in(address, &bob.0, &bob.1));
    server.signal(Signal::KILL);
    server.wait();
    desk.done("archive class");
    let mut found = Vec::new();
    walk(&desk.class("archive"), &mut found);
    for (end, contents) in [
        (format!("root/{}/own", ann.0), "own".to_owned()),
        (format!("root/{}/handin/report", bob.0), "handin/report".to_owned()),
        ("journal.jsonl".to_owned(), "{}\n".to_owned()),
        ("students.csv".to_owned(), desk.read("students.csv")),
        ("secret".to_owned(), desk.read("secret")),
    ] {
        let is_there = |(path, bytes): &(PathBuf, Option<Vec<u8>>)| {
            path.ends_with(&end) && bytes.as_deref() == Some(contents.as_bytes())
        };
        assert!(found.iter().any(is_there), "{end}");
    }
    assert!(!desk.class("journal.jsonl").exists());
    assert_eq!(desk.done("archive class"), "there was nothing to move\n");
    desk.enrol("");
    assert!(desk.class("root").join(&ann.0).join("materials/readme.txt").exists());
}

const LESSON: &str = r#"
title = "Practice"
[[task]]
id = "C7"
title = "Delete"
ask = "Delete all but one."
points = 1
hint = ""
folder = { path = "/quest/clean", files = [{ name = "a.log" }, { name = "keep.me" }] }
need = [{ did = "delete", files = ["/quest/clean/a.log"] }]
"#;

#[test]
fn a_reset_makes_quest_folders_whole_and_moves_only_homes_with_something_of_the_students() {
    let desk = Desk::new(MOODLE);
    fs::create_dir(desk.class("")).unwrap();
    fs::write(desk.class("lesson.toml"), LESSON).unwrap();
    desk.enrol(" --credentials");
    let (ann, bob) = (desk.login_of("0042"), desk.login_of("0043"));
    let place = |user: &str, name: &str| desk.class("root").join(user).join("quest").join(name);
    let words = [&ann, &bob].map(|(user, _)| fs::read_to_string(place(user, "clean/a.log")).unwrap());
    assert_ne!(words[0], words[1]);
    let (_server, address) = desk.serve();
    let mut anns = session(address, &ann, "own");
    for file in ["a.log", "keep.me"] {
        anns.expect(250, format!("DELE /quest/clean/{file}"));
    }
    let mut bobs = Ftp::connect(address);
    bobs.login(&bob.0, &bob.1);
    bobs.expect(250, "DELE /quest/clean/a.log");

    let text = desk.done("reset class --yes");
    assert!(text.contains("homes moved to") && text.contains(": 1; "), "{text}");
    for (user, word) in [&ann.0, &bob.0].into_iter().zip(words) {
        assert_eq!(fs::read_to_string(place(user, "clean/a.log")).unwrap(), word);
        assert!(place(user, "clean/keep.me").exists());
    }
    assert!(!desk.class("root").join(&ann.0).join("own").exists());
    bobs.lives();
    assert_eq!(desk.done("reset class"), "there was nothing to move\n");
}

#[test]
fn a_faulty_lesson_is_named_before_anybody_is_enrolled() {
    let desk = Desk::new(MOODLE);
    fs::create_dir(desk.class("")).unwrap();
    fs::write(desk.class("lesson.toml"), LESSON.replace("points = 1", "points = 0")).unwrap();
    let output = desk.run("new class --roster roster.csv --address 192.0.2.5:2121");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("lesson.toml:3") && text.contains("0 points"), "{text}");
    assert!(!desk.class("students.csv").exists());
}

#[test]
fn a_demo_leaves_somebodys_own_class_alone() {
    let desk = Desk::new(MOODLE);
    desk.enrol("");
    let before = desk.tree();
    let output = desk.run("demo class --port 0");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("class is another class already; start it with"), "{text}");
    assert_eq!(desk.tree(), before);
}
