//! Who may do what: every verb against every preset, rules by path, links, and what who may only add gets to see.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{XattrFlags, setxattr};

use crate::fixture::{Server, left_out};
use crate::ftp::Ftp;

/// Presets, in the order of the columns of [`MATRIX`].
const PRESETS: [&str; 5] = ["read-only", "read-write", "add-only", "hand-in", "none"];

/// Each verb that touches files, and whether each preset lets it. `add-only` and `hand-in` see no file of others, so
/// their looks fail.
const MATRIX: [(&str, [bool; 5]); 30] = [
    ("CWD dir", [true, true, true, true, false]),
    ("XCWD dir", [true, true, true, true, false]),
    ("CDUP", [true, true, true, true, false]),
    ("XCUP", [true, true, true, true, false]),
    ("LIST", [true, true, true, true, false]),
    ("NLST", [true, true, true, true, false]),
    ("MLSD", [true, true, true, true, false]),
    ("LIST file", [true, true, false, false, false]),
    ("NLST f*", [true, true, false, false, false]),
    ("STAT file", [true, true, false, false, false]),
    ("MLST file", [true, true, false, false, false]),
    ("SIZE file", [true, true, false, false, false]),
    ("MDTM file", [true, true, false, false, false]),
    ("RETR file", [true, true, false, false, false]),
    ("HASH file", [true, true, false, false, false]),
    ("XMD5 file", [true, true, false, false, false]),
    ("XSHA256 file", [true, true, false, false, false]),
    ("STOR new", [false, true, true, true, false]),
    ("APPE new", [false, true, true, false, false]),
    ("STOU", [false, true, true, true, false]),
    ("STOR file", [false, true, false, true, false]),
    ("APPE file", [false, true, false, false, false]),
    ("MFMT 20260102030405 file", [false, true, false, false, false]),
    ("SITE UTIME 20260102030405 file", [false, true, false, false, false]),
    ("SITE CHMOD 600 file", [false, true, false, false, false]),
    ("MKD new", [false, true, false, false, false]),
    ("XMKD new", [false, true, false, false, false]),
    ("RMD empty", [false, true, false, false, false]),
    ("RNFR file", [false, true, false, false, false]),
    ("DELE file", [false, true, false, false, false]),
];

/// Whether the server does what `line` says; transfers run to their end.
fn does(ftp: &mut Ftp, line: &str) -> bool {
    let verb = line.split(' ').next().unwrap();
    let sends = matches!(verb, "STOR" | "APPE" | "STOU");
    if !sends && !matches!(verb, "RETR" | "LIST" | "NLST" | "MLSD") {
        let reply = ftp.command(line);
        assert!(reply.code < 400 || reply.code == 550, "{line}: {reply:?}");
        return reply.code < 400;
    }
    let mut data = ftp.passive();
    let reply = ftp.command(line);
    if reply.code != 150 {
        assert_eq!(reply.code, 550, "{line}: {reply:?}");
        return false;
    }
    if sends {
        ftp.write_data(&mut data, b"sent");
        drop(data);
    } else {
        ftp.drain(data);
    }
    ftp.read(226);
    true
}

fn server(permissions: &[(&str, &str)]) -> Server {
    let mut builder = Server::builder().anonymous("off");
    for (name, rights) in permissions {
        builder = builder.account_with(name, "x", &format!("permissions = {rights}"));
    }
    builder.start()
}

fn login(server: &Server, name: &str) -> Ftp {
    let mut ftp = Ftp::connect(server.address());
    ftp.login(name, "x");
    ftp
}

/// Verbs that say nothing of files, or only where a transfer goes on and how it is done.
const OTHERS: &str = "ABOR ACCT ALLO AUTH CCC CLNT EPRT EPSV FEAT HELP HOST MODE NOOP OPTS PASS PASV PBSZ PORT PROT PWD \
                      QUIT REIN REST STRU SYST TYPE USER XPWD";

#[test]
fn the_matrix_has_every_verb() {
    let server = Server::start();
    let mut known: Vec<&str> = MATRIX.iter().map(|(line, _)| line.split(' ').next().unwrap()).collect();
    // The other half of RNFR, and XRMD, which is RMD by another name.
    known.extend(OTHERS.split_whitespace().chain(["RNTO", "XRMD"]));
    let served = Ftp::connect(server.address()).expect(214, "HELP").middle().join(" ");
    let missing: Vec<_> = served.split_whitespace().filter(|verb| !known.contains(verb)).collect();
    assert!(served.contains("STOR") && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_verb_keeps_to_every_preset() {
    let quoted = PRESETS.map(|preset| format!("{preset:?}"));
    let accounts: Vec<(&str, &str)> = PRESETS.into_iter().zip(quoted.iter().map(String::as_str)).collect();
    let server = server(&accounts);
    for (column, preset) in PRESETS.into_iter().enumerate() {
        let mut ftp = login(&server, preset);
        for (line, allowed) in MATRIX {
            for name in server.names("") {
                let path = server.path(name);
                let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
            }
            server.write("file", "contents");
            server.write("dir/inner", "contents");
            std::fs::create_dir(server.path("empty")).unwrap();
            let before = server.names("");
            assert_eq!(does(&mut ftp, line), allowed[column], "{line} for {preset}");
            if !allowed[column] {
                assert_eq!(server.names(""), before, "{line} for {preset}");
                assert_eq!(server.read("file"), b"contents", "{line} for {preset}");
            }
            // Where CWD was allowed. Who may not list stays at home anyway.
            ftp.command("CWD /");
        }
        ftp.lives();
    }
}

/// Both names of RNTO count, and so does what it would replace.
#[test]
fn renaming_needs_both_names() {
    let server = server(&[(
        "ann",
        r#"{ "/" = "read-write", "/in" = ["list", "create"], "/out" = ["list", "read", "delete", "rename"], "/keep" = ["list", "create", "rename"], "/deep/x" = "none" }"#,
    )]);
    for file in ["file", "in/old", "out/file", "keep/file", "deep/x/secret", "plain/file"] {
        server.write(file, "x");
    }
    let mut ftp = login(&server, "ann");
    for (from, to, done) in [
        ("in/old", "new", false),
        ("out/file", "in/old", false),
        ("file", "out/new", false),
        ("out/file", "in/new", true),
        // Elsewhere it could be read, and the directory itself would be free of its rule.
        ("keep/file", "stolen", false),
        ("keep", "free", false),
        ("keep/file", "keep/same", true),
        ("file", "deep/x/file", false),
        // What is below would come to stand under other rules.
        ("deep", "shallow", false),
        ("plain", "deep/x", false),
        ("plain", "simple", true),
    ] {
        let found = ftp.command(format!("RNFR {from}"));
        let code = if found.code == 350 { ftp.command(format!("RNTO {to}")).code } else { found.code };
        assert_eq!(code, if done { 250 } else { 550 }, "{from} to {to}");
    }
    assert!(server.has("deep/x/secret") && server.has("in/new") && server.has("simple/file"));
}

#[test]
fn the_longest_pattern_decides_and_what_is_closed_is_not_shown() {
    let server = server(&[(
        "ann",
        r#"{ "/" = "read-only", "/incoming" = "read-write", "/incoming/*.tmp" = "none", "/hidden" = "none" }"#,
    )]);
    for file in ["a", "incoming/b", "incoming/c.tmp", "hidden/d"] {
        server.write(file, "x");
    }
    let mut ftp = login(&server, "ann");
    assert_eq!(ftp.list("NLST"), ["a", "incoming"]);
    assert_eq!(ftp.list("NLST *"), ["a", "incoming"]);
    assert_eq!(ftp.list("NLST */*"), ["incoming/b"]);
    assert_eq!(ftp.list("LIST incoming").len(), 1);
    ftp.refused(550, "NLST hidden/*");
    ftp.refused(550, "NLST incoming/c.*");
    ftp.refused(550, "RETR hidden/d");
    ftp.refused(550, "RETR incoming/c.tmp");
    ftp.expect(550, "CWD hidden");
    ftp.refused(550, "STOR incoming/new.tmp");
    ftp.put("STOR incoming/new", b"x");
    ftp.refused(550, "STOR new");
    // MLSD says what holds there, and hides the same.
    let facts = ftp.list("MLSD incoming");
    let perm = |name: &str| {
        let line = facts.iter().find(|line| line.ends_with(&format!(" {name}"))).unwrap_or_else(|| panic!("{facts:?}"));
        line.split(';').find_map(|fact| fact.strip_prefix("perm=")).unwrap().to_owned()
    };
    assert_eq!((perm("b"), perm("..")), ("adfrw".to_owned(), "el".to_owned()));
    assert!(!facts.iter().any(|line| line.ends_with("c.tmp")), "{facts:?}");
    let entry = ftp.expect(250, "MLST incoming").middle().join("");
    assert!(entry.contains("perm=cdeflmp;"), "{entry}");
}

/// Who may not list a place cannot ask an upload what is in it either: neither names nor sizes.
#[test]
fn refused_uploads_tell_nothing_of_what_is_there() {
    let server = Server::builder()
        .file("closed/secret", "12345")
        .file("closed/folder/x", "x")
        .file("open/read", "12345")
        .anonymous("off")
        .account_with("ann", "x", r#"permissions = { "/" = "read-only", "/closed" = "none" }"#)
        .start();
    let mut ftp = login(&server, "ann");
    for rest in [0, 10] {
        for verb in ["STOR", "APPE"] {
            let mut answers = ["secret", "folder", "missing", "missing/x", "folder/x", "secret/x"].map(|name| {
                let _data = ftp.passive();
                ftp.expect(350, format!("REST {rest}"));
                let reply = ftp.command(format!("{verb} closed/{name}"));
                (reply.code, reply.text().replace(name, "NAME"))
            });
            answers.sort();
            assert_eq!(answers.first(), answers.last(), "{verb} from {rest} on tells what is there");
            assert_eq!(answers[0].0, 550);
        }
    }
}

/// A link gives nobody more than the place that it leads to, nor more than its own.
#[test]
fn rules_hold_where_links_lead() {
    let server = server(&[("ann", r#"{ "/" = "read-only", "/open" = "read-write", "/closed" = "none" }"#)]);
    for file in ["open/x", "closed/secret", "read/x"] {
        server.write(file, "x");
    }
    for (target, link) in
        [("../closed", "open/dir"), ("../closed/secret", "open/file"), ("../read", "open/read"), ("open", "way")]
    {
        symlink(target, server.path(link)).unwrap();
    }
    let mut ftp = login(&server, "ann");
    assert_eq!(ftp.list("NLST open"), ["open/read", "open/x"], "what leads to a closed place is not shown");
    ftp.refused(550, "RETR open/dir/secret");
    ftp.refused(550, "RETR open/file");
    ftp.refused(550, "LIST open/dir");
    ftp.expect(550, "CWD open/dir");
    ftp.expect(550, "MKD open/dir/new");
    ftp.expect(550, "SIZE open/file");
    ftp.refused(550, "STOR open/file");
    ftp.refused(550, "STOR open/read/new");
    ftp.expect(550, "DELE open/read/x");
    assert_eq!(ftp.get("RETR open/read/x"), b"x");
    ftp.refused(550, "STOR way/new");
    ftp.put("STOR open/new", b"x");
    // The link itself may go where links may be deleted.
    ftp.expect(250, "DELE open/file");
    assert!(server.has("closed/secret") && server.has("read/x"));
}

/// A file that takes the place of a link changes the directory that the link is in, wherever the link leads.
#[test]
fn a_link_to_an_open_place_opens_no_closed_directory() {
    let server = server(&[("ann", r#"{ "/" = "read-write", "/closed" = "read-only" }"#)]);
    server.write("closed/x", "x");
    server.write("new", "new");
    symlink("closed", server.path("way")).unwrap();
    symlink("../open", server.path("closed/link")).unwrap();
    server.write("open", "open");
    let mut ftp = login(&server, "ann");
    ftp.expect(350, "RNFR new");
    ftp.expect(550, "RNTO way/link");
    assert!(server.path("closed/link").is_symlink() && server.has("new"));
    // To write through it changes what it leads to.
    ftp.put("STOR way/link", b"more");
    assert_eq!(server.read("open"), b"more");
}

fn keeps_owners(directory: &Path) -> bool {
    let kept = setxattr(directory, c"user.longshore.test", b"x", XattrFlags::empty()).is_ok();
    if !kept {
        left_out("the file system of temporary files has no extended attributes; who uploaded what was not tested");
    }
    kept
}

#[test]
fn who_may_only_add_sees_their_own_uploads_also_after_a_restart() {
    let mut server = server(&[("ann", r#""add-only""#), ("bob", r#""add-only""#), ("eve", r#""read-write""#)]);
    server.write("theirs", "x");
    server.write("dir/theirs", "x");
    let kept = keeps_owners(&server.path(""));
    login(&server, "ann").put("STOR anns", b"1");
    login(&server, "ann").put("STOR dir/deep", b"1");
    login(&server, "bob").put("STOR bobs", b"22");
    login(&server, "eve").put("STOR eves", b"333");
    server.kill_and_start_again();
    if kept {
        let mut ftp = login(&server, "ann");
        assert_eq!(ftp.list("NLST"), ["anns"]);
        assert_eq!(ftp.list("NLST *"), ["anns"]);
        assert_eq!(ftp.list("NLST dir"), ["dir/deep"]);
        assert_eq!(ftp.list("LIST").len(), 1);
        assert!(ftp.expect(213, "SIZE anns").text().ends_with(" 1"));
        for other in ["bobs", "eves", "theirs", "missing"] {
            let told = ftp.expect(550, format!("SIZE {other}")).text();
            assert_eq!(told, format!("550 There is no file or directory /{other}."), "{other}");
        }
        for verb in ["MLSD", "CWD", "LIST", "MLST", "MDTM"] {
            let told = ["theirs", "missing"].map(|name| {
                let _data = ftp.passive();
                ftp.expect(550, format!("{verb} {name}")).text().replace(name, "NAME")
            });
            assert_eq!(told[0], told[1], "{verb} tells what is there");
        }
        ftp.refused(550, "RETR anns");
        assert_eq!(login(&server, "bob").list("NLST"), ["bobs"]);
        // A file that somebody else has put in its place is theirs.
        login(&server, "eve").put("STOR anns", b"4444");
        assert!(ftp.list("NLST").is_empty());
    }
    assert_eq!(login(&server, "eve").list("NLST").len(), 5);
}

#[test]
fn what_is_handed_in_is_kept_whole_with_its_versions() {
    let server = server(&[("ann", r#"{ "/" = "read-write", "/handin" = "hand-in" }"#)]);
    std::fs::create_dir(server.path("handin")).unwrap();
    let mut ftp = login(&server, "ann");
    for (attempt, kept, contents) in
        [(1, "report.txt", "a\r\nb"), (2, "report (2).txt", "a\r\n"), (3, "report (3).txt", "")]
    {
        ftp.expect(200, "TYPE A");
        let mut data = ftp.passive();
        let opening = ftp.expect(150, "STOR handin/report.txt").text();
        assert!(opening.ends_with(&format!(" {kept}.")), "{opening}");
        ftp.write_data(&mut data, contents.as_bytes());
        drop(data);
        let told = ftp.read(226).text();
        // As it is stored, with this system's line ends.
        let stored = server.read(&format!("handin/{kept}"));
        assert_eq!(stored, contents.replace('\r', "").as_bytes());
        let digest = sha256(&server.path(format!("handin/{kept}")));
        let bytes = stored.len();
        assert_eq!(told, format!("226 Received report.txt, {bytes} bytes, sha256 {digest}, attempt {attempt}."));
        let event = server.event_where("transfer", |event| event["path"] == format!("/handin/{kept}"));
        assert_eq!(event["sha256"], digest, "the receipt and the record say the same");
    }
    ftp.expect(200, "TYPE I");
    ftp.refused(550, "APPE handin/report.txt");
    ftp.expect(350, "REST 1");
    ftp.refused(550, "STOR handin/report.txt");
    ftp.refused(550, "RETR handin/report.txt");
    ftp.refused(550, "DELE handin/report.txt");
    // Of a broken one nothing stays, under whatever name it came.
    for verb in ["STOR handin/report.txt", "STOU"] {
        ftp.expect(250, if verb == "STOU" { "CWD handin" } else { "CWD /" });
        let mut data = ftp.open(verb);
        ftp.write_data(&mut data, b"half a rep");
        crate::ftp::reset(data);
        ftp.read(426);
    }
    assert_eq!(server.names("handin"), ["report (2).txt", "report (3).txt", "report.txt"]);
}

/// As the system's own program says.
fn sha256(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().unwrap();
    // A name with a space in it is not escaped.
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn guests_who_may_only_add_see_nothing() {
    let server = Server::builder().anonymous("add-only").transfer("sha256 = true").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR new", b"x");
    // What the server puts on record is no business of the account's rights.
    assert!(server.event("transfer")["sha256"].is_string());
    assert!(ftp.list("NLST").is_empty());
    ftp.refused(550, "STOR new");
    ftp.expect(350, "REST 100");
    let _data = ftp.passive();
    let told = ftp.expect(550, "STOR new").text();
    assert_eq!(told, "550 This account may not upload to /new from byte 100 on.", "the size is told");
    ftp.refused(550, "RETR new");
    assert_eq!(server.read("new"), b"x");
}

/// Who sees no file of others learns no size of theirs by trying offsets either.
#[test]
fn an_offset_that_is_refused_tells_no_size() {
    let server = server(&[("ann", r#""add-only""#)]);
    server.write("theirs", "12345");
    let mut ftp = login(&server, "ann");
    let mut told = [1, 4, 5, 6].map(|offset| {
        ftp.expect(350, format!("REST {offset}"));
        ftp.refused(550, "STOR theirs").text().replace(&format!("byte {offset} "), "byte N ")
    });
    told.sort();
    assert_eq!(told.first(), told.last());
}

#[test]
fn the_welcome_says_what_may_be_done() {
    let server = server(&[("ann", r#""add-only""#), ("bob", r#"{ "/" = ["list"], "/in" = "add-only" }"#)]);
    for (name, may) in [("ann", "upload new files."), ("bob", "list; some paths have rules of their own.")] {
        let mut ftp = Ftp::connect(server.address());
        ftp.expect(331, format!("USER {name}"));
        assert_eq!(ftp.expect(230, "PASS x").text(), format!("230 Welcome, {name}. You may {may}"));
    }
}

/// A file with one group and a user on each of its terms; `x` is everybody's password.
fn server_with_terms() -> Server {
    Server::builder()
        .anonymous("off")
        .account_with("off", "x", "enabled = false")
        .account_with("old", "x", "expires = \"2001-02-03\"")
        .account_with("far", "x", "allow_from = [\"192.0.2.0/24\", \"2001:db8::/32\"]")
        .account_with("near", "x", "allow_from = [\"127.0.0.0/8\", \"::1\"]\nexpires = \"9999-12-31\"")
        .start()
}

/// Clients are told one sentence, the log says which it was.
#[test]
fn terms_are_kept_and_only_the_log_tells_which() {
    let server = server_with_terms();
    let mut told = Vec::new();
    for (user, password, outcome) in [
        ("off", "x", "disabled"),
        ("old", "x", "expired"),
        ("far", "x", "not_from_here"),
        ("far", "y", "wrong_password"),
        ("nobody", "x", "unknown_user"),
    ] {
        let mut ftp = Ftp::connect(server.address());
        ftp.expect(331, format!("USER {user}"));
        told.push(ftp.expect(530, format!("PASS {password}")).text());
        server.event_where("login", |event| event["outcome"] == outcome);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    login(&server, "near").lives();
}

#[test]
fn groups_give_their_users_what_these_do_not_say() {
    let server = Server::builder()
        .anonymous("off")
        .account_with("ann", "x", "group = \"class\"")
        .account_with("bob", "x", "group = \"class\"\npermissions = \"read-write\"\nenabled = true")
        .account_with("eve", "x", "group = \"class\"\nenabled = false")
        .accounts_text("[[group]]\nname = \"class\"\npermissions = \"read-only\"\nhome = \"class\"\n")
        .file("class/lesson", "x")
        .start();
    let mut ann = login(&server, "ann");
    assert_eq!(ann.list("NLST"), ["lesson"]);
    ann.refused(550, "STOR new");
    login(&server, "bob").put("STOR new", b"x");
    assert!(server.has("class/new"));
    let mut eve = Ftp::connect(server.address());
    eve.expect(331, "USER eve");
    eve.expect(530, "PASS x");
}

/// The group of this name says of guests what others say of their users.
#[test]
fn guests_have_a_group_of_their_own() {
    let server = Server::builder()
        .anonymous("read-only")
        .account_with("ann", "x", "home = \"ann\"")
        .accounts_text(
            "[[group]]\nname = \"anonymous\"\nhome = \"pub\"\nquota_bytes = 1000\nmax_sessions = 1\n\
             permissions = { \"/\" = \"read-only\", \"/incoming\" = \"add-only\" }\n",
        )
        .file("ann/letter", "x")
        .file("pub/incoming/first", "x")
        .start();
    let mut guest = Ftp::anonymous(&server);
    assert_eq!(guest.list("NLST"), ["incoming"]);
    guest.put("STOR incoming/new", b"x");
    guest.refused(550, "STOR new");
    assert!(guest.expect(200, "SITE QUOTA").text().contains(" of 1000 bytes"));
    let mut second = Ftp::connect(server.address());
    second.expect(331, "USER ftp");
    assert!(second.expect(530, "PASS x").text().contains("anonymous has as many sessions as it may have: 1."));
    drop(guest);
    server.event("session_closed");
    // What is changed holds at the next login.
    let accounts = server.beside("accounts.toml");
    let text = std::fs::read_to_string(&accounts).unwrap();
    std::fs::write(&accounts, text.replace("max_sessions = 1", "allow_from = [\"192.0.2.0/24\"]")).unwrap();
    second.expect(331, "USER ftp");
    second.expect(530, "PASS x");
    server.event_where("login", |event| event["outcome"] == "not_from_here" && event["user"] == "ftp");
}

#[test]
fn a_missing_home_is_made_from_the_template_at_the_login() {
    let builder = Server::builder().anonymous("off");
    let template = builder.beside("template");
    std::fs::create_dir_all(template.join("inbox")).unwrap();
    std::fs::write(template.join("read.me"), "hello").unwrap();
    symlink("/etc/passwd", template.join("link")).unwrap();
    let server = builder
        .accounts(&format!("template = {template:?}"))
        .account_with("ann", "x", "home = \"class/ann\"\ncreate_home = true")
        .account_with("bob", "x", "home = \"class/bob\"")
        .start();
    assert!(!server.has("class"));
    let mut ann = login(&server, "ann");
    assert_eq!(ann.list("NLST"), ["inbox", "read.me"]);
    assert_eq!(ann.get("RETR read.me"), b"hello");
    ann.expect(250, "DELE read.me");
    assert_eq!(login(&server, "ann").list("NLST"), ["inbox"], "it is made once");
    let mut bob = Ftp::connect(server.address());
    bob.expect(331, "USER bob");
    bob.expect(530, "PASS x");
    assert_eq!(server.names("class"), ["ann"]);
}

/// Password checks take their turns on their own threads: nobody's time runs out, and transfers go on meanwhile.
#[test]
fn two_hundred_logins_at_once_are_let_in_and_stall_no_transfer() {
    let server = Server::builder().account("ann", "x").file("file", "contents").start();
    let mut other = Ftp::anonymous(&server);
    let address = server.address();
    let logins: Vec<_> = (0..200)
        .map(|_| {
            thread::spawn(move || {
                let mut ftp = Ftp::connect(address);
                ftp.wait_for(Duration::from_secs(60));
                ftp.login("ann", "x");
            })
        })
        .collect();
    let mut transfers = 0;
    while transfers == 0 || logins.iter().any(|login| !login.is_finished()) {
        assert_eq!(other.get("RETR file"), b"contents");
        transfers += 1;
        thread::sleep(Duration::from_millis(20));
    }
    logins.into_iter().for_each(|login| login.join().unwrap());
    assert!(transfers > 1, "the logins were over before a transfer was");
}
