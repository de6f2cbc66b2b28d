//! Clients that vanish, break off, stop or crawl; and a line that loses, delays and reorders.

use std::any::Any;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::line::Line;
use super::{Holdings, Random, rounds};
use crate::fixture::{Builder, Server, left_out, noise, poll};
use crate::ftp::{Ftp, eprt_argument, reset};

/// Long enough for a loaded machine, short enough for a test.
const LIMIT: Duration = Duration::from_secs(2);

/// A server that gives nobody more than [`LIMIT`], with a small and an endless file.
fn impatient() -> Builder {
    let server = Server::builder().admin().file("x", "x");
    let seconds = LIMIT.as_secs();
    ["idle_timeout", "data_timeout", "login_timeout"]
        .into_iter()
        .fold(server, |server, key| server.server(&format!("{key} = {seconds}")))
}

fn endless(server: &Server) {
    server.write_sparse("endless", 1 << 40);
}

/// What a client leaves behind that has vanished: its sockets, which say nothing any more.
type Remains = Box<dyn Any + Send>;

/// Every state in which a client can be when it vanishes.
const STATES: [fn(SocketAddr) -> Remains; 9] = [
    // Before USER.
    |at| Box::new(Ftp::connect(at)),
    // In the middle of a line.
    |at| {
        let mut ftp = logged_in(at);
        ftp.raw(b"NOO");
        Box::new(ftp)
    },
    // Idle.
    |at| Box::new(logged_in(at)),
    // With a passive port on offer.
    |at| {
        let mut ftp = logged_in(at);
        ftp.epsv();
        Box::new(ftp)
    },
    // With a data connection that is not used.
    |at| {
        let mut ftp = logged_in(at);
        let data = ftp.passive();
        Box::new((ftp, data))
    },
    // Before it connects to its passive port.
    |at| {
        let mut ftp = logged_in(at);
        ftp.epsv();
        ftp.send("RETR x");
        Box::new(ftp)
    },
    // During a download.
    |at| {
        let mut ftp = logged_in(at);
        let mut data = ftp.open("RETR endless");
        data.read_exact(&mut [0; 100_000]).unwrap();
        Box::new((ftp, data))
    },
    // During an upload.
    |at| {
        let mut ftp = logged_in(at);
        let mut data = ftp.open("STOR new");
        data.write_all(&[7; 100_000]).unwrap();
        Box::new((ftp, data))
    },
    // During a replacement.
    |at| {
        let mut ftp = logged_in(at);
        let mut data = ftp.open("STOR x");
        data.write_all(&[7; 100_000]).unwrap();
        Box::new((ftp, data))
    },
];

fn logged_in(at: SocketAddr) -> Ftp {
    let mut ftp = Ftp::connect(at);
    ftp.login("anonymous", "x");
    ftp
}

#[test]
fn a_client_that_vanishes_is_noticed_in_every_state() {
    let Some(builder) = impatient().own_network() else { return };
    let server = builder.start();
    endless(&server);
    let mut line = Line::to(&server);
    let before = Holdings::of(&server);
    let at = line.server();
    let remains: Vec<Remains> = line.at_clients(|| STATES.iter().map(|state| state(at)).collect());
    assert!(Holdings::of(&server).sessions >= STATES.len());
    line.pull();
    let pulled = Instant::now();
    before.are_back(&server);
    // A transfer that stalls, a session that idles behind it, and its last moment.
    let took = pulled.elapsed();
    assert!(took < 2 * LIMIT + Duration::from_secs(3), "{took:?}");
    assert_eq!(server.read("x"), b"x");
    assert_eq!(server.names(""), ["endless", "new", "x"]);
    drop(remains);
    // Others come as before.
    line.set(0, [0, 0]);
    line.at_clients(|| assert_eq!(logged_in(at).get("RETR x"), b"x"));
}

/// Nothing else notices that a client has vanished while the server works for it, for hours perhaps.
#[test]
fn control_connections_are_asked_whether_somebody_is_there() {
    let server = Server::start();
    let ftp = Ftp::anonymous(&server);
    let filter = format!("( sport = :{} and dport = :{} )", server.address().port(), ftp.local().port());
    // Until the last reply is acknowledged there is another timer.
    let left = poll(|| {
        let output = Command::new("ss").args(["-tnoH", &filter]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Some(text.split_once("timer:(keepalive,")?.1.split_once(',')?.0.to_owned())
    });
    let left = left.expect("a timer that asks");
    assert!(left == "1min" || left.ends_with("sec"), "the first question comes in {left}");
}

#[test]
fn a_line_that_loses_delays_and_reorders_carries_every_byte() {
    let Some(builder) = Server::builder().admin().own_network() else { return };
    let server = builder.start();
    let mut line = Line::to(&server);
    let before = Holdings::of(&server);
    let at = line.server();
    line.set(3, [1, 15]);
    let mut random = Random::new();
    line.at_clients(|| {
        // Clients of one network, which this thread is in.
        let mut sessions: Vec<Ftp> = (0..rounds(4, 16)).map(|_| logged_in(at)).collect();
        for round in 0..rounds(2, 20) {
            for (number, ftp) in sessions.iter_mut().enumerate() {
                let bytes = noise(1 + random.below(200_000) as usize, random.next());
                ftp.wait_for(Duration::from_secs(60));
                ftp.put(format!("STOR {number}"), &bytes);
                assert!(ftp.get(format!("RETR {number}")) == bytes);
                ftp.put(format!("APPE {number}"), b"more");
                ftp.expect(350, format!("REST {}", bytes.len()));
                assert_eq!(ftp.get(format!("RETR {number}")), b"more");
                ftp.expect(257, format!("MKD d{number}-{round}"));
                ftp.expect(350, format!("RNFR {number}"));
                ftp.expect(250, format!("RNTO d{number}-{round}/x"));
                assert_eq!(ftp.list(format!("NLST d{number}-{round}")), [format!("d{number}-{round}/x")]);
            }
        }
    });
    before.are_back(&server);
}

/// What a client does in a session, one thing after the other.
const DIALOGUE: [fn(&mut Ftp, &mut Option<TcpStream>); 15] = [
    |ftp, _| ftp.send("USER anonymous"),
    |ftp, _| drop(ftp.read(331)),
    |ftp, _| ftp.send("PASS x"),
    |ftp, _| drop(ftp.read(230)),
    |ftp, _| drop(ftp.expect(200, "TYPE I")),
    |ftp, _| ftp.send("EPSV"),
    |ftp, data| {
        let text = ftp.read(229).text();
        let port = text.split('|').nth(3).unwrap().parse().unwrap();
        *data = Some(TcpStream::connect((ftp.peer().ip(), port)).unwrap());
    },
    |ftp, _| ftp.send("STOR x"),
    |ftp, _| drop(ftp.read(150)),
    |_, data| data.as_mut().unwrap().write_all(&noise(70_000, 1)).unwrap(),
    |ftp, data| {
        drop(data.take());
        ftp.read(226);
        *data = Some(ftp.passive());
    },
    |ftp, _| ftp.send("RETR endless"),
    |ftp, _| drop(ftp.read(150)),
    |_, data| data.as_mut().unwrap().read_exact(&mut [0; 50_000]).unwrap(),
    |ftp, _| ftp.send("ABOR"),
];

#[test]
fn a_reset_at_any_point_of_the_dialogue_leaves_nothing() {
    let server = impatient().start();
    endless(&server);
    let before = Holdings::of(&server);
    for _ in 0..rounds(1, 20) {
        for end in 0..=DIALOGUE.len() {
            for resets_data in [false, true] {
                server.write("x", "the old one");
                let (mut ftp, mut data) = (Ftp::connect(server.address()), None);
                DIALOGUE[..end].iter().for_each(|step| step(&mut ftp, &mut data));
                ftp.reset();
                match data.take() {
                    Some(data) if resets_data => reset(data),
                    data => drop(data),
                }
                before.are_back(&server);
                let x = server.read("x");
                assert!(x == b"the old one" || x == noise(70_000, 1), "{end}: {} bytes", x.len());
                assert_eq!(server.names(""), ["endless", "x"], "{end}");
            }
        }
    }
    assert!(!server.output().contains("panicked"));
}

#[test]
fn an_upload_of_a_byte_now_and_then_goes_on_until_it_stops() {
    let server = impatient().start();
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR x");
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < LIMIT * 2 {
        data.write_all(b"x").unwrap();
        sent += 1;
        thread::sleep(LIMIT / 4);
    }
    let stopped = Instant::now();
    ftp.read(426);
    assert!(stopped.elapsed() < LIMIT + Duration::from_secs(1), "{:?}", stopped.elapsed());
    assert!(sent >= 8);
    assert_eq!(server.read("x"), b"x", "the old file is still there");
    assert_eq!(server.event("transfer")["outcome"], "timed_out");
}

/// In passive mode by not reading, in active mode by not even accepting.
#[test]
fn a_client_that_stops_reading_is_given_up() {
    let server = impatient().start();
    endless(&server);
    let before = Holdings::of(&server);
    let (mut passive, mut active) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    let data = passive.open("RETR endless");
    let listener = active.listener();
    active.expect(200, format!("EPRT {}", eprt_argument(listener.local_addr().unwrap())));
    active.start("RETR endless");
    let begun = Instant::now();
    for ftp in [&mut passive, &mut active] {
        ftp.read(426);
        ftp.lives();
    }
    assert!(begun.elapsed() < LIMIT + Duration::from_secs(2), "{:?}", begun.elapsed());
    drop((data, listener, passive, active));
    before.are_back(&server);
}

/// A slow reader keeps a small window open, and the rest of it waits.
#[test]
fn a_client_that_reads_a_byte_now_and_then_does_not_hold_its_session_past_the_limit() {
    let server = impatient().start();
    endless(&server);
    let mut ftp = Ftp::anonymous(&server);
    let listener = ftp.listener();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    ftp.expect(200, format!("EPRT {}", eprt_argument(listener.local_addr().unwrap())));
    ftp.start("RETR endless");
    let (mut data, _) = listener.accept().unwrap();
    let begun = Instant::now();
    let mut control = ftp.stream();
    control.set_nonblocking(true).unwrap();
    let told = poll(|| {
        let _ = data.read(&mut [0; 1]);
        thread::sleep(Duration::from_millis(50));
        matches!(control.read(&mut [0; 3]), Ok(3)).then_some(())
    });
    assert!(told.is_some(), "it goes on for a byte now and then");
    assert!(begun.elapsed() < LIMIT * 2 + Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn connections_that_nobody_uses_cost_their_session_nothing_but_its_time() {
    let server = impatient().start();
    let before = Holdings::of(&server);
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut ftp = Ftp::anonymous(&server);
        let data = ftp.passive();
        kept.push((ftp, Some(data)));
        let mut ftp = Ftp::anonymous(&server);
        ftp.epsv();
        kept.push((ftp, None));
    }
    for (ftp, _) in &mut kept {
        ftp.read(421);
    }
    before.are_back(&server);
    drop(kept);
}

/// The kernel closes its connections in the ordinary way, which is what the end of a file looks like. It does so in one go
/// here: on a busy machine others come in between for longer than a server can wait.
#[test]
fn a_client_that_is_killed_during_a_replacement_costs_no_old_file() {
    let old = noise(2_000_000, 1);
    let server = Server::builder().file("x", &old).start();
    fs::write(server.beside("new"), noise(20_000_000, 2)).unwrap();
    let url = format!("ftp://{}/x", server.address());
    let works = |command: &mut Command| command.stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works(Command::new("chrt").args(["--fifo", "1", "curl", "--version"])) {
        return left_out("curl is not installed, or may not go before others (that needs root), so it was not killed");
    }
    for round in 0..rounds(3, 50) {
        let mut curl = Command::new("chrt");
        curl.args(["--fifo", "1", "curl"])
            .args(["--silent", "--limit-rate", "1M", "--upload-file"])
            .arg(server.beside("new"))
            .arg(&url);
        let mut curl = curl.spawn().unwrap();
        let stored = |temporary: &String| fs::metadata(server.path(temporary)).is_ok_and(|file| file.len() > 1_000_000);
        let begun = poll(|| server.names("").iter().find(|name| *name != "x" && stored(name)).map(drop));
        curl.kill().unwrap();
        curl.wait().unwrap();
        assert!(begun.is_some(), "curl uploads nothing");
        let events_of =
            |kind: &str| server.events().into_iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
        assert!(poll(|| (events_of("session_closed").len() > round).then_some(())).is_some(), "the session goes on");
        assert_eq!(events_of("transfer")[round]["outcome"], "control_lost");
        assert!(server.read("x") == old);
        assert_eq!(server.names(""), ["x"]);
    }
    // Who says goodbye has sent everything, if he waits for no answer.
    let mut ftp = Ftp::anonymous(&server);
    let mut data = ftp.open("STOR x");
    ftp.write_data(&mut data, b"new");
    ftp.send("QUIT");
    drop((data, ftp));
    server.event_where("transfer", |event| event["outcome"] == "complete");
    assert_eq!(server.read("x"), b"new");
}
