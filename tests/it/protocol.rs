//! The control connection: logins, words, replies, and what a transfer lets through.

use crate::fixture::Server;
use crate::ftp::{Ftp, TELNET_DM, TELNET_IP};

#[test]
fn anonymous_and_ftp_are_let_in_under_either_name_and_any_password() {
    let server = Server::start();
    for name in ["anonymous", "ftp", "Anonymous", "FTP"] {
        let mut ftp = Ftp::connect(server.address());
        ftp.login(name, "me@example.org");
        ftp.lives();
    }
}

#[test]
fn anonymous_is_turned_away_where_it_is_off() {
    let server = Server::builder().anonymous("off").account("alice", "secret").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.command("USER anonymous");
    ftp.expect(530, "PASS me@example.org");
    ftp.login("alice", "secret");
}

#[test]
fn read_only_anonymous_reads_and_changes_nothing() {
    let server = Server::builder().anonymous("read-only").file("there.txt", "stays").file("dir/x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.get("RETR there.txt"), b"stays");
    for refused in ["STOR new.txt", "STOR there.txt", "APPE there.txt", "STOU"] {
        ftp.refused(550, refused);
    }
    for refused in ["DELE there.txt", "MKD new", "RMD dir", "SITE CHMOD 600 there.txt", "MFMT 20200101000000 there.txt"]
    {
        ftp.expect(550, refused);
    }
    let reply = ftp.command("RNFR there.txt");
    if reply.code == 350 {
        ftp.expect(550, "RNTO moved.txt");
    } else {
        assert_eq!(reply.code, 550);
    }
    assert_eq!(server.names(""), ["dir", "there.txt"]);
    assert_eq!(server.read("there.txt"), b"stays");
    ftp.lives();
}

#[test]
fn an_account_needs_its_own_password() {
    let server = Server::builder().account("alice", "right").account("bob", "bobs").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS wrong");
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS bobs");
    ftp.expect(530, "PWD");
    ftp.login("alice", "right");
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(331, "USER nobody-of-this-name");
    ftp.expect(530, "PASS right");
    ftp.login("alice", "right");
    ftp.lives();
}

#[test]
fn an_account_is_confined_to_its_home() {
    let server = Server::builder()
        .file("homes/alice/mine.txt", "mine")
        .file("homes/bob/his.txt", "his")
        .account_at("alice", "right", "homes/alice")
        .start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("alice", "right");
    assert_eq!(ftp.list("NLST"), ["mine.txt"]);
    assert!(ftp.expect(257, "PWD").text().contains("\"/\""));
    for path in ["../bob/his.txt", "/../bob/his.txt", "/homes/bob/his.txt"] {
        ftp.refused(550, format!("RETR {path}"));
    }
    assert_eq!(ftp.get("RETR /mine.txt"), b"mine");
}

#[test]
fn a_client_cannot_make_a_home_lead_out_of_the_root() {
    let server = Server::builder().file("alice/mine.txt", "mine").account_at("alice", "right", "alice").start();
    std::fs::create_dir(server.beside("secret")).unwrap();
    std::os::unix::fs::symlink(server.beside("secret"), server.path("evil")).unwrap();
    let mut guest = Ftp::anonymous(&server);
    for (from, to) in [("alice", "alice.old"), ("evil", "alice")] {
        guest.expect(350, format!("RNFR {from}"));
        guest.expect(250, format!("RNTO {to}"));
    }
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS right");
}

#[test]
fn a_login_that_keeps_failing_ends_the_session() {
    let server = Server::builder().account("alice", "right").start();
    let mut ftp = Ftp::connect(server.address());
    for _ in 0..2 {
        ftp.expect(331, "USER alice");
        ftp.expect(530, "PASS wrong");
    }
    ftp.expect(331, "USER alice");
    ftp.expect(421, "PASS wrong");
    assert_eq!(ftp.rest_until_closed(), "");
    assert_eq!(server.event("session_closed")["reason"], "failed_logins");
}

#[test]
fn everything_but_a_login_is_refused_before_it() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::connect(server.address());
    for line in [
        "PWD",
        "CWD /",
        "PASV",
        "EPSV",
        "LIST",
        "RETR x",
        "STOR y",
        "DELE x",
        "MKD d",
        "SIZE x",
        "MLST x",
        "SITE CHMOD 600 x",
        "RNFR x",
        "HASH x",
        "STAT /",
        "REST 1",
    ] {
        let code = ftp.command(line).code;
        assert!(code == 530 || code == 503, "{line}: {code}");
    }
    assert_eq!(server.names(""), ["x"]);
    ftp.login("anonymous", "x");
}

#[test]
fn features_and_options_are_served_before_login() {
    let server = Server::start();
    let mut ftp = Ftp::connect(server.address());
    let features = ftp.expect(211, "FEAT").middle();
    for feature in ["UTF8", "SIZE", "MDTM", "REST STREAM", "EPSV", "EPRT", "MFMT", "HOST", "CLNT", "TVFS"] {
        let line = format!(" {feature}");
        assert!(features.contains(&line), "{feature} is not among {features:?}");
    }
    let mlst = features.iter().find(|line| line.starts_with(" MLST ")).unwrap();
    for fact in ["type*;", "size*;", "modify*;", "perm*;", "unique*;", "unix.mode*;"] {
        assert!(mlst.to_lowercase().contains(fact), "{fact} is not in {mlst}");
    }
    assert!(features.iter().any(|line| line.starts_with(" HASH ")), "{features:?}");
    assert!(features.iter().all(|line| line.starts_with(' ')), "{features:?}");
    ftp.expect(200, "OPTS UTF8 ON");
    ftp.expect(200, "OPTS utf8 on");
    ftp.expect(200, "OPTS UTF8");
    ftp.expect(200, "CLNT test");
    ftp.expect(215, "SYST");
    ftp.expect(200, "NOOP");
    ftp.expect(214, "HELP");
    ftp.login("anonymous", "x");
}

#[test]
fn windows_ftp_exe_does_its_work() {
    let server = Server::builder().file("read me.txt", "one\ntwo\n").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(200, "OPTS UTF8 ON");
    ftp.expect(331, "USER anonymous");
    ftp.expect(230, "PASS ");
    assert!(ftp.expect(257, "XPWD").text().contains("\"/\""));
    ftp.expect(257, "XMKD lesson");
    assert!(server.path("lesson").is_dir());

    let active = |ftp: &mut Ftp, line: &str, send: Option<&[u8]>| {
        let listener = ftp.listener();
        let argument = crate::ftp::port_argument(listener.local_addr().unwrap());
        ftp.expect(200, format!("PORT {argument}"));
        ftp.start(line);
        let (mut data, _) = crate::ftp::accept(&listener);
        let received = match send {
            Some(bytes) => {
                ftp.write_data(&mut data, bytes);
                drop(data);
                Vec::new()
            }
            None => ftp.drain(data),
        };
        ftp.read(226);
        received
    };
    assert_eq!(active(&mut ftp, "NLST", None), b"lesson\r\nread me.txt\r\n");
    // No TYPE was sent: ASCII is the default, so line ends are converted.
    assert_eq!(active(&mut ftp, "RETR read me.txt", None), b"one\r\ntwo\r\n");
    active(&mut ftp, "STOR lesson/answer.txt", Some(b"three\r\nfour\r\n"));
    assert_eq!(server.read("lesson/answer.txt"), b"three\nfour\n");
    ftp.expect(250, "XCWD lesson");
    ftp.expect(250, "DELE answer.txt");
    let code = ftp.command("XCUP").code;
    assert!(code == 200 || code == 250, "XCUP: {code}");
    ftp.expect(250, "XRMD lesson");
    assert!(!server.has("lesson"));
    ftp.expect(221, "QUIT");
    assert_eq!(ftp.rest_until_closed(), "");
}

#[test]
fn values_that_are_not_served_get_504_and_the_session_lives() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for line in ["TYPE E", "TYPE Z", "TYPE A C", "TYPE L 9", "MODE B", "MODE C", "MODE Z", "STRU R", "STRU P", "STRU Q"]
    {
        ftp.expect(504, line);
    }
    for line in ["TYPE I", "TYPE A", "TYPE A N", "TYPE L 8", "MODE S", "STRU F", "type i", "mode s"] {
        ftp.expect(200, line);
    }
    ftp.lives();
}

#[test]
fn wrong_input_never_ends_the_session() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    let lines: [&[u8]; 28] = [
        b"",
        b" ",
        b"XYZZY",
        b"NOOP x",
        b"TYPE",
        b"MODE",
        b"STRU",
        b"RETR",
        b"STOR",
        b"CWD",
        b"MKD",
        b"DELE",
        b"RNFR",
        b"RNTO x",
        b"REST",
        b"REST -1",
        b"REST x",
        b"REST 99999999999999999999999999",
        b"PORT",
        b"PORT 1,2,3",
        b"EPRT",
        b"EPRT |9|x|y|",
        b"EPSV 7",
        b"SITE",
        b"SITE XYZZY",
        b"OPTS",
        b"OPTS XYZZY ON",
        b"\xff\xfe\xfd\xfc",
    ];
    for line in lines {
        let reply = ftp.command(line);
        assert!((200..=599).contains(&reply.code), "{line:?}");
        assert_ne!(reply.code, 421, "{line:?}");
    }
    for line in [&b"USER\xff"[..], b"CWD \0", b"CWD a\rb", b"MLST \xff", b"PASS", b"ALLO x", b"MFMT x y", b"HOST"] {
        let reply = ftp.command(line);
        assert_ne!(reply.code, 421, "{line:?}");
    }
    ftp.login("anonymous", "x");
    ftp.lives();
}

#[test]
fn unknown_commands_get_500_and_known_ones_without_their_argument_501() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(500, "XYZZY");
    for line in ["RETR", "STOR", "MKD", "DELE", "TYPE", "PORT", "EPRT", "REST"] {
        ftp.expect(501, line);
    }
    ftp.expect(503, "RNTO somewhere");
}

#[test]
fn verbs_are_read_in_any_case_and_a_bare_line_feed_ends_a_line() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "nOoP");
    ftp.raw(b"noop\n");
    ftp.read(200);
    ftp.expect(257, "pwd");
}

#[test]
fn a_line_in_pieces_is_one_line() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for byte in b"NOOP\r\n" {
        ftp.raw(&[*byte]);
    }
    ftp.read(200);
}

#[test]
fn sixteen_commands_at_once_are_answered_in_order() {
    let server = Server::builder().file("dir/x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.raw(b"PWD\r\nNOOP\r\nCWD dir\r\nSIZE x\r\n");
    for code in [257, 200, 250, 213] {
        ftp.read(code);
    }
    ftp.raw("PWD\r\nSYST\r\nCWD .\r\nSIZE x\r\n".repeat(4).as_bytes());
    for _ in 0..4 {
        for code in [257, 215, 250, 213] {
            ftp.read(code);
        }
    }
    ftp.lives();
}

#[test]
fn a_login_in_one_packet_works() {
    let server = Server::start();
    let mut ftp = Ftp::connect(server.address());
    ftp.raw(b"USER anonymous\r\nPASS x\r\nTYPE I\r\nPWD\r\n");
    for code in [331, 230, 200, 257] {
        ftp.read(code);
    }
}

#[test]
fn an_abor_behind_a_password_has_nothing_to_end() {
    let server = Server::builder().account("ann", "secret").start();
    let mut ftp = Ftp::connect(server.address());
    for (password, code) in [("wrong", 530), ("secret", 230)] {
        ftp.raw(format!("USER ann\r\nPASS {password}\r\nABOR\r\nNOOP\r\n").as_bytes());
        for code in [331, code, 226, 200] {
            ftp.read(code);
        }
    }
}

#[test]
fn what_is_sent_ahead_is_answered_behind_a_digest_and_behind_the_150() {
    let server = Server::builder().file("x", "x").start();
    server.write_sparse("large", 64 << 20);
    let mut ftp = Ftp::anonymous(&server);
    ftp.raw(b"XMD5 large\r\nNOOP\r\nSTAT\r\n");
    for code in [250, 200, 211] {
        ftp.read(code);
    }
    let port = ftp.epsv();
    ftp.raw(b"RETR x\r\nNOOP\r\nSTAT\r\n");
    let data = std::net::TcpStream::connect((ftp.peer().ip(), port)).unwrap();
    let codes = [(); 4].map(|()| ftp.reply().code);
    assert_eq!(codes[0], 150);
    assert_eq!(ftp.drain(data), b"x");
    assert_eq!(codes[1..].iter().filter(|code| **code == 226).count(), 1, "{codes:?}");
    assert!(codes[1..] != [226, 211, 200] && codes[1..] != [211, 200, 226], "{codes:?}");
}

#[test]
fn the_working_directory_moves_and_quotes_are_doubled() {
    let server = Server::builder().file("a/b/c", "x").file("q\"uote/x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let here = |ftp: &mut Ftp, path: &str| {
        let text = ftp.expect(257, "PWD").text();
        assert!(text.starts_with(&format!("257 \"{path}\"")), "{text}");
    };
    here(&mut ftp, "/");
    ftp.expect(250, "CWD a/b");
    here(&mut ftp, "/a/b");
    ftp.expect(250, "CWD ..");
    here(&mut ftp, "/a");
    ftp.expect(250, "CWD b");
    let code = ftp.command("CDUP").code;
    assert!(code == 200 || code == 250, "CDUP: {code}");
    here(&mut ftp, "/a");
    ftp.expect(250, "CWD /../../..");
    here(&mut ftp, "/");
    ftp.expect(550, "CWD nowhere");
    ftp.expect(550, "CWD a/b/c");
    here(&mut ftp, "/");
    ftp.expect(250, "CWD q\"uote");
    here(&mut ftp, "/q\"\"uote");
    let made = ftp.expect(257, "MKD in\"ner").text();
    assert!(made.starts_with("257 \"/q\"\"uote/in\"\"ner\""), "{made}");
}

#[test]
fn x_commands_are_the_old_names() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(257, "XMKD old");
    ftp.expect(250, "XCWD old");
    assert!(ftp.expect(257, "XPWD").text().contains("\"/old\""));
    let code = ftp.command("XCUP").code;
    assert!(code == 200 || code == 250);
    ftp.expect(250, "XRMD old");
    assert!(!server.has("old"));
}

#[test]
fn names_are_changed_and_removed() {
    let server = Server::builder().file("a b.txt", "1").file("dir/x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(350, "RNFR a b.txt");
    ftp.expect(250, "RNTO dir/c d.txt");
    assert_eq!(server.read("dir/c d.txt"), b"1");
    assert!(!server.has("a b.txt"));
    ftp.expect(503, "RNTO again");
    ftp.expect(550, "RNFR nothing here");
    ftp.expect(550, "RMD dir");
    ftp.expect(550, "DELE dir");
    ftp.expect(550, "DELE nothing here");
    ftp.expect(550, "RMD nothing here");
    ftp.expect(550, "MKD dir");
    ftp.expect(250, "DELE dir/c d.txt");
    ftp.expect(250, "DELE dir/x");
    ftp.expect(250, "RMD dir");
    assert!(server.names("").is_empty());
}

#[test]
fn the_refusal_names_what_was_asked_for() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    let text = ftp.refused(550, "RETR no such file.txt").text();
    assert!(text.contains("no such file.txt"), "{text}");
    let text = ftp.expect(550, "CWD no-such-dir").text();
    assert!(text.contains("no-such-dir"), "{text}");
    let text = ftp.expect(550, "DELE gone.txt").text();
    assert!(text.contains("gone.txt"), "{text}");
}

#[test]
fn rein_forgets_the_login_and_another_user_can_come() {
    let server =
        Server::builder().file("homes/alice/mine.txt", "mine").account_at("alice", "right", "homes/alice").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(250, "CWD homes");
    ftp.expect(220, "REIN");
    ftp.expect(530, "PWD");
    ftp.login("alice", "right");
    assert_eq!(ftp.list("NLST"), ["mine.txt"]);
    assert!(ftp.expect(257, "PWD").text().contains("\"/\""));
}

#[test]
fn a_second_user_logs_in_as_that_user() {
    let server =
        Server::builder().file("homes/alice/mine.txt", "mine").account_at("alice", "right", "homes/alice").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.login("alice", "right");
    assert_eq!(ftp.list("NLST"), ["mine.txt"]);
}

#[test]
fn help_and_syst_and_host_and_allo_and_acct_answer() {
    let server = Server::start();
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(220, "HOST ftp.example.org");
    ftp.login("anonymous", "x");
    assert!(ftp.expect(215, "SYST").text().starts_with("215 UNIX Type: L8"));
    let help = ftp.expect(214, "HELP").text();
    for verb in ["RETR", "STOR", "MLSD", "SITE", "EPSV"] {
        assert!(help.contains(verb), "{verb} is not in {help}");
    }
    assert!(ftp.expect(214, "HELP RETR").text().contains("RETR"));
    assert!(ftp.expect(214, "SITE HELP").text().contains("CHMOD"));
    for line in ["ALLO 1000", "ALLO 1000 R 10", "ACCT x"] {
        let code = ftp.command(line).code;
        assert!(code == 200 || code == 202, "{line}: {code}");
    }
    ftp.expect(200, "CLNT test");
}

#[test]
fn stat_tells_about_the_session_and_about_a_path() {
    let server = Server::builder().file("dir/two words.txt", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    let status = ftp.expect(211, "STAT").text();
    assert!(status.contains(&ftp.local().port().to_string()), "its port is not in {status}");
    let reply = ftp.command("STAT dir");
    assert!(reply.code == 212 || reply.code == 213, "{reply:?}");
    assert!(reply.text().contains("two words.txt"), "{reply:?}");
    let reply = ftp.command("STAT dir/two words.txt");
    assert!(reply.code == 213 && reply.text().contains('5'), "{reply:?}");
    let code = ftp.command("STAT nothing").code;
    assert!(code == 550 || code == 450, "{code}");
    ftp.lives();
}

#[test]
fn abor_with_nothing_running_is_answered() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for _ in 0..2 {
        let code = ftp.command("ABOR").code;
        assert!(code == 225 || code == 226, "{code}");
    }
    let _data = ftp.passive();
    let code = ftp.command("ABOR").code;
    assert!(code == 225 || code == 226, "{code}");
    ftp.lives();
}

/// How a client says ABOR.
#[derive(Clone, Copy)]
enum Abort {
    Plain,
    Telnet,
    Urgent,
}

impl Abort {
    fn send(self, ftp: &mut Ftp) {
        match self {
            Self::Plain => ftp.send("ABOR"),
            Self::Telnet => ftp.raw(&[&TELNET_IP[..], &TELNET_DM[..], b"ABOR\r\n"].concat()),
            // As BSD's ftp does it: IP, then the Data Mark as urgent data, then the command.
            Self::Urgent => {
                ftp.raw(&TELNET_IP);
                ftp.urgent(&TELNET_DM);
                ftp.raw(b"ABOR\r\n");
            }
        }
    }
}

const WAYS: [Abort; 3] = [Abort::Plain, Abort::Telnet, Abort::Urgent];

/// 426 for the transfer, 226 for ABOR, and the session goes on with a transfer of the same kind.
fn aborted(ftp: &mut Ftp, way: Abort) {
    way.send(ftp);
    ftp.read(426);
    ftp.read(226);
    ftp.lives();
}

#[test]
fn abor_ends_a_download() {
    let server = Server::builder().file("small", "small").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    for way in WAYS {
        let data = ftp.open("RETR endless");
        aborted(&mut ftp, way);
        drop(data);
        assert_eq!(ftp.get("RETR small"), b"small");
    }
    assert_eq!(server.event("transfer")["outcome"], "aborted");
}

#[test]
fn abor_ends_an_upload() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for way in WAYS {
        let mut data = ftp.open("STOR up");
        ftp.write_data(&mut data, &[b'x'; 100_000]);
        aborted(&mut ftp, way);
        drop(data);
        ftp.put("STOR whole", b"whole");
        assert_eq!(server.read("whole"), b"whole");
    }
}

#[test]
fn abor_ends_a_listing() {
    let server = Server::start();
    // More than the buffers of both sockets take, so that the listing is still on its way.
    let name = "n".repeat(240);
    for number in 0..20_000 {
        std::fs::write(server.path(format!("{name}{number:06}")), "").unwrap();
    }
    let mut ftp = Ftp::anonymous(&server);
    for way in WAYS {
        let data = ftp.open("LIST");
        aborted(&mut ftp, way);
        drop(data);
    }
}

#[test]
fn abor_ends_a_transfer_whose_data_connection_never_came() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    for way in WAYS {
        ftp.epsv();
        ftp.send("RETR x");
        way.send(&mut ftp);
        let mut reply = ftp.reply();
        if matches!(reply.code, 125 | 150) {
            reply = ftp.reply();
        }
        assert!(matches!(reply.code, 425 | 426), "{reply:?}");
        ftp.read(226);
        assert_eq!(ftp.get("RETR x"), b"x");
    }
}

#[test]
fn abor_ends_a_hash() {
    let server = Server::start();
    server.write_sparse("endless", 1 << 34);
    let mut ftp = Ftp::anonymous(&server);
    for way in WAYS {
        ftp.send("HASH endless");
        aborted(&mut ftp, way);
    }
}

#[test]
fn a_short_hash_does_not_wait_for_the_end_of_long_ones() {
    let server = Server::builder().file("x", "x").start();
    server.write_sparse("endless", 1 << 40);
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut long: Vec<Ftp> = (0..=cores).map(|_| Ftp::anonymous(&server)).collect();
    long.iter_mut().for_each(|ftp| ftp.send("HASH endless"));
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(213, "HASH x");
    long.iter_mut().for_each(|ftp| aborted(ftp, Abort::Plain));
}

#[test]
fn telnet_bytes_are_taken_out_of_commands() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    // IAC WILL/WONT/DO/DONT take one more byte; an escaped IAC is a byte of the name.
    ftp.raw(b"NO\xff\xf1OP\r\n");
    ftp.read(200);
    ftp.raw(b"\xff\xfb\x01NOOP\r\n");
    ftp.read(200);
    ftp.raw(b"MKD y\xff\xffz\r\n");
    ftp.read(257);
    use std::os::unix::ffi::OsStrExt;
    assert!(server.path(std::ffi::OsStr::from_bytes(b"y\xffz")).is_dir());
}

#[test]
fn noop_and_stat_are_answered_during_a_transfer() {
    let server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    ftp.expect(200, "NOOP");
    let status = ftp.expect(211, "STAT").text();
    assert!(status.contains("endless"), "the running transfer is not in {status}");
    aborted(&mut ftp, Abort::Plain);
    drop(data);
}

#[test]
fn commands_during_a_transfer_wait_their_turn() {
    let server = Server::builder().file("x", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR up");
    ftp.send("SIZE up");
    ftp.send("CWD nowhere");
    ftp.write_data(&mut data, b"all of it");
    drop(data);
    ftp.read(226);
    // Answered before its turn, this would be 550 or another size.
    assert_eq!(ftp.read(213).text(), "213 9");
    ftp.read(550);
}

#[test]
fn sixteen_commands_may_wait_for_a_transfer() {
    let server = Server::builder().file("x", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("STOR up");
    ftp.raw("SIZE x\r\n".repeat(16).as_bytes());
    drop(data);
    ftp.read(226);
    for _ in 0..16 {
        ftp.read(213);
    }
    ftp.lives();
}

#[test]
fn abor_overtakes_what_waits() {
    let server = Server::builder().file("x", "12345").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    ftp.send("SIZE x");
    ftp.send("ABOR");
    ftp.read(426);
    ftp.read(226);
    ftp.read(213);
    drop(data);
    ftp.lives();
}

#[test]
fn abor_is_seen_behind_more_commands_than_may_wait() {
    let server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    ftp.raw("SIZE endless\r\n".repeat(20).as_bytes());
    ftp.send("ABOR");
    // Four are too many for the queue, and are refused at once.
    let mut answered = 0;
    loop {
        match ftp.reply().code {
            426 => break,
            code => assert_eq!(code, 503, "it overtook the transfer"),
        }
        answered += 1;
    }
    ftp.read(226);
    assert_eq!(answered, 4, "sixteen may wait");
    for _ in 0..16 {
        ftp.read(213);
    }
    drop(data);
    ftp.lives();
}

#[test]
fn quit_waits_for_the_transfer() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR up");
    ftp.send("QUIT");
    ftp.write_data(&mut data, b"all of it");
    drop(data);
    ftp.read(226);
    ftp.read(221);
    assert_eq!(ftp.rest_until_closed(), "");
    assert_eq!(server.read("up"), b"all of it");
}

#[test]
fn quit_in_the_middle_of_a_download_lets_it_end() {
    let server = Server::start();
    let bytes = crate::fixture::noise(20_000_000, 4);
    server.write("large", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR large");
    ftp.send("QUIT");
    assert!(ftp.drain(data) == bytes);
    ftp.read(226);
    ftp.read(221);
}

#[test]
fn a_client_that_leaves_during_a_download_ends_its_session() {
    let server = Server::start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    drop(data);
    drop(ftp);
    server.event("session_closed");
    assert_ne!(server.event("transfer")["outcome"], "complete");
}

#[test]
fn half_closed_control_connection_still_gets_its_replies() {
    let server = Server::start();
    let mut ftp = Ftp::connect(server.address());
    ftp.raw(b"USER anonymous\r\nPASS x\r\nPWD\r\n");
    ftp.half_close();
    for code in [331, 230, 257] {
        ftp.read(code);
    }
    ftp.rest_until_closed();
    server.event("session_closed");
}

#[test]
fn anonymous_is_told_so_in_any_case() {
    let server = Server::start();
    for name in ["anonymous", "Anonymous", "FTP"] {
        let mut ftp = Ftp::connect(server.address());
        let text = ftp.expect(331, format!("USER {name}")).text();
        assert!(text.contains("e-mail"), "{name}: {text}");
        ftp.expect(230, "PASS x");
    }
}
