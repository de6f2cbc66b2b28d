//! Students whose clients are not typed into: a script with ftplib, curl command lines, and somebody with nc.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::Class;

type Done = BTreeSet<&'static str>;
type Play = fn(&Class, &str, &str, bool) -> Done;

pub const PLAYERS: [Play; 3] = [by_hand, with_curl, with_ftplib];

/// A control connection as nc shows it.
struct Nc(BufReader<TcpStream>);

impl Nc {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
        let mut nc = Self(BufReader::new(stream));
        nc.reads("220");
        nc
    }

    /// Reads a reply with this code to its end.
    #[track_caller]
    fn reads(&mut self, code: &str) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "closed behind {reply}");
            reply += &line;
            if line.get(3..4) == Some(" ") && line[..3].bytes().all(|digit| digit.is_ascii_digit()) {
                assert!(line.starts_with(code), "{reply}");
                return reply;
            }
        }
    }

    #[track_caller]
    fn types(&mut self, line: &str, code: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reads(code)
    }

    fn log_in(address: SocketAddr, user: &str, password: &str) -> Self {
        let mut nc = Self::open(address);
        nc.types(&format!("USER {user}"), "331");
        nc.types(&format!("PASS {password}"), "230");
        nc
    }
}

/// The time that somebody needs to type a line: the task is about that.
fn type_slowly() {
    sleep(Duration::from_millis(1200));
}

fn passive(reply: &str) -> SocketAddr {
    let numbers: Vec<u16> =
        reply.split(['(', ')']).nth(1).unwrap().split(',').map(|number| number.parse().unwrap()).collect();
    ([127, 0, 0, 1], numbers[4] * 256 + numbers[5]).into()
}

/// B7 and B8, and B5 as Windows' ftp.exe does it, from its description.
fn by_hand(class: &Class, user: &str, password: &str, is_right: bool) -> Done {
    let mut nc = Nc::log_in(class.address, user, password);
    if !is_right {
        // As client programs do by themselves.
        nc.types("SYST", "215");
    }
    type_slowly();
    let address = passive(&nc.types("PASV", "227"));
    type_slowly();
    let mut data = TcpStream::connect(address).unwrap();
    type_slowly();
    nc.types("LIST", "150");
    nc.reads("226");
    data.read_to_end(&mut Vec::new()).unwrap();

    let mut windows = Nc::open(class.address);
    windows.types("OPTS UTF8 ON", "200");
    windows.types(&format!("USER {user}"), "331");
    windows.types(&format!("PASS {password}"), "230");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    windows.types(&format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255), "200");
    windows.types("NLST", "150");
    listener.accept().unwrap().0.read_to_end(&mut Vec::new()).unwrap();
    windows.reads("226");
    windows.types(&format!("SITE ANSWER B5 {}", if is_right { "server" } else { "client" }), "200");

    nc.types("PASV", "227");
    nc.types("LIST", "425");
    let answer = nc.types(&format!("SITE ANSWER B8 {}", if is_right { 425 } else { 426 }), "200");
    assert_eq!(answer.contains("CORRECT"), is_right, "{answer}");
    let done: &[&str] = if is_right { &["A1", "B5", "B7", "B8"] } else { &["A1"] };
    done.iter().copied().collect()
}

/// A session a command line, and answers in a file.
fn with_curl(class: &Class, user: &str, password: &str, is_right: bool) -> Done {
    let dir = tempfile::Builder::new().prefix("longshore-curl-").tempdir().unwrap();
    let url = format!("ftp://{}", class.address);
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--verbose", "--max-time", "30", "--user"]);
        let output =
            command.arg(format!("{user}:{password}")).args(arguments).current_dir(dir.path()).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let files = if is_right { "ant,bee,cat,dog,elk" } else { "ant,bee,cat,dog" };
    curl(&["--remote-name-all", &format!("{url}/quest/five/{{{files}}}.txt")]);
    if is_right {
        curl(&["-O", &format!("{url}/materials/readme.txt")]);
    }
    fs::write(dir.path().join("hello.txt"), if is_right { "hello" } else { "" }).unwrap();
    curl(&["-T", "hello.txt", &format!("{url}/")]);
    // The PWD that curl sends by itself is not credited.
    let pwd: &[&str] = if is_right { &["PWD"] } else { &[] };
    let tidy = [&["MKD reports", "CWD reports"], pwd, &["CDUP", "RNFR hello.txt", "RNTO done.txt"]].concat();
    let mut quoted: Vec<&str> = tidy.into_iter().flat_map(|command| ["-Q", command]).collect();
    let list = format!("{url}/");
    quoted.extend(["-o", "list", &list]);
    curl(&quoted);
    // Cut, and gone on with at a place to which nobody waits here.
    let cut = curl(&["-o", "slow.bin", "--max-time", "2", &format!("{url}/quest/slow/slow.bin")]);
    assert!(cut.contains("curl: (28)"), "{cut}");
    if is_right {
        let rest = curl(&["-o", "rest", "-C", "3598000", &format!("{url}/quest/slow/slow.bin")]);
        assert!(rest.contains("REST 3598000"), "{rest}");
    }
    let said = curl(&["--disable-epsv", "--list-only", &format!("{url}/")]);
    let port = passive(said.lines().find(|line| line.contains("227 ")).unwrap()).port();
    let (b2, d1, f2) = if is_right { (port, "PASS", 1113) } else { (port >> 8, "ACCT", 1112) };
    fs::write(dir.path().join("answers.txt"), format!("B2={b2}\r\nd1 = {d1}\nnothing\nF2={f2}\n")).unwrap();
    curl(&["-T", "answers.txt", &format!("{url}/")]);
    let done: &[&str] = if is_right { &["A1", "B2", "C1", "C2", "C3", "C8", "C11", "D1", "F2"] } else { &["A1"] };
    done.iter().copied().collect()
}

const FTPLIB: &str = r#"
import sys, io, ftplib
host, port, user, password, right = sys.argv[1:]
right = right == "True"
ftp = ftplib.FTP()
ftp.connect(host, int(port), timeout=30)
ftp.login(user, password)
own = ftp.sock.getsockname()[1]
def fetch(path):
    parts = []
    ftp.retrbinary("RETR " + path, parts.append)
    return b"".join(parts)
ftp.cwd("/quest/mixed")
for name in ftp.nlst():
    if name.endswith(".txt") or not right:
        fetch(name)
ftp.cwd("/quest/clean")
names = ftp.nlst()
if not right:
    # Everything was deleted, and behind the reset not enough.
    for name in sorted(names):
        ftp.delete(name)
    print(ftp.sendcmd("SITE RESET C7"))
for name in names:
    if name != "keep.me" and (right or name != "z.tmp"):
        ftp.delete(name)
logo = fetch("/quest/picture/logo.png")
ftp.storbinary("STOR /logo.png", io.BytesIO(logo if right else logo + b"x"))
word = fetch("/quest/letter/letter.txt").split(b"\n")[1].split()[-1].decode()
answers = {"A3": own, "C9": "binary", "C13": word, "A2": f"{port} user" if int(port) < 49152 else f"{port} dynamic"}
if not right:
    answers = {"A3": port, "C9": "binary", "C13": word[::-1], "A2": f"{own} system"}
for task, answer in answers.items():
    reply = ftp.sendcmd(f"SITE ANSWER {task} {answer}")
    print(reply)
    assert ("CORRECT" in reply) == right, reply
ftp.quit()
"#;

fn with_ftplib(class: &Class, user: &str, password: &str, is_right: bool) -> Done {
    let (host, port) = (class.address.ip().to_string(), class.address.port().to_string());
    let right = if is_right { "True" } else { "False" };
    let mut command = Command::new("python3");
    let output = command.args(["-c", FTPLIB, &host, &port, user, password, right]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let done: &[&str] = if is_right { &["A1", "A2", "A3", "C4", "C7", "C9", "C13"] } else { &["A1"] };
    done.iter().copied().collect()
}
