//! The session log: every port on record, no password ever, no forged line.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::{LONGSHORE, Process, Server, no_ipv6, poll};
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

/// Whatever way a transfer ends: one connection, one transfer.
#[test]
fn every_data_connection_has_one_transfer_on_record() {
    let server = Server::builder().server("data_timeout = 1").file("x", "x").start();
    server.write_sparse("endless", 1 << 40);
    let mut whole = Ftp::anonymous(&server);
    whole.get("RETR x");
    whole.get("LIST");
    whole.put("STOR up", b"up");
    let stalled = whole.open("RETR endless");
    whole.read(426);
    drop(stalled);
    drop(whole.open("RETR endless"));
    whole.read(426);
    let aborted = whole.open("RETR endless");
    whole.send("ABOR");
    whole.read(426);
    whole.read(226);
    drop(aborted);
    whole.expect(221, "QUIT");
    let connections: Vec<std::net::TcpStream> = ["RETR endless", "STOR new"]
        .into_iter()
        .map(|line| {
            let mut ftp = Ftp::anonymous(&server);
            let data = ftp.open(line);
            // Commands whose replies cannot be sent.
            ftp.raw(&b"NOOP\r\n".repeat(50));
            ftp.reset();
            data
        })
        .collect();
    let closed = |event: &&Value| event["event"] == "session_closed";
    assert!(poll(|| (server.events().iter().filter(closed).count() == 3).then_some(())).is_some());
    let ends = |kind: &str| {
        let events = server.events().into_iter().filter(|event| event["event"] == kind);
        let mut ends: Vec<String> = events.map(|event| format!("{} {}", event["client"], event["server"])).collect();
        ends.sort();
        ends
    };
    assert_eq!(ends("data_opened").len(), 8);
    assert_eq!(ends("data_opened"), ends("transfer"));
    drop(connections);
}

/// Every offer that is used comes to an end on record: its data connection was opened, or it was not.
#[test]
fn an_aborted_wait_for_the_data_connection_is_on_record() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let port = ftp.epsv();
    ftp.send("RETR x");
    ftp.send("ABOR");
    ftp.read(426);
    ftp.read(226);
    let failed = server.event("data_failed");
    assert_eq!((&failed["mode"], &failed["port"]), (&"passive".into(), &port.into()), "{failed}");
}

/// A connection that never was has no ends: the event names the address that was tried, and the control connection.
#[test]
fn a_data_connection_that_failed_names_the_address_that_was_tried() {
    let server = Server::builder().server("data_timeout = 1").file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&std::net::SocketAddr::new(ftp.local().ip(), 0).into()).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    ftp.expect(200, format!("PORT {}", port_argument(address)));
    ftp.expect(425, "RETR x");
    let port = ftp.epsv();
    ftp.expect(425, "RETR x");
    for (mode, port) in [("active", address.port()), ("passive", port)] {
        let failed = server.event_where("data_failed", |event| event["mode"] == mode);
        assert_eq!(failed["address"], "127.0.0.1", "{failed}");
        assert_eq!(failed["port"], port, "{failed}");
        assert_eq!(failed["port_class"], class(port), "{failed}");
        ends(&failed, ftp.local(), ftp.peer());
    }
}

#[test]
fn a_known_verb_without_its_argument_is_on_record() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for verb in ["STOR", "RETR", "CWD"] {
        ftp.expect(501, verb);
        let command = server.event_where("command", |event| event["verb"] == verb);
        assert_eq!(command["code"], 501, "{command}");
    }
}

#[test]
fn what_a_client_sends_forges_no_line_of_the_text_log() {
    let server = Server::builder().text_log().start();
    let mut ftp = Ftp::anonymous(&server);
    for line in [
        &b"PORT 127,0,0,1,195,\r\x0080\r\n"[..],
        b"PORT 127,0,0,1,195,80\x0c\r\n",
        b"PORT \x0b127,0,0,1,195,80\x1b[2J\r\n",
        b"EPRT |1|127.0.0.1|50000\r\x00|\r\n",
        b"CWD x\r\x00forged\x1b[2J\r\n",
        b"USER x\r\x00forged\r\n",
    ] {
        ftp.raw(line);
        ftp.reply();
    }
    ftp.expect(221, "QUIT");
    let whole = poll(|| Some(server.log_text()).filter(|text| text.contains("session 1 closed"))).expect("its end");
    assert!(!whole.contains(|c: char| c.is_control() && c != '\n'), "{whole:?}");
    assert!(whole.lines().all(|line| line.contains("Z session 1 ")), "{whole}");
}

/// Whatever reads the log with a JSON parser gets nothing else.
#[test]
fn a_json_log_on_standard_output_is_nothing_but_json() {
    let dir = tempfile::Builder::new().prefix("longshore-it-").tempdir().unwrap();
    let config = dir.path().join("longshore.toml");
    std::fs::write(&config, "[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\nformat = \"json\"\n").unwrap();
    let mut process =
        Process::spawn(Command::new(LONGSHORE).arg("--config").arg("longshore.toml").current_dir(dir.path()));
    let mut ftp = Ftp::connect(process.listening(1)[0]);
    ftp.login("anonymous", "x");
    ftp.get("LIST");
    process.signal(Signal::TERM);
    ftp.read(421);
    assert_eq!(process.wait().code(), Some(0));
    let kinds: Vec<String> = process
        .stdout()
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|err| panic!("not JSON ({err}): {line}"));
            event["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(kinds.first().unwrap(), "session_opened");
    assert_eq!(kinds.last().unwrap(), "session_closed");
}
