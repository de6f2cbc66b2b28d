//! A network of a test's own: the server at one end, clients at the other, and `relay.py` in between.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::fixture::Server;

/// The line. It is gone when this is dropped.
pub struct Line {
    relay: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    server: SocketAddr,
}

impl Line {
    /// Connects a server that has a network of its own.
    pub fn to(server: &Server) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/relay.py")]);
        command.arg(server.pid().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut relay = command.spawn().unwrap();
        let (orders, answers) = (relay.stdin.take().unwrap(), BufReader::new(relay.stdout.take().unwrap()));
        let server = SocketAddr::new([10, 9, 0, 1].into(), server.address().port());
        let mut line = Self { relay, orders, answers, server };
        line.hear("ready");
        line
    }

    /// Where the server is on it.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Has it lose this many percent of the packets, and take this long for each, in milliseconds. Where those differ, one
    /// packet overtakes another.
    pub fn set(&mut self, loss: u32, delay: [u32; 2]) {
        writeln!(self.orders, "{loss} {} {}", delay[0], delay[1]).unwrap();
        self.hear("done");
    }

    /// Nothing gets through any more: the cable is pulled, and nobody is told.
    pub fn pull(&mut self) {
        self.set(100, [0, 0]);
    }

    /// Runs `work` at the clients' end.
    pub fn at_clients<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.relay.id())).unwrap();
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                // Of this thread alone.
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn hear(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected, "the relay has ended");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.relay.kill();
        let _ = self.relay.wait();
    }
}
