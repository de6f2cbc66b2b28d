//! The session log: every port on record, no password ever, no forged line.

use serde_json::Value;

use crate::fixture::{Server, no_ipv6, poll};
use crate::ftp::{Ftp, accept, port_argument};

fn class(port: u16) -> &'static str {
    match port {
        0..1024 => "system",
        1024..49152 => "user",
        _ => "dynamic",
    }
}

/// Both ends of an event's connection, checked against the sockets of this test.
#[track_caller]
fn ends(event: &Value, client: std::net::SocketAddr, server: std::net::SocketAddr) {
    for (field, address) in [("client", client), ("server", server)] {
        assert_eq!(event[field], address.to_string(), "{event}");
        assert_eq!(event[format!("{field}_port")], address.port(), "{event}");
        assert_eq!(event[format!("{field}_port_class")], class(address.port()), "{event}");
    }
}

#[test]
fn logged_control_ports_are_those_of_the_clients_socket() {
    let server = Server::builder().ipv6().start();
    let mut sessions = vec![(Ftp::connect(server.address()), "ipv4")];
    if !no_ipv6() {
        sessions.push((Ftp::connect(server.address_v6()), "ipv6"));
    }
    for (mut ftp, family) in sessions {
        let here = |event: &Value| event["client"] == ftp.local().to_string();
        let opened = server.event_where("session_opened", here);
        ends(&opened, ftp.local(), ftp.peer());
        assert_eq!(opened["family"], family);
        assert_eq!(opened["tls"], false);
        let session = opened["session"].clone();
        let local = ftp.local();
        let peer = ftp.peer();
        ftp.login("anonymous", "x");
        ftp.expect(221, "QUIT");
        let closed = server.event_where("session_closed", |event| event["session"] == session);
        ends(&closed, local, peer);
        assert_eq!(closed["reason"], "quit");
    }
}

#[test]
fn logged_passive_ports_are_those_of_the_data_connection() {
    let server = Server::builder().file("x", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    let offered = ftp.pasv();
    let data = std::net::TcpStream::connect(offered).unwrap();
    let local = data.local_addr().unwrap();
    ftp.start("RETR x");
    ftp.drain(data);
    ftp.read(226);
    let offer = server.event("data_offered");
    assert_eq!(offer["verb"], "PASV");
    assert_eq!(offer["port"], offered.port());
    assert_eq!(offer["port_class"], class(offered.port()));
    assert_eq!(offer["address"], offered.ip().to_string());
    assert_eq!(offer["numbers"], port_argument(offered));
    let opened = server.event("data_opened");
    ends(&opened, local, offered);
    assert_eq!(opened["mode"], "passive");
    assert_eq!(opened["opened_by"], "client");
    let transfer = server.event("transfer");
    ends(&transfer, local, offered);
    assert_eq!(transfer["verb"], "RETR");
    assert_eq!(transfer["path"], "/x");
    assert_eq!(transfer["type"], "I");
    assert_eq!(transfer["bytes"], 5);
    assert_eq!(transfer["outcome"], "complete");
    assert_eq!(transfer["closed_first"], "server");
}

#[test]
fn logged_active_ports_are_those_of_the_data_connection() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    let listener = ftp.listener();
    let local = listener.local_addr().unwrap();
    ftp.expect(200, format!("PORT {}", port_argument(local)));
    ftp.start("STOR up");
    let (mut data, peer) = accept(&listener);
    ftp.write_data(&mut data, b"1234567");
    drop(data);
    ftp.read(226);
    let offer = server.event("data_offered");
    assert_eq!((&offer["verb"], &offer["port"]), (&"PORT".into(), &local.port().into()), "{offer}");
    let opened = server.event("data_opened");
    ends(&opened, local, peer);
    assert_eq!(opened["mode"], "active");
    assert_eq!(opened["opened_by"], "server");
    let transfer = server.event("transfer");
    assert_eq!(transfer["bytes"], 7);
    assert_eq!(transfer["closed_first"], "client");
}

#[test]
fn commands_are_on_record_with_their_codes() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(257, "MKD new dir");
    ftp.expect(550, "CWD nowhere");
    let made = server.event_where("command", |event| event["verb"] == "MKD");
    assert_eq!((&made["argument"], &made["code"]), (&"new dir".into(), &257.into()));
    assert!(made["milliseconds"].is_number(), "{made}");
    let failed = server.event_where("command", |event| event["verb"] == "CWD");
    assert_eq!(failed["code"], 550);
}

#[test]
fn logins_are_on_record_and_unknown_names_are_masked() {
    let server = Server::builder().account("alice", "right").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS wrong-password-1");
    ftp.expect(331, "USER hunter2-typed-as-a-name");
    ftp.expect(530, "PASS wrong-password-2");
    ftp.login("alice", "right");
    let outcomes: Vec<Value> = poll(|| {
        let events = server.events().into_iter();
        let logins: Vec<Value> = events.filter(|event| event["event"] == "login").collect();
        (logins.len() == 3).then_some(logins)
    })
    .expect("three logins on record");
    let outcome = |at: usize| outcomes[at]["outcome"].as_str().unwrap().to_owned();
    assert_eq!([outcome(0), outcome(1), outcome(2)], ["wrong_password", "unknown_user", "ok"]);
    assert_eq!(outcomes[2]["user"], "alice");
    assert_eq!(outcomes[2]["attempts"], 3);
    let everything = server.log_text() + &server.output();
    assert!(!everything.contains("hunter2"), "an unknown user's name is on record");
}

#[test]
fn passwords_are_nowhere_on_record() {
    let server = Server::builder().account("alice", "Sesame-7777").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(331, "USER alice");
    ftp.expect(530, "PASS Wrong-8888");
    ftp.raw(b"pass Lower-9999\r\n");
    ftp.reply();
    ftp.raw(b"PA\xff\xf1SS Telnet-1212\r\n");
    ftp.reply();
    ftp.raw(b"  PASS Spaced-3434\r\n");
    ftp.reply();
    ftp.raw(b"PASSW Typo-5656\r\n");
    ftp.reply();
    ftp.raw(b"Forgot-7878\r\n");
    ftp.reply();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("alice", "Sesame-7777");
    ftp.command("ACCT Account-1111");
    ftp.expect(221, "QUIT");
    server.event_where("session_closed", |event| event["reason"] == "quit");
    let everything = server.log_text() + &server.output();
    for secret in [
        "Sesame-7777",
        "Wrong-8888",
        "Lower-9999",
        "Telnet-1212",
        "Spaced-3434",
        "Typo-5656",
        "Forgot-7878",
        "Account-1111",
    ] {
        assert!(!everything.contains(secret), "{secret} is on record");
    }
}

#[test]
fn names_forge_no_line_of_the_log() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.command(b"CWD x\rforged\x1b[2J\x07");
    ftp.command("MKD {\"event\":\"login\",\"outcome\":\"ok\",\"user\":\"root\"}");
    ftp.command(b"MKD \xe2\x80\xa8separator");
    std::fs::write(server.path("a\nforged b"), "x").unwrap();
    ftp.list("NLST");
    ftp.expect(221, "QUIT");
    server.event("session_closed");
    // Each line is one JSON object; events() fails otherwise.
    let events = server.events();
    assert!(!events.iter().any(|event| event["user"] == "root"));
    let text = server.log_text();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "a control character is in the log");
    assert_eq!(text.lines().count(), events.len());
}

#[test]
fn totals_are_on_record_when_the_session_ends() {
    let server = Server::builder().file("x", "12345").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.get("RETR x");
    ftp.put("STOR y", b"1234567");
    ftp.expect(221, "QUIT");
    let closed = server.event("session_closed");
    assert_eq!(closed["transfers"], 2, "{closed}");
    assert_eq!(closed["bytes_sent"], 5, "{closed}");
    assert_eq!(closed["bytes_received"], 7, "{closed}");
}

#[test]
fn every_event_names_its_session_and_a_time() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.get("RETR x");
    ftp.expect(221, "QUIT");
    server.event("session_closed");
    let events = server.events();
    assert_eq!(events.first().unwrap()["event"], "session_opened");
    assert_eq!(events.last().unwrap()["event"], "session_closed");
    for event in &events {
        assert!(event["session"].is_u64(), "{event}");
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
        assert!(event["client_port"].is_u64() && event["server_port"].is_u64(), "{event}");
    }
}
