//! Those who mean harm, or are many: at the HTTP listener, at the admin socket, and in the middle of reloads.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::{LONGSHORE, Server, noise, poll};
use crate::ftp::{Ftp, connect_from};

/// What an HTTP client may take for a head, and a little.
const PATIENCE: Duration = Duration::from_secs(25);

fn http(server: &Server) -> TcpStream {
    http_from(server, 1)
}

/// From another address of loopback: one has not all the places.
fn http_from(server: &Server, host: u8) -> TcpStream {
    let stream = connect_from([127, 0, 0, host].into(), server.metrics()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What comes until the server closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("it stays open: {error}"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[test]
fn http_clients_that_dawdle_are_left_and_leave_their_places_to_others() {
    let server = Server::builder().metrics().start();
    let begun = Instant::now();
    // As many as there are places: some silent, some with half a head, some behind an answer.
    let dawdling = (0..512).map(|index| {
        let mut stream = http_from(&server, if index < 384 { 1 } else { 2 });
        match index % 3 {
            0 => {}
            1 => stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap(),
            _ => {
                stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                let mut lines = BufReader::new(&stream).lines();
                assert_eq!(lines.next().unwrap().unwrap(), "HTTP/1.1 200 OK");
            }
        }
        stream
    });
    let dawdling: Vec<TcpStream> = dawdling.collect();
    let mut next = http_from(&server, 3);
    next.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert!(rest(next).ends_with("ready\n"));
    dawdling.into_iter().for_each(|stream| drop(rest(stream)));
    assert!(begun.elapsed() > Duration::from_secs(8), "nobody was hurried: {:?}", begun.elapsed());
}

#[test]
fn an_http_head_has_an_end_and_a_body_is_not_read() {
    let server = Server::builder().metrics().start();
    let mut stream = http(&server);
    // It may be closed before all of it is there.
    let _ = stream.write_all(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)).as_bytes());
    let answer = rest(stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let mut stream = http(&server);
    let head = "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let piece = [b'x'; 1 << 16];
    let sent = (0..1024).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < 1024, "it reads on and on");
    let mut stream = http(&server);
    stream.write_all(b"DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert!(rest(stream).starts_with("HTTP/1.1 405 "));
}

/// Whoever has taken a server over must not reach the terminal of root, who asks it.
#[test]
fn what_a_server_answers_stays_in_its_place_on_the_terminal() {
    let server = Server::builder().admin().start();
    let _ftp = Ftp::anonymous(&server);
    let mut table = server.ask_json(&["sessions"]);
    table["connections"][1]["verb"] = json!("NOOP\u{1b}[2J\u{9b}1m\r");
    table["connections"][1]["user"] = json!("ann\u{7}");
    let answered = |answer: Value, words: &[&str]| {
        let socket = server.beside("hostile");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut asking = Command::new(LONGSHORE);
        asking.args(words).arg("--socket").arg(&socket);
        let output = thread::scope(|scope| {
            scope.spawn(|| {
                // The first connection only looks whether there is a server.
                drop(listener.accept().unwrap());
                let (mut stream, _) = listener.accept().unwrap();
                BufReader::new(&stream).read_line(&mut String::new()).unwrap();
                writeln!(stream, "{answer}").unwrap();
            });
            asking.output().unwrap()
        });
        fs::remove_file(&socket).unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains(|char: char| char.is_control() && char != '\n'), "{said:?}");
        said
    };
    assert!(answered(json!({ "ok": table }), &["sessions"]).contains("NOOP"));
    assert!(answered(json!({ "error": "no\u{1b}]0;x\u{7}" }), &["sessions"]).contains("the server says: no"));
    assert!(answered(json!({ "ok": ["new\u{1b}[1m"] }), &["reload"]).contains("new"));
}

#[test]
fn the_admin_socket_follows_no_link_and_is_closed_from_its_first_moment() {
    let server = Server::builder().admin().start();
    let dir = server.beside("run");
    fs::create_dir(&dir).unwrap();
    let (precious, socket) = (dir.join("precious"), dir.join("link"));
    fs::write(&precious, "precious").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o644)).unwrap();
    for target in [precious.clone(), dir.join("nothing"), server.beside("admin.sock")] {
        symlink(&target, &socket).unwrap();
        let mut command = Command::new(LONGSHORE);
        command.args(["--listen", "127.0.0.1:0"]).env("LONGSHORE__SERVER__ADMIN_SOCKET", &socket).current_dir(&dir);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{}: {output:?}", target.display());
        assert!(socket.is_symlink(), "{}", target.display());
        fs::remove_file(&socket).unwrap();
    }
    assert!(!dir.join("nothing").exists());
    let found = fs::metadata(&precious).unwrap();
    assert_eq!((found.permissions().mode() & 0o777, fs::read(&precious).unwrap()), (0o644, b"precious".to_vec()));
    server.ask_json(&["sessions"]);
}

#[test]
fn a_storm_of_reloads_is_in_nobody_s_way() {
    let server = Server::builder().admin().account("ann", "pw").server("greeting = \"first\"").start();
    let config = server.beside("longshore.toml");
    let written = fs::read_to_string(&config).unwrap();
    let over = AtomicBool::new(false);
    let logins: usize = thread::scope(|scope| {
        let (server, over) = (&server, &over);
        let client = move |name: usize| {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                let mut ftp = Ftp::connect(server.address());
                if count % 8 == 0 {
                    ftp.login("ann", "pw")
                } else {
                    ftp.login("anonymous", "x")
                }
                ftp.put(format!("STOR {name}"), b"contents");
                ftp.expect(221, "QUIT");
                count += 1;
            }
            count
        };
        let clients: Vec<_> = (0..3).map(|name| scope.spawn(move || client(name))).collect();
        // At once: a file that is half written reads as another one.
        let write = |text: String| {
            let new = server.beside("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &config).unwrap();
        };
        for number in 0..60 {
            write(written.replace("\"first\"", &format!("\"number {number}\"")));
            match number % 3 {
                0 => (0..10).for_each(|_| server.signal(Signal::HUP)),
                1 => assert!(server.ask(&["reload"]).status.success()),
                // With faults, and nothing is taken.
                _ => {
                    write(format!("nonsense\n{written}"));
                    server.signal(Signal::HUP);
                }
            }
        }
        write(written.replace("\"first\"", "\"last\""));
        assert!(server.ask(&["reload"]).status.success());
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(logins > 3, "{logins}");
    assert!(Ftp::connect(server.address()).expect(220, "REIN").text().contains("last"));
    let events = server.events_of_ended();
    let stored = events.iter().filter(|event| event["event"] == "transfer" && event["outcome"] == "complete").count();
    assert_eq!(stored, logins, "the log has missed some");
}

#[test]
fn hangups_and_reloads_do_not_keep_a_server_that_stops() {
    let mut server = Server::builder().admin().file("slow", noise(30_000, 1)).limits("download_rate = 20000").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE I");
    let mut idle = Ftp::anonymous(&server);
    let data = ftp.open("RETR slow");
    server.signal(Signal::TERM);
    idle.read(421);
    for _ in 0..5 {
        server.signal(Signal::HUP);
        // It may still answer, and must not mind.
        let _ = server.ask(&["reload"]);
    }
    assert_eq!(ftp.drain(data), noise(30_000, 1));
    ftp.read(226);
    assert_eq!(server.wait().code(), Some(0));
}

/// A log on a file system that hangs, for which a pipe without a reader stands.
#[test]
fn reloads_that_wait_for_one_that_hangs_hold_no_threads() {
    let server = Server::builder().admin().start();
    let (config, pipe) = (server.beside("longshore.toml"), server.beside("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let threads = || -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok()).unwrap()
    };
    let written = fs::read_to_string(&config).unwrap();
    let (from, to) = (format!("{:?}", server.beside("sessions.json")), format!("{pipe:?}"));
    fs::write(&config, written.replace(&from, &to)).unwrap();
    server.signal(Signal::HUP);
    let before = threads();
    let waiting: Vec<_> = (0..7)
        .map(|_| {
            let mut stream = std::os::unix::net::UnixStream::connect(server.beside("admin.sock")).unwrap();
            stream.write_all(b"{\"request\":\"reload\"}\n").unwrap();
            stream
        })
        .collect();
    // The socket answers others meanwhile, and clients are served.
    server.ask_json(&["sessions"]);
    Ftp::anonymous(&server).lives();
    // One that hangs, and one for whatever else there is to do.
    assert!(threads() <= before + 2, "{} threads after {before}", threads());
    fs::write(&config, &written).unwrap();
    // Somebody reads: the first goes on, and the others after it.
    let mut reader = fs::File::open(&pipe).unwrap();
    for mut stream in waiting {
        let mut answer = String::new();
        let _ = BufReader::new(&mut stream).read_line(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("{\"ok\":"), "{answer}");
    }
    assert!(poll(|| server.ask(&["reload"]).status.success().then_some(())).is_some());
    let _ = reader.read(&mut [0; 1]);
}
