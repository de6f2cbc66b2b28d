//! What an operator asks of the running server: the table of its connections, against the kernel's own; ending sessions;
//! failed logins; health checks that leave no trace; and who may ask.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{LONGSHORE, Process, Server, copy_of_the_program, left_out, no_ipv6, noise, poll, self_signed};
use crate::ftp::{Ftp, accept, port_argument, reset};

/// A socket: its own end, the other one (none where it listens).
pub type Row = (SocketAddr, Option<SocketAddr>);

/// The TCP sockets of a process, as the kernel lists them.
pub fn sockets_of(pid: u32) -> BTreeSet<Row> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let inodes: BTreeSet<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            inodes.contains(words[9]).then(|| (end(words[1]), (words[3] != "0A").then(|| end(words[2]))))
        })
        .collect()
}

/// `0100007F:0849`: words of four bytes in the machine's order, and a port.
fn end(text: &str) -> SocketAddr {
    let (address, port) = text.split_once(':').unwrap();
    let words =
        address.as_bytes().chunks(8).map(|word| u32::from_str_radix(str::from_utf8(word).unwrap(), 16).unwrap());
    let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    let address: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ipv4Addr::from(bytes).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).into(),
    };
    SocketAddr::new(address, u16::from_str_radix(port, 16).unwrap())
}

fn rows(server: &Server) -> Vec<Value> {
    server.ask_json(&["sessions"])["connections"].as_array().unwrap().clone()
}

fn ends_of(row: &Value) -> Row {
    let at = |name: &str| row[name].as_str().map(|text| text.parse().unwrap());
    (at("local").unwrap(), at("foreign"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Says why it failed.
#[track_caller]
fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_table_is_the_kernel_s_and_its_ports_are_those_of_the_clients() {
    let server = Server::builder().admin().ipv6().account("ann", "secret").start();
    server.write_sparse("endless", 1 << 40);
    let idle = Ftp::connect(server.address());
    let mut passive = Ftp::connect(server.address());
    passive.login("ann", "secret");
    let download = passive.open("RETR endless");
    let mut active = Ftp::anonymous(&server);
    let listener = active.listener();
    active.expect(200, format!("PORT {}", port_argument(listener.local_addr().unwrap())));
    active.start("STOR new");
    let (mut upload, from) = accept(&listener);
    upload.write_all(b"12345").unwrap();
    let mut early = Ftp::anonymous(&server);
    let waiting = early.passive();
    let mut offering = if no_ipv6() { Ftp::anonymous(&server) } else { Ftp::anonymous_v6(&server) };
    let port = offering.epsv();

    // The engines of the logins close in a moment, and the upload's bytes arrive in one.
    let rows = poll(|| {
        let rows = rows(&server);
        let kernel = sockets_of(server.pid());
        let whole = rows.iter().any(|row| row["bytes"] == 5);
        (whole && rows.iter().map(ends_of).collect::<BTreeSet<_>>() == kernel).then_some(rows)
    });
    let rows = rows.unwrap_or_else(|| panic!("{:#?}\nkernel: {:?}", self::rows(&server), sockets_of(server.pid())));
    let row = |local: SocketAddr, foreign: Option<SocketAddr>| {
        rows.iter().find(|row| ends_of(row) == (local, foreign)).unwrap_or_else(|| panic!("{local} {foreign:?}"))
    };
    let part = |row: &Value, names: &[&str]| -> Vec<Value> { names.iter().map(|name| row[name].clone()).collect() };

    let control = row(idle.peer(), Some(idle.local()));
    assert_eq!(
        part(control, &["kind", "state", "session", "user", "verb"]),
        [json!("control"), json!("ESTABLISHED"), json!(1), Value::Null, Value::Null]
    );
    assert_eq!(control["foreign_port"], json!(idle.local().port()));

    let control = row(passive.peer(), Some(passive.local()));
    let doing = ["session", "user", "verb", "argument", "code"];
    assert_eq!(part(control, &doing), [json!(2), json!("ann"), json!("RETR"), json!("/endless"), json!(150)]);
    let data = row(download.peer_addr().unwrap(), Some(download.local_addr().unwrap()));
    assert_eq!(part(data, &doing), [json!(2), json!("ann"), json!("RETR"), json!("/endless"), Value::Null]);
    assert_eq!(part(data, &["kind", "opened_by"]), ["data", "client"]);
    assert_eq!(data["local_port_class"], if download.peer_addr().unwrap().port() < 49152 { "user" } else { "dynamic" });
    assert!(data["bytes"].as_u64().unwrap() > 0 && data["bytes_per_second"].as_u64().unwrap() > 0, "{data}");

    let data = row(from, Some(listener.local_addr().unwrap()));
    assert_eq!(
        part(data, &["session", "opened_by", "verb", "bytes"]),
        [json!(3), json!("server"), json!("STOR"), json!(5)]
    );

    // Connected before it was asked for: the port still listens, too.
    let data = row(waiting.peer_addr().unwrap(), Some(waiting.local_addr().unwrap()));
    assert_eq!(
        part(data, &["kind", "session", "opened_by", "verb"]),
        [json!("data"), json!(4), json!("client"), Value::Null]
    );
    row(waiting.peer_addr().unwrap(), None);

    let offered = rows.iter().find(|row| row["kind"] == "passive" && row["session"] == 5).unwrap();
    assert_eq!(part(offered, &["state", "local_port"]), [json!("LISTEN"), json!(port)]);
    // What is taken back is not listed.
    offering.login("anonymous", "x");
    assert!(self::rows(&server).iter().all(|row| row["kind"] != "passive" || row["session"] != 5));
    early.start("NLST");
    early.read(226);
    reset(download);
    passive.read(426);
    drop(upload);
    active.read(226);
    let left = self::rows(&server);
    assert!(left.iter().all(|row| row["kind"] != "data"), "{left:?}");
    let control = left.iter().find(|row| row["session"] == 3).unwrap();
    assert_eq!(part(control, &["verb", "argument", "code"]), [json!("STOR"), json!("new"), json!(226)]);
}

#[test]
fn the_table_looks_like_netstat() {
    let server = Server::builder().admin().tls(&[]).implicit().start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let data = ftp.open("RETR endless");
    let shown = text(&server.ask(&["sessions"]));
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..6], ["Proto", "Local", "Address", "Foreign", "Address", "State"]);
    let (control, implicit) = (server.address().to_string(), server.implicit().to_string());
    assert_eq!(lines[1][..4], ["tcp", &control, "0.0.0.0:*", "LISTEN"]);
    assert_eq!((lines[1][5], &lines[2][1], lines[2][5]), ("-", &implicit.as_str(), "tls"));
    assert_eq!(lines[3][..4], ["tcp", &control, &ftp.local().to_string(), "ESTABLISHED"]);
    assert_eq!(lines[3][7..13], ["-", "1", "anonymous", "RETR", "/endless", "(150)"]);
    let (local, foreign) = (data.peer_addr().unwrap().to_string(), data.local_addr().unwrap().to_string());
    assert_eq!(lines[4][..4], ["tcp", &local, &foreign, "ESTABLISHED"]);
    assert_eq!(lines[4][5], "<-", "the client connected");
    assert!(lines[4].iter().any(|word| word.ends_with("B/s")), "{shown}");
}

#[test]
fn watching_goes_on_until_the_server_ends() {
    let mut server = Server::builder().admin().start();
    let mut watch = Command::new(LONGSHORE)
        .args(["sessions", "--watch", "--json", "--socket"])
        .arg(server.beside("admin.sock"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let table: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(table["connections"][0]["kind"], "listener");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let output = watch.wait_with_output().unwrap();
    assert!(failure(&output).contains("no server runs at"), "{output:?}");
}

#[test]
fn an_idle_session_is_ended_by_its_number() {
    let server = Server::builder().admin().start();
    let (mut kicked, mut other) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    let output = server.ask(&["kick", "1"]);
    assert_eq!(text(&output), format!("session 1 ended: anonymous, {}\n", kicked.local()));
    assert!(kicked.rest_until_closed().starts_with("421 An administrator has ended this session."));
    let closed = server.event("session_closed");
    assert_eq!((&closed["session"], &closed["reason"]), (&json!(1), &json!("kicked")));
    other.lives();
    let gone = poll(|| rows(&server).iter().all(|row| row["session"] != 1).then_some(()));
    assert!(gone.is_some());
    assert!(failure(&server.ask(&["kick", "1"])).contains("there is no session 1"));
    assert!(failure(&server.ask(&["kick", "nobody"])).contains("nobody is logged in as nobody"));
    assert_eq!(server.ask_json(&["kick", "192.0.2.1"]), json!([]));
}

#[test]
fn a_user_s_transfers_end_as_any_that_are_cut_off() {
    let server = Server::builder().admin().account("7", "secret").file("old", "old").start();
    let mut replacing = Ftp::connect(server.address());
    replacing.login("7", "secret");
    let mut adding = Ftp::connect(server.address());
    adding.login("7", "secret");
    let mut other = Ftp::anonymous(&server);
    let bytes = noise(100_000, 1);
    let mut streams = Vec::new();
    for (ftp, name) in [(&mut replacing, "old"), (&mut adding, "new")] {
        let mut data = ftp.open(format!("STOR {name}"));
        ftp.write_data(&mut data, &bytes);
        streams.push(data);
    }
    let arrived = || rows(&server).iter().filter(|row| row["bytes"] == bytes.len()).count() == 2;
    assert!(poll(|| arrived().then_some(())).is_some());
    // Session 7 there is none, but a user of this name.
    assert!(failure(&server.ask(&["kick", "7"])).contains("a user of this name: --user"));
    let kicked = server.ask_json(&["kick", "--user", "7"]);
    assert_eq!(kicked.as_array().unwrap().len(), 2);
    for ftp in [&mut replacing, &mut adding] {
        ftp.read(426);
        ftp.read(421);
    }
    for session in [1, 2] {
        let transfer = server.event_where("transfer", |event| event["session"] == session);
        assert_eq!(transfer["outcome"], "kicked");
        let closed = server.event_where("session_closed", |event| event["session"] == session);
        assert_eq!(closed["reason"], "kicked");
    }
    other.lives();
    assert_eq!(server.read("old"), b"old", "a replacement that breaks leaves the old file");
    assert_eq!(server.read("new"), bytes, "what arrived can be resumed");
    assert_eq!(server.names(""), ["new", "old"]);
}

#[test]
fn who_does_not_listen_is_kicked_all_the_same() {
    let server = Server::builder().admin().start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    let _data = ftp.open("RETR endless");
    assert_eq!(server.ask_json(&["kick", "127.0.0.1"]).as_array().unwrap().len(), 1);
    // The client never reads what it is told.
    assert_eq!(server.event("session_closed")["reason"], "kicked");
}

#[test]
fn failed_logins_are_shown_and_forgotten() {
    let server = Server::builder().admin().account("ann", "secret").limits("login_delay_max = 1").start();
    assert!(text(&server.ask(&["logins"])).starts_with("no failed logins"));
    let mut ftp = Ftp::connect(server.address());
    for (user, code) in [("ann", 530), ("ann", 530), ("someone", 421)] {
        ftp.expect(331, format!("USER {user}"));
        ftp.expect(code, "PASS wrong");
    }
    let shown = text(&server.ask(&["logins"]));
    let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["ann", "127.0.0.1", "2", "1", "s"]);
    assert_eq!(words[2], ["(unknown)", "127.0.0.1", "1", "1", "s"], "people type passwords at that prompt");
    let failures = server.ask_json(&["logins"]);
    assert_eq!(failures[0], json!({ "user": "ann", "address": "127.0.0.1", "failures": 2, "wait_seconds": 1 }));
    assert_eq!(text(&server.ask(&["unblock", "192.0.2.1"])), "there was nothing to forget\n");
    assert_eq!(text(&server.ask(&["unblock", "ann"])), "1 entry forgotten\n");
    assert_eq!(server.ask_json(&["logins"]).as_array().unwrap().len(), 1);
    assert_eq!(server.ask_json(&["unblock", "--all"]), json!(1));
    Ftp::connect(server.address()).login("ann", "secret");
    assert!(server.events().iter().filter(|event| event["event"] == "login_delayed").count() <= 1);
}

#[test]
fn a_reload_says_what_is_new_and_what_is_wrong() {
    let server = Server::builder().admin().tls(&[]).start();
    assert_eq!(text(&server.ask(&["reload"])), "nothing has changed\n");
    let config = server.beside("longshore.toml");
    let written = fs::read_to_string(&config).unwrap();
    fs::write(&config, written.replace("[storage]\n", "[storage]\numask = \"029\"\n")).unwrap();
    let why = failure(&server.ask(&["reload"]));
    assert!(why.contains("nothing was changed") && why.contains("umask = \"029\" is not allowed"), "{why}");
    fs::write(&config, written.replace("[storage]\n", "[storage]\numask = \"027\"\n")).unwrap();
    let (certificate, key) = (server.beside("certificate.pem"), server.beside("key.pem"));
    fs::remove_file(&certificate).unwrap();
    fs::remove_file(&key).unwrap();
    self_signed(&certificate, &key);
    let news = server.ask_json(&["reload"]);
    let expected = ["the certificate was read again", "in force from now on: storage.umask = \"027\""];
    assert_eq!(news, json!(expected));
}

#[test]
fn a_health_check_leaves_no_trace() {
    let server = Server::builder().admin().ipv6().tls(&[]).implicit().limits("max_sessions = 1").start();
    let mut ftp = Ftp::anonymous(&server);
    let before = rows(&server).len();
    let listeners = if no_ipv6() { 2 } else { 3 };
    for _ in 0..3 {
        let output = server.ask(&["health"]);
        assert_eq!(output.status.code(), Some(0), "the server is full, and healthy: {output:?}");
        assert_eq!(text(&output).split(", ").count(), listeners, "{output:?}");
        assert!(text(&output).contains(&server.implicit().to_string()));
    }
    assert_eq!(rows(&server).len(), before);
    ftp.expect(221, "QUIT");
    drop(ftp);
    server.event("session_closed");
    assert!(server.events().iter().all(|event| event["session"] == 1 && event["event"] != "tls_opened"));
    // Its place is free in a moment; the number is the next one.
    let greeted = || {
        let mut begin = [0; 3];
        let mut stream = TcpStream::connect(server.address()).unwrap();
        (stream.read_exact(&mut begin).is_ok() && begin == *b"220").then_some(stream)
    };
    let _next = poll(greeted).unwrap();
    server.event_where("session_opened", |event| event["session"] == 2);
}

#[test]
fn an_announcement_opens_no_session() {
    let server = Server::builder().admin().start();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let from = socket.local_addr().unwrap().as_socket().unwrap();
    let mut asking = UnixStream::connect(server.beside("admin.sock")).unwrap();
    writeln!(asking, "{}", json!({ "request": "health", "from": from })).unwrap();
    let mut answer = String::new();
    BufReader::new(&asking).read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"ok\":null}\n");
    socket.connect(&server.address().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"USER anonymous\r\nPASS x\r\nDELE x\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let codes: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "221"], "{said}");
    // Once who asked is gone, the same address is a client's.
    drop(asking);
    assert!(server.events().is_empty());
}

#[test]
fn health_fails_when_nobody_answers_or_somebody_else_does() {
    let mut server = Server::builder().admin().start();
    let address = server.address().to_string();
    // As any client: this one is on record.
    let output = Command::new(LONGSHORE).args(["health", "--address", &address]).output().unwrap();
    assert_eq!((output.status.code(), text(&output)), (Some(0), format!("healthy: {address}\n")));
    server.event("session_closed");
    server.signal(Signal::KILL);
    server.wait();
    let output = Command::new(LONGSHORE).args(["health", "--address", &address]).output().unwrap();
    assert!(failure(&output).contains("does not answer as it should: connecting"), "{output:?}");
    // Another server on the usual port would be none of this one.
    assert!(failure(&server.ask(&["health"])).contains("the one that made it is gone"));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || accept(&other).0.write_all(b"SSH-2.0-other\r\n").unwrap());
    let output = Command::new(LONGSHORE).args(["health", "--json", "--address", &address]).output().unwrap();
    answering.join().unwrap();
    let why = failure(&output);
    assert!(why.contains("the greeting: it is \"SSH-2.0-other\""), "{why}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["healthy"], false);
}

#[test]
fn without_the_socket_health_checks_the_address_of_the_settings() {
    let server = Server::start();
    let listen = server.address().to_string();
    let config = server.beside("health.toml");
    fs::write(&config, format!("[server]\nlisten = [{listen:?}]\nadmin_socket = \"\"\n")).unwrap();
    let output = Command::new(LONGSHORE).args(["health", "--config"]).arg(config).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).contains("which the session log will show"), "{output:?}");
    assert_eq!(server.event("session_closed")["reason"], "quit");
}

#[test]
fn only_root_and_the_serving_user_may_ask() {
    let server = Server::builder().admin().start();
    let socket = server.beside("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    if !rustix::process::geteuid().is_root() {
        return left_out("only root can ask as somebody else; that part of the admin socket's test was left out");
    }
    const SOMEBODY: u32 = 65_534;
    // The directory of a test is closed to others, and perhaps the one of the program.
    let dir = tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy_of_the_program(dir.path());
    let ask = |socket: &Path| {
        let mut command = Command::new(&program);
        command.args(["sessions", "--socket"]).arg(socket).current_dir("/");
        command.uid(SOMEBODY).gid(SOMEBODY).output().unwrap()
    };
    fs::set_permissions(socket.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(failure(&ask(&socket)).contains("ask as root (sudo) or as the user who serves"));
    // Whatever the file's mode says.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(failure(&ask(&socket)).contains("the server says: user 65534 may not ask; only root and user 0 may"));
    chown(&socket, Some(SOMEBODY), None).unwrap();
    assert!(failure(&ask(&socket)).contains("user 65534 may not ask"));
}

#[test]
fn the_socket_of_a_dead_server_is_replaced_and_no_other() {
    let mut server = Server::builder().admin().start();
    let socket = server.beside("admin.sock");
    server.kill_and_start_again();
    rows(&server);
    let start = || {
        let config = server.beside("longshore.toml");
        Command::new(LONGSHORE).args(["--listen", "127.0.0.1:0", "--config"]).arg(config).output().unwrap()
    };
    assert!(failure(&start()).contains("another running server answers there"));
    rows(&server);
    server.signal(Signal::TERM);
    server.wait();
    assert!(!socket.exists(), "an orderly stop takes it away");
    fs::write(&socket, "precious").unwrap();
    let config = server.beside("longshore.toml");
    let output = Command::new(LONGSHORE).args(["--listen", "127.0.0.1:0", "--config"]).arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output).contains("cannot be made: entity already exists; name another path"), "{output:?}");
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
}

#[test]
fn who_says_nothing_or_nonsense_is_in_nobody_s_way() {
    let server = Server::builder().admin().start();
    let connect = || UnixStream::connect(server.beside("admin.sock")).unwrap();
    let _silent: Vec<_> = (0..7).map(|_| connect()).collect();
    for (line, error) in [
        ("hello\n".to_owned(), "this is no request"),
        ("{\"request\":\"dance\"}\n".to_owned(), "unknown variant `dance`"),
        ("{\"request\":\"kick\"}\n".to_owned(), "missing field `whose`"),
        ("[".repeat(20_000), "this is no request"),
    ] {
        let mut stream = connect();
        // A line that is too long is not read to its end.
        let _ = stream.write_all(line.as_bytes());
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"error\":") && answer.contains(error), "{answer}");
    }
    rows(&server);
}

#[test]
fn so_many_who_say_nothing_hold_up_the_next_one_for_a_moment_only() {
    let server = Server::builder().admin().start();
    let connect = || UnixStream::connect(server.beside("admin.sock")).unwrap();
    let silent: Vec<_> = (0..8).map(|_| connect()).collect();
    let mut next = connect();
    next.write_all(b"{\"request\":\"logins\"}\n").unwrap();
    // Their time is over in ten seconds; until then there is no place.
    let mut answer = String::new();
    BufReader::new(next).read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"ok\":[]}\n");
    for mut stream in silent {
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}

/// Servers that nobody told where their socket should be.
#[test]
fn a_server_is_found_where_the_system_keeps_sockets() {
    let dir = tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap();
    let of_the_unit = |command: &mut Command| {
        command
            .env_remove("XDG_RUNTIME_DIR")
            .env("RUNTIME_DIRECTORY", dir.path())
            .current_dir(dir.path())
            .output()
            .unwrap()
    };
    let ask = || of_the_unit(Command::new(LONGSHORE).arg("sessions"));
    assert!(failure(&ask()).contains(&format!("there is no socket of one in {}", dir.path().display())));
    // A dead one is none.
    drop(UnixListener::bind(dir.path().join("9.sock")).unwrap());
    assert!(failure(&ask()).contains("no longshore runs that you could ask"));
    let start = || {
        let mut command = Command::new(LONGSHORE);
        command.args(["--listen", "127.0.0.1:0"]).env("RUNTIME_DIRECTORY", dir.path()).current_dir(dir.path());
        let mut process = Process::spawn(&mut command);
        let address = process.listening(1)[0];
        (process, address)
    };
    let (_first, address) = start();
    assert!(text(&ask()).contains(&format!("tcp    {address} ")), "{}", text(&ask()));
    let socket = |address: SocketAddr| format!("--socket {}/{}.sock", dir.path().display(), address.port());
    let (_second, other) = start();
    let why = failure(&ask());
    assert!(
        why.contains("several servers run") && why.contains(&socket(address)) && why.contains(&socket(other)),
        "{why}"
    );
    let health = of_the_unit(Command::new(LONGSHORE).args(["health", "--address", &address.to_string()]));
    assert!(health.status.success());
}

#[test]
fn a_user_s_own_server_is_found_in_the_runtime_directory() {
    if Path::new("/run/longshore").exists() {
        return left_out("this machine has a service of its own; the search beside it was left out");
    }
    let dir = tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap();
    let command = || {
        let mut command = Command::new(LONGSHORE);
        command.env_remove("RUNTIME_DIRECTORY").env("XDG_RUNTIME_DIR", dir.path()).current_dir(dir.path());
        command
    };
    let mut process = Process::spawn(command().args(["--listen", "127.0.0.1:0"]));
    let address = process.listening(1)[0];
    let made = fs::metadata(dir.path().join("longshore")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
    let output = command().args(["health"]).output().unwrap();
    assert_eq!(text(&output), format!("healthy: {address}\n"));
    process.signal(Signal::TERM);
    process.wait();
    assert_eq!(fs::read_dir(dir.path().join("longshore")).unwrap().count(), 0);
    let why = failure(&command().arg("sessions").output().unwrap());
    assert!(why.contains(&format!("/run/longshore nor in {}/longshore", dir.path().display())), "{why}");
}

#[test]
fn switched_off_there_is_no_socket_to_ask() {
    let server = Server::start();
    let config = server.beside("longshore.toml");
    let output = Command::new(LONGSHORE).args(["sessions", "--config"]).arg(config).output().unwrap();
    assert!(failure(&output).contains("server.admin_socket is \"\""), "{output:?}");
}
