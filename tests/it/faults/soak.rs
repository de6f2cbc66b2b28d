//! A busy hour, as fast as it goes: hundreds of clients, who come and go in every way.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;

use super::{Holdings, Random, rounds};
use crate::fixture::{DEADLINE, Server, noise, poll};
use crate::ftp::{Ftp, accept, eprt_argument, reset};
use crate::tls::Secure;

/// How many are there at the same time. In its hour each comes once a minute.
const CLIENTS: u64 = 200;

/// How much more memory a server may have after the second half than after the first, in KiB. In the long form a visit that
/// left 1 kB would come to 6 MB.
const NOISE: u64 = 4096;

/// One of them, with a directory of its own.
struct Client {
    directory: String,
    /// What its file holds that it replaces again and again.
    kept: Vec<u8>,
    random: Random,
}

/// What nobody replaces to the end.
const TORN: &[u8] = b"the old contents";

impl Client {
    fn new(server: &Server, number: u64, random: Random) -> Self {
        let directory = format!("c{number}");
        server.write(&format!("{directory}/kept"), "");
        server.write(&format!("{directory}/torn"), TORN);
        Self { directory, kept: Vec::new(), random }
    }

    fn bytes(&mut self) -> Vec<u8> {
        noise(self.random.below(100_000) as usize, self.random.next())
    }

    fn visit(&mut self, server: &Server) {
        match self.random.below(10) {
            0 => {
                let mut ftp = Ftp::connect(server.address());
                ftp.expect(331, "USER ann");
                ftp.expect(530, "PASS wrong");
            }
            1 => self.encrypted(Secure::implicit(server)),
            2 => self.encrypted(Secure::explicit(server)),
            _ => self.in_clear(server.address()),
        }
    }

    fn encrypted(&mut self, ftp: Secure) {
        let mut ftp = ftp.login().private();
        ftp.expect(250, &format!("CWD {}", self.directory));
        for _ in 0..1 + self.random.below(3) {
            let bytes = self.bytes();
            ftp.put("STOR new", &bytes);
            assert!(ftp.get("RETR new") == bytes);
            assert!(ftp.get("MLSD").len() > 100);
            ftp.expect(250, "DELE new");
        }
        match self.random.below(3) {
            0 => drop(ftp.expect(221, "QUIT")),
            1 => drop(ftp),
            // Without close_notify on either connection.
            _ => drop((ftp.open("RETR /endless"), ftp)),
        }
    }

    fn in_clear(&mut self, address: SocketAddr) {
        let mut ftp = Ftp::connect(address);
        match self.random.below(4) {
            0 => ftp.login("ann", "pw"),
            _ => ftp.login("anonymous", "x"),
        }
        // As much as two cores need for all of them at once.
        ftp.wait_for(6 * DEADLINE);
        ftp.expect(250, format!("CWD {}", self.directory));
        for _ in 0..1 + self.random.below(8) {
            self.act(&mut ftp);
        }
        match self.random.below(5) {
            0 => drop(ftp.expect(221, "QUIT")),
            1 => drop(ftp),
            2 => ftp.reset(),
            3 => {
                let mut data = ftp.open("RETR /endless");
                data.read_exact(&mut [0; 10_000]).unwrap();
                drop((ftp, data));
            }
            _ => {
                let mut data = ftp.passive();
                // The last one may hold it yet.
                if ftp.command("STOR torn").code == 150 {
                    let _ = data.write_all(&self.bytes());
                }
                reset(data);
            }
        }
    }

    fn act(&mut self, ftp: &mut Ftp) {
        match self.random.below(11) {
            0 => {
                let bytes = self.bytes();
                ftp.put("STOR new", &bytes);
                ftp.put("APPE new", b"more");
                ftp.expect(350, format!("REST {}", bytes.len()));
                assert_eq!(ftp.get("RETR new"), b"more");
                ftp.expect(250, "DELE new");
            }
            1 => {
                self.kept = self.bytes();
                ftp.put("STOR kept", &self.kept);
                assert!(ftp.get("RETR kept") == self.kept);
            }
            2 => {
                let mut data = ftp.open("STOR kept");
                data.write_all(&self.bytes()).unwrap();
                ftp.expect(426, "ABOR");
                ftp.read(226);
                assert!(ftp.get("RETR kept") == self.kept);
            }
            3 => {
                let mut data = ftp.open("RETR /endless");
                data.read_exact(&mut [0; 50_000]).unwrap();
                ftp.expect(426, "ABOR");
                ftp.read(226);
            }
            4 => {
                let mut data = ftp.open("RETR /endless");
                data.read_exact(&mut [0; 1_000]).unwrap();
                ftp.expect(200, "NOOP");
                reset(data);
                ftp.read(426);
            }
            5 => {
                for line in ["LIST", "NLST *", "MLSD"] {
                    assert!(ftp.list(line).len() >= 2);
                }
            }
            6 => {
                ftp.expect(257, "MKD d");
                ftp.expect(350, "RNFR d");
                ftp.expect(250, "RNTO e");
                ftp.expect(250, "RMD e");
            }
            7 => {
                let unused = ftp.passive();
                ftp.pasv();
                ftp.epsv();
                drop(unused);
            }
            8 => {
                let listener = ftp.listener();
                ftp.expect(200, format!("EPRT {}", eprt_argument(listener.local_addr().unwrap())));
                ftp.start("RETR kept");
                let (data, _) = accept(&listener);
                assert!(ftp.drain(data) == self.kept);
                ftp.read(226);
            }
            9 => {
                ftp.expect(213, "HASH kept");
                ftp.expect(213, "MFMT 20260102030405 kept");
                ftp.expect(550, "SIZE nothing");
                ftp.refused(550, "RETR nothing");
                ftp.expect(213, "STAT kept");
            }
            _ => {
                ftp.raw(&b"NOOP\r\n".repeat(16));
                (0..16).for_each(|_| drop(ftp.read(200)));
                ftp.expect(500, "WHAT");
            }
        }
    }
}

/// Waits until only the threads are left that a server always has, and gives its resident memory in KiB.
fn at_rest(server: &Server) -> u64 {
    let most = thread::available_parallelism().unwrap().get() + 8;
    let threads = || fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    // One that has nothing to do goes after ten seconds.
    let rests = (0..6).find_map(|_| poll(|| (threads() <= most).then_some(())));
    assert!(rests.is_some(), "{} threads are left", threads());
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_busy_hour_leaves_a_server_as_it_was() {
    let mut random = Random::new();
    // A check of the password takes next to nothing, so that the rest is what is done.
    let ann = format!("[[user]]\nname = \"ann\"\npassword = {:?}\n", bcrypt::hash("pw", 4).unwrap());
    let server = Server::builder().admin().tls(&[]).implicit().account("own", "own").accounts_text(&ann);
    let server = server.limits("login_delay_max = 0").limits("max_sessions_per_ip = 1000");
    // With one heap for all threads, and none of a thread's own, what is free does not look like what is held.
    let server = server.environment(&["GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"]).start();
    server.write_sparse("endless", 1 << 40);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(&server, number, random.fork())).collect();
    let before = Holdings::of(&server);
    // The first half has it take what so many clients need.
    let [first, second] = [(); 2].map(|()| {
        for _minute in 0..rounds(2, 30) {
            thread::scope(|scope| {
                for client in &mut clients {
                    scope.spawn(|| client.visit(&server));
                }
            });
            before.are_back(&server);
        }
        at_rest(&server)
    });
    println!("{first} KiB of memory after one half, {second} after the other");
    assert!(second <= first + NOISE, "{first} KiB have become {second}");
    assert!(!server.output().contains("panicked"));
    for client in &clients {
        assert_eq!(server.names(&client.directory), ["kept", "torn"]);
        assert!(server.read(&format!("{}/kept", client.directory)) == client.kept);
        assert_eq!(server.read(&format!("{}/torn", client.directory)), TORN);
    }
}
