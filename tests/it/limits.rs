//! What a client can exhaust, and the clocks.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{DEADLINE, LONGSHORE, Server, left_out, poll};
use crate::ftp::{Flood, Ftp, connect_from, read_to_end};

#[test]
fn a_line_over_4_kib_is_500_and_the_end_of_the_session() {
    let server = Server::start();
    for login in [false, true] {
        let mut ftp = Ftp::connect(server.address());
        if login {
            ftp.login("anonymous", "x");
        }
        ftp.raw(&[b'A'; 5000]);
        ftp.read(500);
        ftp.rest_until_closed();
    }
    assert_eq!(server.event("session_closed")["reason"], "line_too_long");
}

#[test]
fn a_line_of_almost_4_kib_is_a_line() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    let reply = ftp.command(format!("CWD {}", "a/".repeat(2000)));
    assert!(matches!(reply.code, 501 | 550 | 553), "{reply:?}");
    ftp.lives();
}

/// A client that sends without end is cut off; it cannot make the server hold what it sends.
#[test]
fn an_endless_line_is_not_swallowed() {
    let server = Server::start();
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_write_timeout(Some(crate::fixture::DEADLINE)).unwrap();
    let chunk = [b'A'; 64 * 1024];
    // What the kernel's buffers hold goes out before the reset is seen.
    let refused = (0..1000).any(|_| socket.write_all(&chunk).is_err());
    assert!(refused, "64 MB without a line end were taken");
}

#[test]
fn an_idle_session_is_told_421() {
    let server = Server::builder().server("idle_timeout = 1").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.read(421);
    assert_eq!(ftp.rest_until_closed(), "");
    assert_eq!(server.event("session_closed")["reason"], "idle_timeout");
}

#[test]
fn a_connection_that_does_not_log_in_is_told_421() {
    let server = Server::builder().server("login_timeout = 1").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.read(421);
    assert_eq!(ftp.rest_until_closed(), "");
    assert_eq!(server.event("session_closed")["reason"], "login_timeout");
}

/// NOOPs before the login do not put off its deadline.
#[test]
fn the_login_clock_runs_on_whatever_is_sent() {
    let server = Server::builder().server("login_timeout = 1").start();
    let mut ftp = Ftp::connect(server.address());
    let told = poll(|| (ftp.command("NOOP").code == 421).then_some(()));
    assert!(told.is_some(), "it was never told 421");
    ftp.rest_until_closed();
}

#[test]
fn a_session_with_a_running_transfer_is_not_idle() {
    let server = Server::builder().server("idle_timeout = 1").start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR up");
    // Idle sessions beside it are told first, one after the other, so more than the idle time has passed.
    for _ in 0..2 {
        Ftp::anonymous(&server).read(421);
    }
    ftp.write_data(&mut data, b"slow");
    drop(data);
    ftp.read(226);
    assert_eq!(server.read("up"), b"slow");
}

#[test]
fn a_data_connection_on_which_nothing_moves_is_given_up() {
    let server = Server::builder().server("data_timeout = 1").file("x", "x").start();
    server.write_sparse("endless", 1 << 40);
    let mut ftp = Ftp::anonymous(&server);
    for line in ["STOR up", "RETR endless"] {
        let data = ftp.open(line);
        ftp.read(426);
        drop(data);
    }
    let stalled = server.event("transfer");
    assert_eq!(stalled["outcome"], "timed_out");
    // And one that nobody opens.
    ftp.epsv();
    let mut reply = ftp.command("RETR x");
    if reply.code == 150 {
        reply = ftp.reply();
    }
    assert_eq!(reply.code, 425);
    assert_eq!(ftp.get("RETR x"), b"x");
}

#[test]
fn many_sessions_that_come_and_go_leave_nothing_behind() {
    let server = Server::builder().file("x", "x").start();
    for _ in 0..10 {
        let sessions: Vec<Ftp> = (0..30).map(|_| Ftp::anonymous(&server)).collect();
        for mut ftp in sessions {
            ftp.epsv();
            drop(ftp);
        }
    }
    let closed = || server.events().iter().filter(|event| event["event"] == "session_closed").count();
    assert!(poll(|| (closed() == 300).then_some(())).is_some());
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(poll(|| (descriptors() < 40).then_some(())).is_some(), "{} are still open", descriptors());
}

#[test]
fn connections_that_say_nothing_hold_nobody_up() {
    let server = Server::builder().file("x", "x").start();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    for socket in &silent[..100] {
        socket.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!(Ftp::anonymous(&server).get("RETR x"), b"x");
    drop(silent);
}

#[test]
fn a_client_that_reads_no_replies_harms_nobody_else() {
    let server = Server::builder().file("x", "x").start();
    let mut rude = TcpStream::connect(server.address()).unwrap();
    rude.set_nonblocking(true).unwrap();
    let lines = "HELP\r\n".repeat(10_000);
    for _ in 0..50 {
        if rude.write(lines.as_bytes()).is_err() {
            break;
        }
    }
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.get("RETR x"), b"x");
    drop(rude);
    server.event("session_closed");
}

/// A whole minute of work does not count against the next login.
#[test]
fn the_login_clock_starts_anew_with_rein_and_user() {
    let server = Server::builder().server("login_timeout = 2").start();
    let mut ftp = Ftp::anonymous(&server);
    for line in ["REIN", "USER anonymous"] {
        // Longer than the login time: somebody who came later has used up his.
        Ftp::connect(server.address()).read(421);
        let reply = ftp.command(line);
        assert!(matches!(reply.code, 220 | 331), "{line}: {reply:?}");
        ftp.login("anonymous", "x");
    }
    ftp.lives();
}

/// Without a login, USER does not start it anew.
#[test]
fn the_login_clock_is_not_put_off_by_user() {
    let server = Server::builder().server("login_timeout = 1").start();
    let mut ftp = Ftp::connect(server.address());
    let told = poll(|| (ftp.command("USER anonymous").code == 421).then_some(()));
    assert!(told.is_some(), "it was never told 421");
}

/// A full server says so once, not ten times a second.
#[test]
fn a_server_without_descriptors_warns_once_and_recovers() {
    let server = Server::builder().server("data_timeout = 2").descriptors(40).file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.epsv();
    // Its answer comes when the data connection has not come in two seconds.
    ftp.send("RETR x");
    let waits = || server.open_files().contains(&server.path("x")).then_some(());
    assert!(poll(waits).is_some(), "the transfer has its file before the crowd comes");
    let crowd: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let warnings = || server.output().matches("cannot be accepted").count();
    assert!(poll(|| (warnings() > 0).then_some(())).is_some(), "sixty connections found forty descriptors");
    ftp.read(425);
    // Twenty tries were made meanwhile. What the transfer gives back lets somebody in, so there may be a second.
    assert!(warnings() < 5, "{} warnings", warnings());
    drop(crowd);
    let login = || Ftp::try_connect(server.address());
    let mut ftp = poll(login).expect("it serves again");
    ftp.login("anonymous", "x");
    assert_eq!(ftp.get("RETR x"), b"x");
}

#[test]
fn who_reads_no_replies_has_no_more_time_for_a_login_than_others() {
    let server = Server::builder().server("login_timeout = 2").start();
    let stream = TcpStream::connect(server.address()).unwrap();
    crate::ftp::fill(&stream, b"HELP\r\n");
    // It goes on reading a little now and then, so that something always moves.
    let closed = poll(|| {
        let _ = (&stream).read(&mut [0; 512]);
        server.events().into_iter().find(|event| event["event"] == "session_closed")
    });
    assert_eq!(closed.expect("the session ends")["reason"], "login_timeout");
}

/// Passwords are checked one after the other, and that takes a moment; nobody is told that his is wrong.
#[test]
fn sixty_logins_at_once_are_all_answered_and_none_is_called_wrong() {
    let server = Server::builder().account("alice", "looking-glass").start();
    let mut sessions: Vec<Ftp> = (0..60).map(|_| Ftp::connect(server.address())).collect();
    for ftp in &mut sessions {
        ftp.wait_for(Duration::from_secs(60));
        ftp.expect(331, "USER alice");
        ftp.send("PASS looking-glass");
    }
    let codes: Vec<u16> = sessions.iter_mut().map(|ftp| ftp.reply().code).collect();
    assert!(codes.iter().all(|code| matches!(code, 230 | 421)), "{codes:?}");
    assert!(codes.contains(&230), "{codes:?}");
}

/// A digest is as much work as a client likes, so as many run at once as there are processors.
#[test]
fn many_digests_at_once_are_bounded_and_all_answered() {
    let server = Server::start();
    let bytes = crate::fixture::noise(300_000, 11);
    server.write("small", &bytes);
    server.write_sparse("endless", 1 << 40);
    let mut sessions: Vec<Ftp> = (0..40).map(|_| Ftp::anonymous(&server)).collect();
    let digests: Vec<String> = {
        sessions.iter_mut().for_each(|ftp| ftp.send("XSHA256 small"));
        sessions.iter_mut().map(|ftp| ftp.read(250).text()).collect()
    };
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    sessions.iter_mut().for_each(|ftp| ftp.send("HASH endless"));
    // They take turns, so when this has had one they all have.
    let mut last = Ftp::anonymous(&server);
    last.wait_for(Duration::from_secs(60));
    last.expect(250, "XSHA256 small");
    let count = threads();
    assert!(count < 40, "{count} threads");
    for ftp in &mut sessions {
        ftp.send("ABOR");
        ftp.read(426);
        ftp.read(226);
        ftp.lives();
    }
}

/// The port of a session that has said goodbye is free, whatever the client does with its socket.
#[test]
fn a_passive_port_comes_back_when_its_session_ends() {
    let range = crate::data_ports::free_range();
    let only = format!("passive_ports = \"{0}-{0}\"", range.start());
    let server = Server::builder().server(&only).start();
    let (mut first, mut second) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    first.epsv();
    second.expect(425, "EPSV");
    first.expect(221, "QUIT");
    server.event("session_closed");
    // The first client has not closed its end, and the server waits for that.
    second.expect(229, "EPSV");
    drop(first);
}

/// A client that never pauses gives the server no moment in which nothing is to be read.
#[test]
fn the_login_clock_holds_against_a_stream_of_commands() {
    let server = Server::builder().server("login_timeout = 1").start();
    let ftp = Ftp::connect(server.address());
    let mut flood = Flood::start(&ftp);
    assert!(flood.read_until("421 "), "it was never told 421");
    assert_eq!(server.event("session_closed")["reason"], "login_timeout");
}

/// However many commands a session sends, the server holds none of them.
#[test]
fn a_million_commands_are_answered_and_not_kept() {
    const COMMANDS: usize = 1_000_000;
    const OK: &[u8] = b"200 OK.\r\n";
    let builder = Server::builder();
    // A third of a gigabyte of log is nobody's business.
    std::os::unix::fs::symlink("/dev/null", builder.beside("sessions.json")).unwrap();
    let server = builder.start();
    let mut ftp = Ftp::anonymous(&server);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
        line.split(' ').next().unwrap().parse::<usize>().unwrap() / 1024
    };
    let before = memory();
    let (mut sending, mut answers) = (ftp.stream(), ftp.stream());
    answers.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let sender =
        std::thread::spawn(move || (0..COMMANDS / 1000).try_for_each(|_| sending.write_all(&b"NOOP\r\n".repeat(1000))));
    let (mut block, expected) = (vec![0; 1000 * OK.len()], OK.repeat(1000));
    for _ in 0..COMMANDS / 1000 {
        std::io::Read::read_exact(&mut answers, &mut block).unwrap();
        assert!(block == expected, "{}", String::from_utf8_lossy(&block));
    }
    sender.join().unwrap().unwrap();
    ftp.lives();
    let grown = memory().saturating_sub(before);
    // The newest 65,536 events are kept for readers that are behind.
    assert!(grown < 100, "{grown} MiB more than before");
}

/// One client that never pauses leaves the others their turn.
#[test]
fn a_stream_of_commands_holds_nobody_up() {
    let server = Server::builder().file("x", "x").start();
    let rude = Ftp::connect(server.address());
    let flood = Flood::start(&rude);
    for _ in 0..10 {
        assert_eq!(Ftp::anonymous(&server).get("RETR x"), b"x");
    }
    drop(flood);
}

/// An address of this machine that is another client's.
fn client(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// What a client from there is told that is refused: the whole of it, up to the end of the connection.
#[track_caller]
fn refusal(server: &Server, client: IpAddr) -> String {
    let mut stream = connect_from(client, server.address()).unwrap();
    let mut told = Vec::new();
    read_to_end(&mut stream, &mut told).unwrap();
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("421 ") && told.ends_with(".\r\n") && told.lines().count() == 1, "{told:?}");
    told
}

/// Whether a client from there is let in now, or in a moment.
fn is_let_in(server: &Server, client: IpAddr) -> bool {
    let greeted = || {
        let mut stream = connect_from(client, server.address()).ok()?;
        stream.set_read_timeout(Some(crate::fixture::DEADLINE)).unwrap();
        let mut code = [0; 3];
        std::io::Read::read_exact(&mut stream, &mut code).ok()?;
        (code == *b"220").then_some(())
    };
    poll(greeted).is_some()
}

#[test]
fn deny_and_allow_decide_who_is_served_and_each_refusal_is_on_record() {
    let server = Server::builder().limits("allow = [\"127.0.0.0/28\"]").limits("deny = [\"127.0.0.9\"]").start();
    assert!(is_let_in(&server, client(8)));
    assert!(refusal(&server, client(9)).contains("127.0.0.9, is not served"));
    assert!(refusal(&server, client(16)).contains("127.0.0.16, is not served"));
    for (reason, client) in [("address_denied", "127.0.0.9:"), ("address_not_allowed", "127.0.0.16:")] {
        let refused = server.event_where("refused", |event| event["reason"] == reason);
        assert!(refused["client"].as_str().unwrap().starts_with(client), "{refused}");
        assert_eq!(refused.get("session"), None, "it has become no session");
    }
}

#[test]
fn one_address_has_its_sessions_and_others_have_theirs() {
    let server = Server::builder().limits("max_sessions_per_ip = 2").limits("max_sessions = 3").start();
    let mut two = [0; 2].map(|_| Ftp::connect_from(client(1), server.address()));
    assert!(refusal(&server, client(1)).contains("Close one of them"));
    let other = Ftp::connect_from(client(2), server.address());
    assert!(refusal(&server, client(3)).contains("The server has as many sessions"));
    // However a session ends, its place is free.
    two[0].expect(221, "QUIT");
    let [quit, left] = two;
    drop(quit);
    assert!(is_let_in(&server, client(3)));
    left.reset();
    assert!(is_let_in(&server, client(1)));
    drop(other);
    for reason in ["max_sessions_per_ip", "max_sessions"] {
        server.event_where("refused", |event| event["reason"] == reason);
    }
}

#[test]
fn who_logs_in_makes_room_for_others() {
    let server = Server::builder().limits("max_unauthenticated = 2").start();
    let mut first = Ftp::connect(server.address());
    let _second = Ftp::connect(server.address());
    assert!(refusal(&server, client(1)).contains("not logged in"));
    first.login("anonymous", "x");
    let third = Ftp::connect(server.address());
    // REIN is not refused, and counts.
    first.expect(220, "REIN");
    drop(third);
    refusal(&server, client(1));
    first.login("anonymous", "x");
    assert!(is_let_in(&server, client(1)));
}

#[test]
fn silent_connections_of_one_address_make_way_for_other_addresses() {
    let server = Server::builder().limits("max_unauthenticated = 3").start();
    let mut silent = [0; 3].map(|_| Ftp::connect_from(client(1), server.address()));
    let mut other = Ftp::connect_from(client(2), server.address());
    let told = silent[0].read(421).text();
    assert!(told.contains("not logged in"), "{told}");
    assert_eq!(server.event("session_closed")["reason"], "made_way");
    other.login("anonymous", "x");
    // The oldest has left, and nobody else. Once all have about as many, nobody makes way any more.
    let _third = Ftp::connect_from(client(3), server.address());
    assert!(refusal(&server, client(1)).contains("not logged in"));
    assert!(is_let_in(&server, client(4)));
    silent[1].read(421);
    silent[2].login("anonymous", "x");
}

#[test]
fn who_waits_for_a_handshake_or_a_turn_to_log_in_makes_way_too() {
    let server = Server::builder().tls(&[]).implicit().limits("max_unauthenticated = 2").start();
    let _silent = [0; 2].map(|_| connect_from(client(1), server.implicit()).unwrap());
    // Another listener accepts who comes behind them, and might be faster.
    let opened = || server.events().iter().filter(|event| event["event"] == "session_opened").count();
    assert!(poll(|| (opened() == 2).then_some(())).is_some());
    assert!(is_let_in(&server, client(2)));
    // The one that was let in may have left before.
    server.event_where("session_closed", |event| event["reason"] == "made_way");
    let server = Server::builder().limits("max_unauthenticated = 2").limits("login_attempts = 9").start();
    let mut guessing = [0; 2].map(|_| Ftp::connect_from(client(1), server.address()));
    for failures in 0..5 {
        guessing[0].wait_for(DEADLINE * 2);
        guessing[0].expect(331, "USER bob");
        guessing[0].send("PASS x");
        if failures < 4 {
            guessing[0].read(530);
        }
    }
    // This one waits for eight seconds.
    server.event_where("login_delayed", |event| event["seconds"] == 8);
    let began = Instant::now();
    assert!(is_let_in(&server, client(2)));
    guessing[0].read(421);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn an_account_has_its_sessions_and_guests_are_not_counted() {
    let server = Server::builder().account("alice", "looking-glass").limits("max_sessions_per_user = 1").start();
    let _guests = [0; 3].map(|_| Ftp::anonymous(&server));
    let mut first = Ftp::connect(server.address());
    first.login("alice", "looking-glass");
    let mut second = Ftp::connect(server.address());
    second.expect(331, "USER alice");
    let told = second.expect(530, "PASS looking-glass").text();
    assert!(told.contains("alice has as many sessions as it may have: 1."), "{told}");
    let refused = server.event_where("login", |event| event["outcome"] == "too_many_sessions");
    assert_eq!((&refused["user"], &refused["attempts"]), (&"alice".into(), &1.into()));
    // REIN leaves it as QUIT does.
    first.expect(220, "REIN");
    second.login("alice", "looking-glass");
}

#[test]
fn what_an_account_or_its_group_says_of_sessions_comes_before_the_setting() {
    let server = Server::builder()
        .account_with("alice", "looking-glass", "group = \"class\"")
        .account_with("bob", "builder", "group = \"class\"\nmax_sessions = 0")
        .accounts_text("\n[[group]]\nname = \"class\"\nmax_sessions = 2\n")
        .limits("max_sessions_per_user = 1")
        .start();
    let log_in = |name: &str, password: &str| {
        let mut ftp = Ftp::connect(server.address());
        ftp.login(name, password);
        ftp
    };
    let _alice = [0; 2].map(|_| log_in("alice", "looking-glass"));
    let _bob = [0; 3].map(|_| log_in("bob", "builder"));
    let mut third = Ftp::connect(server.address());
    third.expect(331, "USER alice");
    assert!(third.expect(530, "PASS looking-glass").text().contains("alice has as many sessions as it may have: 2."));
}

#[test]
fn an_address_that_connects_too_often_is_refused_and_others_are_not() {
    let server = Server::builder().limits("accept_rate = 1").start();
    // Ten seconds' worth may come at once.
    let sessions: Vec<Ftp> = (0..10).map(|_| Ftp::connect_from(client(1), server.address())).collect();
    assert!(refusal(&server, client(1)).contains("connects too often"));
    assert!(is_let_in(&server, client(2)));
    assert!(is_let_in(&server, client(1)), "a second later there is another one");
    drop(sessions);
}

/// Nothing of a refused connection stays, and those who are in do not feel it.
#[test]
fn a_thousand_refused_connections_cost_next_to_nothing() {
    let server = Server::builder().file("x", "x").limits("deny = [\"127.0.0.9\"]").start();
    let mut ftp = Ftp::anonymous(&server);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = descriptors();
    // They stay open at their end.
    let refused: Vec<TcpStream> = (0..1000).map(|_| connect_from(client(9), server.address()).unwrap()).collect();
    assert_eq!(ftp.get("RETR x"), b"x");
    let recorded = || server.events().iter().filter(|event| event["event"] == "refused").count();
    assert!(poll(|| (recorded() == 1000).then_some(())).is_some(), "{} are on record", recorded());
    assert!(poll(|| (descriptors() <= before + 4).then_some(())).is_some(), "{} are open", descriptors());
    drop(refused);
}

#[test]
fn as_many_failed_logins_as_the_settings_say_end_a_session() {
    let server = Server::builder().limits("login_attempts = 2").limits("login_failures = \"off\"").start();
    let mut ftp = Ftp::connect(server.address());
    for code in [530, 421] {
        ftp.expect(331, "USER nobody");
        ftp.expect(code, "PASS x");
    }
    assert_eq!(ftp.rest_until_closed(), "");
    assert_eq!(server.event("session_closed")["reason"], "failed_logins");
}

/// A failed login slows the next one of the same user at the same address down, over sessions, and nobody else.
#[test]
fn a_login_waits_for_its_turn_behind_failed_ones() {
    let server = Server::builder().account("alice", "looking-glass").account("bob", "builder").start();
    let login = |from: u8, user: &str, password: &str| {
        let mut ftp = Ftp::connect_from(client(from), server.address());
        ftp.expect(331, format!("USER {user}"));
        let begun = Instant::now();
        (ftp.command(format!("PASS {password}")).code, begun.elapsed())
    };
    let second = Duration::from_secs(1);
    let failed = |times: u64| {
        let delayed = server.event_where("login_delayed", |event| event["failures"] == times);
        assert_eq!((&delayed["user"], delayed["seconds"].as_u64()), (&"alice".into(), Some(times)));
    };
    let (code, _) = login(1, "alice", "wrong");
    assert_eq!(code, 530);
    // Not held up: the same user elsewhere, and another one here.
    assert_eq!(login(2, "alice", "looking-glass").0, 230);
    assert_eq!(login(1, "bob", "builder").0, 230);
    let delayed = || server.events().iter().filter(|event| event["event"] == "login_delayed").count();
    assert_eq!(delayed(), 0);
    let (code, took) = login(1, "alice", "wrong again");
    assert!(code == 530 && took >= second, "{code} after {took:?}");
    failed(1);
    // The right password waits too, or its answer would be known by its time; and then all is forgotten.
    let (code, took) = login(1, "alice", "looking-glass");
    assert!(code == 230 && took >= 2 * second, "{code} after {took:?}");
    failed(2);
    assert_eq!(login(1, "alice", "looking-glass").0, 230);
    assert_eq!(delayed(), 2);
}

/// Waiting logins hold neither a password check nor a thread, and a client that leaves ends its wait.
#[test]
fn waiting_logins_hold_nobody_up() {
    let server = Server::builder()
        .account("alice", "looking-glass")
        .limits("login_failures = \"user\"")
        .limits("login_attempts = 100")
        .start();
    let mut ftp = Ftp::connect(server.address());
    for _ in 0..2 {
        ftp.expect(331, "USER nobody");
        ftp.expect(530, "PASS x");
    }
    let mut waiting: Vec<Ftp> = (0..40).map(|_| Ftp::connect(server.address())).collect();
    for ftp in &mut waiting {
        ftp.expect(331, "USER nobody");
        ftp.send("PASS x");
    }
    let mut other = Ftp::connect(server.address());
    other.login("alice", "looking-glass");
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    assert!(threads < 40, "{threads} threads");
    let leaving = waiting.pop().unwrap();
    let port = leaving.local().port();
    drop(leaving);
    server.event_where("session_closed", |event| event["client_port"] == port);
    assert!(waiting.iter_mut().all(|ftp| ftp.reply().code == 530));
}

/// A server that stops does not wait for them.
#[test]
fn a_waiting_login_does_not_hold_the_stop_up() {
    let mut server = Server::builder().limits("login_delay_max = 300").start();
    // Side by side, so that few of them wait for others.
    let mut failing: Vec<Ftp> = (0..6).map(|_| Ftp::connect(server.address())).collect();
    failing.iter_mut().for_each(|ftp| drop(ftp.expect(331, "USER nobody")));
    failing.iter_mut().for_each(|ftp| ftp.send("PASS x"));
    for ftp in &mut failing {
        ftp.wait_for(Duration::from_secs(60));
        ftp.read(530);
    }
    let mut waiting = Ftp::connect(server.address());
    waiting.expect(331, "USER nobody");
    waiting.send("PASS x");
    server.event_where("login_delayed", |event| event["failures"] == 6 && event["seconds"] == 32);
    server.signal(rustix::process::Signal::TERM);
    waiting.read(421);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn an_unused_passive_port_is_taken_back_and_425_says_so() {
    let range = crate::data_ports::free_range();
    let only = format!("passive_ports = \"{0}-{0}\"", range.start());
    let server = Server::builder().server(&only).limits("passive_offer_timeout = 1").file("x", "x").start();
    let (mut first, mut second) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    first.epsv();
    second.expect(425, "EPSV");
    let taken_back = server.event("data_failed");
    assert!(taken_back["reason"].as_str().unwrap().contains("taken back"), "{taken_back}");
    assert_eq!(second.get("RETR x"), b"x");
    let told = first.expect(425, "RETR x").text();
    assert!(told.contains("Send EPSV or PASV again"), "{told}");
    assert_eq!(first.get("RETR x"), b"x");
}

/// Whatever it sends, one session holds one port.
#[test]
fn a_session_that_sends_pasv_over_and_over_holds_one_port() {
    let range = crate::data_ports::free_range();
    let two = format!("passive_ports = \"{}-{}\"", range.start(), range.start() + 1);
    let server = Server::builder().server(&two).file("x", "x").start();
    let (mut greedy, mut other) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    for _ in 0..100 {
        greedy.pasv();
        greedy.epsv();
    }
    assert_eq!(other.get("RETR x"), b"x");
}

/// A line that comes byte by byte is not a command, and puts no clock off.
#[test]
fn a_slow_line_does_not_put_the_clocks_off() {
    let server = Server::builder().server("idle_timeout = 1").start();
    let mut ftp = Ftp::anonymous(&server);
    let mut slow = ftp.stream();
    let drip = std::thread::spawn(move || {
        while slow.write_all(b"A").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    ftp.read(421);
    drop(ftp);
    drip.join().unwrap();
    assert_eq!(server.event("session_closed")["reason"], "idle_timeout");
}

#[test]
fn too_few_open_files_are_advised_about_and_do_not_keep_the_server_from_serving() {
    let server = Server::builder().descriptors(100).limits("max_sessions = 50").start();
    let advice = "limits.max_sessions = 50 may need 333 open files, and the limit is 100";
    assert!(poll(|| server.output().contains(advice).then_some(())).is_some(), "{}", server.output());
    drop(Ftp::anonymous(&server));
    let (config, script) = (server.beside("longshore.toml"), "ulimit -n 100 && exec \"$0\" check --config \"$1\"");
    let output = Command::new("sh").args(["-c", script, LONGSHORE]).arg(&config).output().unwrap();
    assert!(output.status.success());
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains(advice) && warning.contains("set limits.max_sessions = 11"), "{warning}");
    // Whoever asks for metrics takes files, too.
    let text = std::fs::read_to_string(&config).unwrap() + "[metrics]\nlisten = [\"127.0.0.1:0\"]\n";
    std::fs::write(&config, text).unwrap();
    let output = Command::new("sh").args(["-c", script, LONGSHORE]).arg(&config).output().unwrap();
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("may need 846 open files"), "{warning}");
}

/// The lines of a real log that fail2ban has to find, with the addresses it has to find in them.
fn hostile_log(text: bool) -> (Server, String) {
    let needy = "client_certificate = \"CN=carol\"";
    let builder = Server::builder().account("alice", "looking-glass").account_with("carol", "pw", needy);
    let ca = format!("client_ca = {:?}", builder.beside("certificate.pem"));
    let builder = builder.limits("deny = [\"127.0.0.9\"]").tls(&["client_certificates = \"request\"", &ca]);
    let server = if text { builder.text_log().start() } else { builder.start() };
    let forged = "x session 9 login of alice: wrong_password (attempt 1), client 127.0.0.66:1";
    for (from, user) in [(2, "alice"), (3, "nobody"), (4, forged)] {
        let mut ftp = Ftp::connect_from(client(from), server.address());
        ftp.expect(331, format!("USER {user}"));
        ftp.expect(530, "PASS \",\"outcome\":\"wrong_password\",");
    }
    let mut ftp = Ftp::connect_from(client(6), server.address());
    ftp.expect(331, "USER carol");
    ftp.expect(530, "PASS pw");
    let mut ftp = Ftp::connect_from(client(5), server.address());
    ftp.login("alice", "looking-glass");
    ftp.expect(550, format!("DELE {forged}"));
    ftp.expect(550, "DELE \",\"outcome\":\"wrong_password\",\"");
    refusal(&server, client(9));
    let whole = || server.log_text().contains("address_denied").then(|| server.log_text());
    let log = poll(whole).unwrap();
    (server, log)
}

/// What a run of Python's `re` finds in a log: the addresses, one a line.
const FIND: &str = r#"
import configparser, re, sys
config = configparser.ConfigParser()
config.read(sys.argv[1])
mode, text = sys.argv[2], sys.stdin.read()
definition = config["Definition"]
# As fail2ban does it: an address with or without brackets, and the time cut out of the line.
address = r"\[?(?P<ip>\d+(?:\.\d+){3}|[0-9a-fA-F:]+)\]?"
expressions = [re.compile(line.replace("<ADDR>", address)) for line in definition["_failregex_" + mode].splitlines()]
for line in text.splitlines():
    line = re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z|\"time\":\"[^\"]*\"", "", line, count=1)
    for expression in expressions:
        if found := expression.search(line):
            print(found["ip"])
            break
"#;

#[test]
fn the_fail2ban_filter_finds_the_failed_logins_and_nothing_else() {
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/fail2ban/longshore.conf");
    let works = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !works("python3") {
        left_out("python3 is not installed; the test of the fail2ban filter was left out");
        return;
    }
    for text in [true, false] {
        let (server, log) = hostile_log(text);
        for (mode, expected) in [
            ("normal", "127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.6"),
            ("aggressive", "127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.6 127.0.0.9"),
        ] {
            let mut python = Command::new("python3");
            python.args(["-c", FIND]).arg(&filter).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = python.spawn().unwrap();
            child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
            let found = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{mode}\n{log}");
            if works("fail2ban-regex") {
                let filter = format!("{}[mode={mode}]", filter.display());
                let output =
                    Command::new("fail2ban-regex").arg(server.beside("sessions.json")).arg(filter).output().unwrap();
                let report = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    report.contains(&format!(" {} matched", expected.split(' ').count())),
                    "{mode}\n{report}\n{log}"
                );
            }
        }
    }
    if !works("fail2ban-regex") {
        left_out("fail2ban-regex is not installed; the filter was tried with Python's re only");
    }
}

/// Each check takes 19 MiB, which the heaps of its threads once kept: 100 MB after 30 logins.
#[test]
fn checked_passwords_leave_no_memory_behind() {
    let server = Server::builder().account("ann", "pw").start();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    for _ in 0..30 {
        Ftp::connect(server.address()).login("ann", "pw");
    }
    let after = resident();
    assert!(after < before + 40_000, "from {before} KiB to {after} KiB");
}
