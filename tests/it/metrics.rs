//! Numbers for Prometheus, and the log of transfers for its own analysers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::fixture::{DEADLINE, Server, noise, poll};
use crate::ftp::Ftp;

/// The status line and the body of a GET.
fn get(server: &Server, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.metrics()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn numbers(server: &Server) -> HashMap<String, f64> {
    let (status, body) = get(server, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap())).unwrap())
        .collect()
}

#[test]
fn the_numbers_are_those_of_what_happened() {
    let server =
        Server::builder().metrics().anonymous("read-write").account("ann", "pw").file("a", noise(1000, 1)).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE I");
    ftp.get("RETR a");
    ftp.get("RETR a");
    ftp.put("STOR b", &noise(500, 2));
    ftp.list("NLST");
    ftp.refused(550, "RETR missing");
    let mut other = Ftp::connect(server.address());
    other.expect(331, "USER ann");
    other.expect(530, "PASS wrong");
    other.expect(221, "QUIT");
    ftp.epsv();
    let expected = [
        ("longshore_sessions_total", 2.0),
        ("longshore_open_sessions", 1.0),
        ("longshore_logins_total{outcome=\"ok\"}", 1.0),
        ("longshore_logins_total{outcome=\"wrong_password\"}", 1.0),
        ("longshore_transfers_total{verb=\"RETR\",outcome=\"complete\"}", 2.0),
        ("longshore_transfer_bytes_total{verb=\"RETR\",outcome=\"complete\"}", 2000.0),
        ("longshore_transfer_bytes_total{verb=\"STOR\",outcome=\"complete\"}", 500.0),
        ("longshore_data_connections_total{mode=\"passive\"}", 4.0),
        ("longshore_passive_ports_in_use", 1.0),
        ("longshore_passive_ports_free", 16383.0),
        ("longshore_transfer_duration_seconds_count{verb=\"RETR\"}", 2.0),
        ("longshore_session_duration_seconds_count", 1.0),
        ("longshore_events_missed_total", 0.0),
    ];
    // They follow the events, a moment behind.
    let mut seen = HashMap::new();
    let reached = poll(|| {
        seen = numbers(&server);
        expected.iter().all(|(name, value)| seen.get(*name) == Some(value)).then_some(())
    });
    assert!(reached.is_some(), "{seen:#?}");
}

#[test]
fn health_and_readiness_are_told_and_a_stop_is_not_ready() {
    let mut server = Server::builder().metrics().limits("download_rate = 1000").file("a", noise(50_000, 1)).start();
    assert_eq!(get(&server, "/health"), ("HTTP/1.1 200 OK".to_owned(), "alive\n".to_owned()));
    assert_eq!(get(&server, "/ready").1, "ready\n");
    assert_eq!(get(&server, "/nothing").0, "HTTP/1.1 404 Not Found");
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE I");
    let data = ftp.open("RETR a");
    server.signal(rustix::process::Signal::TERM);
    let stopping = poll(|| (get(&server, "/ready").0 == "HTTP/1.1 503 Service Unavailable").then_some(()));
    assert!(stopping.is_some());
    drop((data, ftp));
    assert!(server.wait().success());
}

#[test]
fn transfers_are_logged_as_wu_ftpd_did_and_logrotate_moves_the_log_away() {
    let builder = Server::builder().account("ann", "pw").file("a b", noise(1000, 1));
    let log = builder.beside("xferlog");
    let server = builder.log(&format!("xferlog = {log:?}")).start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "pw");
    ftp.expect(200, "TYPE I");
    ftp.get("RETR a b");
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    let first = poll(|| Some(lines(&log)).filter(|text| text.ends_with('\n'))).unwrap();
    let fields: Vec<&str> = first.split_whitespace().collect();
    assert_eq!(fields[6..], ["127.0.0.1", "1000", "/a_b", "b", "_", "o", "r", "ann", "ftp", "0", "*", "c"], "{first}");
    let rotated = server.beside("xferlog.1");
    std::fs::rename(&log, &rotated).unwrap();
    server.signal(rustix::process::Signal::HUP);
    assert!(poll(|| log.exists().then_some(())).is_some(), "it is not opened anew");
    ftp.put("STOR c", b"c");
    let second = poll(|| Some(lines(&log)).filter(|text| text.ends_with('\n'))).unwrap();
    assert!(second.contains(" /c b _ i r ann ftp 0 * c"), "{second}");
    assert_eq!(lines(&rotated), first);
}
