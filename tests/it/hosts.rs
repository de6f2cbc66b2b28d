//! Hosts of their own, in network namespaces: who else could reach for a client's data connection.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use crate::fixture::{DEADLINE, Server, left_out};
use crate::ftp::Ftp;

/// Two hosts, each behind an interface of this machine. They go with this.
struct Hosts {
    names: [String; 2],
    /// This machine's addresses, as the hosts see it, and theirs.
    machine: [Ipv4Addr; 2],
    hosts: [Ipv4Addr; 2],
}

fn ip(line: &str) -> bool {
    let run = Command::new("ip").args(line.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

impl Hosts {
    /// `None`, with a note in the test's output, where this user may not make any.
    fn new() -> Option<Self> {
        // A network of this process's own, of those that are for tests of networks (RFC 2544).
        let pid = std::process::id();
        let [_, block, third, low] = pid.to_be_bytes();
        let address = |last: u8| Ipv4Addr::new(198, 18 + block % 2, third, low & 0xf8 | last);
        let hosts = Self {
            names: ["a", "b"].map(|host| format!("ls{pid}{host}")),
            machine: [1, 5].map(address),
            hosts: [2, 6].map(address),
        };
        let made = (0..2).all(|host| {
            let (name, machine, own) = (&hosts.names[host], hosts.machine[host], hosts.hosts[host]);
            ip(&format!("netns add {name}"))
                && ip(&format!("link add {name} type veth peer name eth0 netns {name}"))
                && ip(&format!("address add {machine}/30 dev {name}"))
                && ip(&format!("link set {name} up"))
                && ip(&format!("-n {name} address add {own}/30 dev eth0"))
                && ip(&format!("-n {name} link set eth0 up"))
                && ip(&format!("-n {name} route add default via {machine}"))
        });
        if !made {
            left_out("this user may not make network namespaces; the tests with a second host were left out");
        }
        made.then_some(hosts)
    }

    /// Does this on one of the hosts: the sockets that are made there stay there.
    fn on<T: Send>(&self, host: usize, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.names[host])).unwrap();
        let there = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // The interfaces go with their other ends.
        for name in &self.names {
            ip(&format!("netns delete {name}"));
        }
    }
}

/// What comes to somebody who connects there.
fn reach_for(address: SocketAddr) -> Vec<u8> {
    let mut taken = Vec::new();
    if let Ok(mut stream) = TcpStream::connect_timeout(&address, DEADLINE) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // A reset is an answer, too.
        let _ = stream.read_to_end(&mut taken);
    }
    taken
}

#[test]
fn neither_another_host_nor_the_server_s_own_takes_a_client_s_data_connection() {
    let Some(hosts) = Hosts::new() else { return };
    let server = Server::builder().listen_only(&format!("{}:0", hosts.machine[0])).file("secret", "contents").start();
    let mut client = hosts.on(0, || Ftp::anonymous(&server));
    assert_eq!(client.local().ip(), hosts.hosts[0]);
    for wait in [false, true] {
        let port = SocketAddr::new(server.address().ip(), client.epsv());
        if wait {
            // It waits for its connection when they come, or is about to.
            client.send("RETR secret");
        }
        assert_eq!(hosts.on(1, || reach_for(port)), b"", "another host, which was first");
        assert_eq!(reach_for(port), b"", "a program on the server's own");
        for thief in [hosts.hosts[1], hosts.machine[0]] {
            server.event_where("data_failed", |event| {
                event["reason"].as_str().unwrap().contains(&format!("{thief} is not the address"))
            });
        }
        let data = hosts.on(0, || TcpStream::connect_timeout(&port, DEADLINE).unwrap());
        if wait {
            client.read(150);
        } else {
            client.start("RETR secret");
        }
        assert_eq!(client.drain(data), b"contents");
        client.read(226);
    }
    // Nor is the server sent to another host.
    let [a, b, c, d] = hosts.hosts[1].octets();
    client.expect(500, format!("PORT {a},{b},{c},{d},200,1"));
    client.expect(500, format!("EPRT |1|{}|51201|", hosts.hosts[1]));
}
