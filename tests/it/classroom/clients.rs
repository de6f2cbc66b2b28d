//! The lesson done with real clients: one student does the tasks right, another nearly right, with the same program.

use std::fs;
use std::process::Command;

use super::lab::Lab;
use crate::clients::{Client, client};

/// Who does it right, and nearly right.
const ANN: usize = 0;
const BOB: usize = 1;

/// What all clients can do. C8 needs a PWD that reaches the server.
const TASKS: [&str; 9] = ["A2", "C1", "C2", "C3", "C4", "C6", "C7", "C8", "C9"];

/// Plays the lesson as both, and looks at the marks.
fn play(name: &str, right: impl Fn(&Client, &Lab, usize), nearly: impl Fn(&Client, &Lab, usize)) {
    // Each has a computer.
    let (Some(anns), Some(bobs)) = (client(name), client(name)) else { return };
    let lab = Lab::new(2);
    for (student, client, play) in [(ANN, anns, &right as &dyn Fn(&Client, &Lab, usize)), (BOB, bobs, &nearly)] {
        client.write("hello.txt", "harbour\n");
        client.write("empty.txt", "");
        client.write("logo.png", fs::read(lab.home(student, "quest/picture/logo.png")).unwrap());
        unpack(&client, &lab, student);
        play(&client, &lab, student);
    }
    lab.has_done(ANN, &TASKS);
    lab.has_done(BOB, &["A1"]);
    lab.has_not_done(BOB, &TASKS);
}

/// As a student does with pack.zip.
fn unpack(client: &Client, lab: &Lab, student: usize) {
    const PROGRAM: &str = "import sys, zipfile\nzipfile.ZipFile(sys.argv[1]).extractall('pack')";
    let archive = lab.home(student, "quest/pack/pack.zip");
    let status = Command::new("python3").args(["-c", PROGRAM]).arg(archive).current_dir(client.path(".")).status();
    assert!(status.unwrap().success());
}

/// The commands of the clients that are called `ftp`.
fn classic(lab: &Lab) -> [String; 2] {
    let port = lab.address().port();
    let right = format!(
        "site ANSWER A2 {port} user\n\
         cd materials\nget readme.txt\n\
         cd /\nput hello.txt\n\
         cd /quest/five\nmget *\n\
         cd /quest/mixed\nmget *.txt\n\
         cd /quest/clean\nmdelete a.tmp b.tmp c.tmp z.tmp\n\
         cd /\nmkdir reports\ncd reports\npwd\ncd ..\nrename hello.txt done.txt\n\
         binary\nput logo.png\nsite ANSWER C9 binary\n\
         mkdir pack\ncd pack\nlcd pack\nmput *.txt\n\
         bye\n"
    );
    let nearly = format!(
        "site ANSWER A2 {port} system\n\
         get quest/letter/letter.txt readme.txt\n\
         put empty.txt hello.txt\n\
         cd /quest/five\nmget a* b* c* d*\n\
         cd /quest/mixed\nmget *\n\
         cd /quest/clean\nmdelete *\n\
         cd /\nmkdir reports\ncd reports\ncd ..\nrename hello.txt done.txt\n\
         ascii\nput logo.png\nsite ANSWER C9 ascii\n\
         mkdir pack\ncd pack\nlcd pack\nmput e* n* s*\n\
         bye\n"
    );
    [right, nearly]
}

fn ftp(name: &str, mode: &[&str]) {
    let run = |client: &Client, lab: &Lab, student: usize| {
        let mut command = client.command();
        let (user, password, address) = (lab.user(student), lab.password(student), lab.address());
        command.args(["-n", "-i", "-v"]).args(mode).arg(address.ip().to_string()).arg(address.port().to_string());
        client.run(&mut command, &format!("user {user} {password}\n{}", classic(lab)[student]));
    };
    play(name, run, run);
}

#[test]
fn tnftp() {
    ftp("tnftp", &[]);
}

#[test]
fn inetutils() {
    ftp("inetutils-ftp", &["-A"]);
}

#[test]
fn ftp_ssl() {
    ftp("ftp-ssl", &[]);
}

/// With the questions of mget and mdelete switched on, which are answered one by one.
#[test]
fn questions_can_be_answered_with_no() {
    let Some(client) = client("inetutils-ftp") else { return };
    let lab = Lab::new(2);
    for (student, answers) in [(ANN, "y\ny\nn\ny\ny\n"), (BOB, "y\ny\ny\ny\ny\n")] {
        let (user, password, address) = (lab.user(student), lab.password(student), lab.address());
        let mut command = client.command();
        command.args(["-n", "-v", "-p"]).arg(address.ip().to_string()).arg(address.port().to_string());
        client.run(&mut command, &format!("user {user} {password}\ncd /quest/choose\nmget *\n{answers}bye\n"));
    }
    lab.has_done(ANN, &["C5"]);
    lab.has_not_done(BOB, &["C5"]);
}

#[test]
fn lftp() {
    let run = |commands: &str| {
        let commands = commands.to_owned();
        move |client: &Client, lab: &Lab, student: usize| {
            let (user, password, address) = (lab.user(student), lab.password(student), lab.address());
            let script = format!(
                "set cmd:fail-exit yes\nset net:max-retries 2\nopen -u {user},{password} -p {} {}\n{}bye\n",
                address.port(),
                address.ip(),
                commands.replace("PORT", &address.port().to_string())
            );
            client.run(client.command().args(["-f", ".script"]), &script);
        }
    };
    let right = "site ANSWER A2 PORT user\n\
         cd /materials\nget readme.txt\n\
         cd /\nput hello.txt\n\
         cd /quest/five\nmget *\n\
         cd /quest/mixed\nmget *.txt\n\
         cd /quest/clean\nrm a.tmp b.tmp c.tmp z.tmp\n\
         cd /\nmkdir reports\ncd reports\nquote PWD\ncd ..\nmv hello.txt done.txt\n\
         put logo.png\nsite ANSWER C9 binary\n\
         mkdir pack\ncd pack\nlcd pack\nmput *.txt\n";
    let nearly = "site ANSWER A2 PORT system\n\
         put empty.txt -o hello.txt\n\
         cd /quest/five\nmget a* b* c* d*\n\
         cd /quest/mixed\nmget *\n\
         cd /quest/clean\nmrm *\n\
         cd /\nmkdir reports\ncd reports\ncd ..\nmv hello.txt done.txt\n\
         put logo.png\nsite ANSWER C9 ascii\n\
         mkdir pack\ncd pack\nlcd pack\nmput e* n* s*\n";
    play("lftp", run(right), run(nearly));
}

#[test]
fn ncftp() {
    let run = |commands: &str| {
        let commands = commands.to_owned();
        move |client: &Client, lab: &Lab, student: usize| {
            let (user, password, address) = (lab.user(student), lab.password(student), lab.address());
            let mut command = client.command();
            command.args(["-u", user, "-p", password, "-P", &address.port().to_string(), &address.ip().to_string()]);
            let commands = commands.replace("PORT", &address.port().to_string());
            client.run(&mut command, &format!("set confirm-close no\n{commands}bye\n"));
        }
    };
    let right = "site ANSWER A2 PORT user\n\
         cd /materials\nget readme.txt\n\
         cd /\nput hello.txt\n\
         cd /quest/five\nmget *\n\
         cd /quest/mixed\nmget *.txt\n\
         cd /quest/clean\nrm a.tmp b.tmp c.tmp z.tmp\n\
         cd /\nmkdir reports\ncd reports\nquote PWD\ncd ..\nrename hello.txt done.txt\n\
         put logo.png\nsite ANSWER C9 binary\n\
         mkdir pack\ncd pack\nlcd pack\nmput *.txt\n";
    let nearly = "site ANSWER A2 PORT system\n\
         put -z empty.txt hello.txt\n\
         cd /quest/five\nmget a* b* c* d*\n\
         cd /quest/mixed\nmget *\n\
         cd /quest/clean\nrm *\n\
         cd /\nmkdir reports\ncd reports\ncd ..\nrename hello.txt done.txt\n\
         put logo.png\nsite ANSWER C9 ascii\n\
         mkdir pack\ncd pack\nlcd pack\nmput e* n* s*\n";
    play("ncftp", run(right), run(nearly));
}

#[test]
fn curl() {
    let run = |client: &Client, lab: &Lab, student: usize, arguments: &[&str]| {
        let mut command = client.command();
        command.args(["--silent", "--show-error", "--fail", "--max-time", "30", "--disable-epsv"]);
        command.args(["--user", &format!("{}:{}", lab.user(student), lab.password(student))]);
        let url = format!("ftp://{}", lab.address());
        command.args(arguments.iter().map(|argument| argument.replace("URL", &url)));
        client.run(&mut command, "");
    };
    let (remote, nowhere) = (["--remote-name-all"], "--output");
    let quoted =
        |commands: &[String]| commands.iter().flat_map(|line| ["-Q".to_owned(), line.clone()]).collect::<Vec<_>>();
    let quote = |client: &Client, lab: &Lab, student: usize, commands: &[&str]| {
        let commands: Vec<String> = commands.iter().map(|&line| line.to_owned()).collect();
        let words = quoted(&commands);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(client, lab, student, &[&words[..], &["URL/", nowhere, "list"]].concat());
    };
    play(
        "curl",
        |client, lab, student| {
            let port = lab.address().port();
            quote(client, lab, student, &[&format!("SITE ANSWER A2 {port} user")]);
            run(client, lab, student, &[&remote[..], &["URL/materials/readme.txt"]].concat());
            run(client, lab, student, &["--upload-file", "hello.txt", "URL/"]);
            run(client, lab, student, &[&remote[..], &["URL/quest/five/{ant,bee,cat,dog,elk}.txt"]].concat());
            run(client, lab, student, &[&remote[..], &["URL/quest/mixed/{april,june,may}.txt"]].concat());
            let delete = ["a", "b", "c", "z"].map(|name| format!("DELE quest/clean/{name}.tmp"));
            quote(client, lab, student, &delete.each_ref().map(String::as_str));
            let tidy = ["MKD reports", "CWD reports", "PWD", "CDUP", "RNFR hello.txt", "RNTO done.txt"];
            quote(client, lab, student, &tidy);
            run(client, lab, student, &["--upload-file", "logo.png", "URL/"]);
            quote(client, lab, student, &["SITE ANSWER C9 binary"]);
            run(client, lab, student, &["--ftp-create-dirs", "-T", "pack/{east,north,south,west}.txt", "URL/pack/"]);
        },
        |client, lab, student| {
            let port = lab.address().port();
            quote(client, lab, student, &[&format!("SITE ANSWER A2 {port} system")]);
            run(client, lab, student, &["--upload-file", "empty.txt", "URL/hello.txt"]);
            run(client, lab, student, &[&remote[..], &["URL/quest/five/{ant,bee,cat,dog}.txt"]].concat());
            let all = "URL/quest/mixed/{april.txt,august.log,july.log,june.txt,may.txt}";
            run(client, lab, student, &[&remote[..], &[all]].concat());
            let delete = ["a.tmp", "b.tmp", "c.tmp", "keep.me", "z.tmp"].map(|name| format!("DELE quest/clean/{name}"));
            quote(client, lab, student, &delete.each_ref().map(String::as_str));
            // Its own PWD behind the login is not credited.
            quote(client, lab, student, &["MKD reports", "CWD reports", "CDUP", "RNFR hello.txt", "RNTO done.txt"]);
            run(client, lab, student, &["--use-ascii", "--upload-file", "logo.png", "URL/"]);
            quote(client, lab, student, &["SITE ANSWER C9 binary"]);
            run(client, lab, student, &["--ftp-create-dirs", "-T", "pack/{east,north,south}.txt", "URL/pack/"]);
        },
    );
}

#[test]
fn ftplib() {
    const PROGRAM: &str = r#"
import ftplib, io, sys
host, port, user, password, kind = sys.argv[1:]
right = kind == "0"
ftp = ftplib.FTP(timeout=10)
ftp.connect(host, int(port))
ftp.login(user, password)
def answer(task, text):
    reply = ftp.sendcmd(f"SITE ANSWER {task} {text}")
    assert reply.startswith("200 CORRECT" if right else "200 TRY-AGAIN"), reply
def get(names):
    for name in names:
        ftp.retrbinary("RETR " + name, lambda block: None)
def put(name, path):
    with open(name, "rb") as file:
        ftp.storbinary("STOR " + path, file)
answer("A2", f"{port} {'user' if right else 'system'}")
if right:
    get(["/materials/readme.txt"])
put("hello.txt" if right else "empty.txt", "/hello.txt")
ftp.cwd("/quest/five")
get(ftp.nlst("*")[: 5 if right else 4])
ftp.cwd("/quest/mixed")
get(ftp.nlst("*.txt" if right else "*"))
ftp.cwd("/quest/clean")
for name in ftp.nlst("*"):
    if name != "keep.me" or not right:
        ftp.delete(name)
ftp.cwd("/")
ftp.mkd("reports")
ftp.cwd("reports")
if right:
    assert ftp.pwd() == "/reports"
ftp.cwd("..")
ftp.rename("hello.txt", "done.txt")
put("logo.png", "/logo.png")
answer("C9", "binary" if right else "ascii")
ftp.mkd("pack")
for name in ["east", "north", "south", "west"][: 4 if right else 3]:
    put(f"pack/{name}.txt", f"/pack/{name}.txt")
ftp.quit()
"#;
    let run = |client: &Client, lab: &Lab, student: usize| {
        let mut command = client.command();
        let (address, port) = (lab.address().ip().to_string(), lab.address().port().to_string());
        command.args(["-c", PROGRAM, &address, &port, lab.user(student), lab.password(student), &student.to_string()]);
        client.run(&mut command, "");
    };
    play("python3", run, run);
}
