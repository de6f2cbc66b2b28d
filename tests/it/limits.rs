//! What a client can exhaust, and the clocks.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::fixture::{Server, poll};
use crate::ftp::{Flood, Ftp};

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
    ftp.expect(200, "NOOP");
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
    for ftp in &mut sessions {
        ftp.send("HASH endless");
        // Behind it, so it is being worked on.
        ftp.expect(200, "NOOP");
    }
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
