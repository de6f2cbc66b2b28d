//! Floods: thousands of connections that say nothing, and a thousand passwords a second. Who is logged in goes on as if
//! nobody was there, as far as two cores allow it.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::rounds;
use crate::fixture::{Server, noise};
use crate::ftp::{Ftp, connect_from};

/// How many connections are held that have said nothing, or were refused.
const SILENT: usize = 5000;

/// The longest that any command may take. It is generous: debug builds and machines with other work are slow. What it
/// takes otherwise stands in SECURITY.md.
const BOUND: Duration = Duration::from_secs(5);

/// Something that goes on in a thread of its own until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Makes connections from many addresses, at most so many a second, says `text` on each, and holds the newest.
    fn start(server: SocketAddr, network: u8, a_second: u32, held: usize, text: &'static [u8]) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&made));
        let run = move || {
            let (mut sockets, began) = (VecDeque::<TcpStream>::new(), Instant::now());
            for number in 0u32.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let due = began + Duration::from_secs(1) * number / a_second;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Forty addresses: one alone would meet the limit for one.
                let from = Ipv4Addr::new(127, 0, network, 1 + (number % 40) as u8);
                let Ok(mut socket) = connect_from(IpAddr::V4(from), server) else { continue };
                let _ = socket.write_all(text);
                sockets.push_back(socket);
                if sockets.len() > held {
                    sockets.pop_front();
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        Self { stop, made, thread: Some(thread::spawn(run)) }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// How long each of the three commands took, over and over until all floods are at their height and for a while longer.
fn measure(ftp: &mut Ftp, floods: &[&Flood]) -> [Vec<Duration>; 3] {
    let mut took = [(); 3].map(|()| Vec::new());
    let rounds = rounds(100) as usize;
    while took[0].len() < rounds || floods.iter().any(|flood| flood.made() < SILENT) {
        let began = Instant::now();
        ftp.expect(200, "NOOP");
        took[0].push(began.elapsed());
        let began = Instant::now();
        assert_eq!(ftp.list("LIST dir").len(), 50);
        took[1].push(began.elapsed());
        let began = Instant::now();
        assert_eq!(ftp.get("RETR small"), noise(10_000, 1));
        took[2].push(began.elapsed());
    }
    took.each_mut().map(|took| {
        took.sort_unstable();
        std::mem::take(took)
    })
}

#[test]
fn who_is_logged_in_is_served_while_strangers_flood() {
    let mut builder = Server::builder().account("ann", "secret").file("small", noise(10_000, 1));
    for number in 0..50 {
        builder = builder.file(&format!("dir/{number}"), "");
    }
    let mut server = builder.start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "secret");
    let silent = Flood::start(server.address(), 81, 3000, SILENT, b"");
    let guessing = Flood::start(server.address(), 82, 1000, 1000, b"USER ann\r\nPASS wrong\r\n");
    let took = measure(&mut ftp, &[&silent, &guessing]);
    for (what, took) in ["NOOP", "LIST of 50", "RETR of 10 KB"].into_iter().zip(&took) {
        let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
        println!("{what}: {} times, median {:?}, 99 of 100 in {:?}, all in {:?}", took.len(), at(50), at(99), at(100));
        assert!(at(100) < BOUND, "{what} took {:?}", at(100));
    }
    // Somebody new is let in while it goes on: there is a place, and a turn for the password.
    let mut other = Ftp::connect(server.address());
    other.wait_for(Duration::from_secs(60));
    other.login("ann", "secret");
    println!("{} silent connections and {} guesses were made", silent.made(), guessing.made());
    drop((silent, guessing));
    ftp.lives();
    assert!(server.is_alive() && !server.output().contains("panicked"), "{}", server.output());
}
