//! Data connections: who may open which, and from where.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

use crate::fixture::{Server, left_out, no_ipv6, poll};
use crate::ftp::{Ftp, accept, connect_from, eprt_argument, port_argument, somebody_connected};

/// A hundred ports that nobody has and nobody is given by chance: below the kernel's ephemeral range.
pub fn free_range() -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let first = NEXT.fetch_add(100, Ordering::Relaxed);
        assert!(first < 32_000, "no hundred free ports");
        let range = first..=first + 99;
        if range.clone().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return range;
        }
    }
}

/// A server that offers these ports only.
fn server_with(range: &RangeInclusive<u16>) -> Server {
    Server::builder().server(&format!("passive_ports = \"{}-{}\"", range.start(), range.end())).file("x", "x").start()
}

/// A server, and the port below its control port, which nobody has.
fn server_above_a_free_port() -> (Server, u16) {
    (0..20)
        .map(|_| Server::builder().file("x", "x").start())
        .map(|server| (server.address().port() - 1, server))
        .find(|(port, _)| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .map(|(port, server)| (server, port))
        .expect("a server above a free port")
}

#[test]
fn pasv_offers_a_port_of_the_range_on_the_control_connections_address() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let offered = ftp.pasv();
    assert_eq!(offered.ip(), ftp.peer().ip());
    assert!(offered.port() >= 49152, "{offered}");
    let data = TcpStream::connect(offered).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}

#[test]
fn passive_ports_stay_in_the_range_that_was_set() {
    let range = free_range();
    let server = server_with(&range);
    let mut ftp = Ftp::anonymous(&server);
    for _ in 0..20 {
        let port = ftp.epsv();
        assert!(range.contains(&port), "{port}");
        let port = ftp.pasv().port();
        assert!(range.contains(&port), "{port}");
    }
}

#[test]
fn a_hundred_ports_serve_a_hundred_transfers_at_once() {
    let server = server_with(&free_range());
    server.write_sparse("endless", 1 << 40);
    let sessions: Vec<(Ftp, TcpStream)> = (0..100)
        .map(|_| {
            let mut ftp = Ftp::anonymous(&server);
            let data = ftp.open("RETR endless");
            (ftp, data)
        })
        .collect();
    for (mut ftp, data) in sessions {
        ftp.expect(200, "NOOP");
        drop(data);
        ftp.read(426);
    }
}

#[test]
fn a_range_that_is_all_on_offer_is_425_and_comes_back() {
    let server = server_with(&free_range());
    let mut offers = Vec::new();
    let sessions: Vec<Ftp> = (0..100)
        .map(|_| {
            let mut ftp = Ftp::anonymous(&server);
            offers.push(ftp.epsv());
            ftp
        })
        .collect();
    offers.sort_unstable();
    offers.dedup();
    assert_eq!(offers.len(), 100, "a port was offered twice");
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(425, "EPSV");
    ftp.expect(425, "PASV");
    ftp.lives();
    drop(sessions);
    assert!(poll(|| (ftp.command("EPSV").code == 229).then_some(())).is_some());
    assert_eq!(ftp.get("RETR x"), b"x");
}

#[test]
fn a_new_offer_replaces_the_one_before() {
    let server = server_with(&free_range());
    let mut ftp = Ftp::anonymous(&server);
    let first = ftp.pasv();
    // The old port is free again and may be drawn once more.
    let second = (0..20).map(|_| ftp.pasv()).find(|second| *second != first).unwrap();
    assert!(TcpStream::connect(first).is_err(), "the first offer still listens");
    let data = TcpStream::connect(second).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}

#[test]
fn an_offer_serves_one_transfer() {
    let server = server_with(&free_range());
    let mut ftp = Ftp::anonymous(&server);
    let port = ftp.epsv();
    let address = SocketAddr::new(ftp.peer().ip(), port);
    let data = TcpStream::connect(address).unwrap();
    ftp.start("RETR x");
    ftp.drain(data);
    ftp.read(226);
    assert!(TcpStream::connect(address).is_err(), "the port is still open");
    ftp.expect(425, "RETR x");
}

#[test]
fn a_transfer_without_an_offer_is_told_what_to_send_first() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    for line in ["RETR x", "STOR y", "LIST", "NLST", "MLSD"] {
        let text = ftp.expect(425, line).text();
        assert!(text.contains("PASV") || text.contains("EPSV"), "{text}");
    }
    assert!(!server.has("y"));
}

#[test]
fn epsv_takes_a_protocol_number_and_all() {
    if no_ipv6() {
        return;
    }
    let server = Server::builder().ipv6().start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(229, "EPSV 1");
    ftp.expect(522, "EPSV 2");
    let mut ftp = Ftp::anonymous_v6(&server);
    ftp.expect(229, "EPSV 2");
    ftp.expect(522, "EPSV 1");
    ftp.lives();
}

#[test]
fn after_epsv_all_nothing_but_epsv_is_served() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "EPSV ALL");
    let listener = ftp.listener();
    let address = listener.local_addr().unwrap();
    for line in
        ["PASV".to_owned(), format!("PORT {}", port_argument(address)), format!("EPRT {}", eprt_argument(address))]
    {
        let code = ftp.command(&line).code;
        assert!((500..600).contains(&code), "{line}: {code}");
    }
    assert_eq!(ftp.get("RETR x"), b"x");
    assert!(!somebody_connected(&listener));
}

#[test]
fn pasv_over_ipv6_is_refused_with_the_advice_to_use_epsv() {
    if no_ipv6() {
        return;
    }
    let server = Server::builder().ipv6().file("x", "x").start();
    let mut ftp = Ftp::anonymous_v6(&server);
    let text = ftp.expect(425, "PASV").text();
    assert!(text.contains("EPSV"), "{text}");
    assert_eq!(ftp.get("RETR x"), b"x");
}

#[test]
fn port_over_ipv6_is_refused_with_advice() {
    if no_ipv6() {
        return;
    }
    let server = Server::builder().ipv6().start();
    let mut ftp = Ftp::anonymous_v6(&server);
    let reply = ftp.command("PORT 127,0,0,1,200,10");
    assert!((500..600).contains(&reply.code), "{reply:?}");
    assert!(reply.text().contains("EPRT") || reply.text().contains("passive"), "{reply:?}");
}

#[test]
fn where_epsv_is_for_ipv6_only_an_ipv4_client_falls_back_to_pasv() {
    if no_ipv6() {
        return;
    }
    let server = Server::builder().ipv6().server("epsv = \"ipv6-only\"").file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let reply = ftp.command("EPSV");
    assert!((500..600).contains(&reply.code), "{reply:?}");
    let data = TcpStream::connect(ftp.pasv()).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
    assert_eq!(Ftp::anonymous_v6(&server).get("RETR x"), b"x");
}

#[test]
fn a_stranger_at_the_passive_port_is_turned_away_and_the_right_peer_served() {
    let server = Server::builder().file("x", "for alice only").start();
    let mut ftp = Ftp::anonymous(&server);
    let offered = ftp.pasv();
    let stranger = connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), offered);
    let data = TcpStream::connect(offered).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"for alice only");
    ftp.read(226);
    if let Ok(mut stranger) = stranger {
        let mut got = Vec::new();
        let _ = crate::ftp::read_to_end(&mut stranger, &mut got);
        assert!(got.is_empty(), "the stranger got {got:?}");
    }
    let failed = server.event("data_failed");
    assert!(failed["client"].as_str().unwrap().starts_with("127.0.0.2:"), "{failed}");
}

/// Before the transfer is asked for, too: strangers do not fill the queue in front of the client.
#[test]
fn a_crowd_of_strangers_does_not_keep_the_client_from_its_port() {
    let server = Server::builder().file("x", "for alice only").start();
    let mut ftp = Ftp::anonymous(&server);
    let offered = ftp.pasv();
    let stranger = || connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), offered).unwrap();
    let crowd: Vec<TcpStream> = (0..100).map(|_| stranger()).collect();
    let data = TcpStream::connect_timeout(&offered, crate::fixture::DEADLINE).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"for alice only");
    ftp.read(226);
    for mut stranger in crowd {
        let mut got = Vec::new();
        let _ = crate::ftp::read_to_end(&mut stranger, &mut got);
        assert!(got.is_empty(), "a stranger got {got:?}");
    }
}

#[test]
fn a_stranger_is_served_where_any_peer_may_connect_and_is_on_record() {
    let server = Server::builder().server("passive_peer = \"any\"").file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let offered = ftp.pasv();
    let data = connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), offered).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
    let opened = server.event("data_opened");
    let stranger = opened["client"].as_str().unwrap();
    assert!(stranger.starts_with("127.0.0.2:"), "{opened}");
    let warned = |output: &String| output.lines().any(|line| line.contains("WARN") && line.contains(stranger));
    assert!(poll(|| Some(server.output()).filter(warned)).is_some(), "nobody is warned of it");
}

#[test]
fn port_and_eprt_connect_to_the_client() {
    let server = Server::builder().ipv6().file("x", "x").start();
    let mut sessions = vec![(Ftp::anonymous(&server), "PORT"), (Ftp::anonymous(&server), "EPRT")];
    if !no_ipv6() {
        sessions.push((Ftp::anonymous_v6(&server), "EPRT"));
    }
    for (mut ftp, verb) in sessions {
        let listener = ftp.listener();
        let address = listener.local_addr().unwrap();
        let argument = match verb {
            "PORT" => port_argument(address),
            _ => eprt_argument(address),
        };
        ftp.expect(200, format!("{verb} {argument}"));
        ftp.start("RETR x");
        let (data, peer) = accept(&listener);
        assert_eq!(peer.ip(), ftp.peer().ip());
        assert_eq!(ftp.drain(data), b"x");
        ftp.read(226);
        ftp.lives();
    }
}

#[test]
fn active_mode_reaches_a_client_at_another_address_of_its_own() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), server.address());
    ftp.login("anonymous", "x");
    let listener = ftp.listener();
    ftp.expect(200, format!("PORT {}", port_argument(listener.local_addr().unwrap())));
    ftp.start("RETR x");
    let (data, _) = accept(&listener);
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}

/// lftp names the unspecified address over IPv6; it can only mean itself.
#[test]
fn eprt_with_the_unspecified_address_means_the_control_peer() {
    if no_ipv6() {
        return;
    }
    let server = Server::builder().ipv6().file("x", "x").start();
    let mut ftp = Ftp::anonymous_v6(&server);
    let listener = ftp.listener();
    ftp.expect(200, format!("EPRT |2|::|{}|", listener.local_addr().unwrap().port()));
    ftp.start("RETR x");
    let (data, _) = accept(&listener);
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}

#[test]
fn active_mode_goes_nowhere_but_to_the_control_peer() {
    let server = Server::builder().ipv6().file("x", "x").start();
    let elsewhere = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = elsewhere.local_addr().unwrap();
    let mut ftp = Ftp::anonymous(&server);
    for line in [
        format!("PORT {}", port_argument(address)),
        format!("EPRT {}", eprt_argument(address)),
        format!("EPRT |2|::1|{}|", address.port()),
    ] {
        let reply = ftp.command(&line);
        assert!(matches!(reply.code, 500 | 501 | 522), "{line}: {reply:?}");
        ftp.expect(425, "RETR x");
    }
    ftp.expect(221, "QUIT");
    ftp.rest_until_closed();
    assert!(!somebody_connected(&elsewhere));
}

#[test]
fn active_mode_goes_to_no_port_below_1024() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    for line in ["PORT 127,0,0,1,3,255", "PORT 127,0,0,1,0,22", "PORT 127,0,0,1,0,0", "EPRT |1|127.0.0.1|1023|"] {
        let reply = ftp.command(line);
        assert!(matches!(reply.code, 500 | 501), "{line}: {reply:?}");
        ftp.expect(425, "RETR x");
    }
    ftp.lives();
}

#[test]
fn malformed_port_and_eprt_are_refused_in_words() {
    let server = Server::start();
    let mut ftp = Ftp::anonymous(&server);
    for line in [
        "PORT 127,0,0,1,200",
        "PORT 127,0,0,1,200,10,7",
        "PORT 127,0,0,1,256,1",
        "PORT 127,0,0,1,200,",
        "PORT a,b,c,d,e,f",
        "EPRT |1|127.0.0.1|50000",
        "EPRT |1|127.0.0.1|70000|",
        "EPRT |1|::1|50000|",
        "EPRT 1|127.0.0.1|50000",
    ] {
        ftp.expect(501, line);
    }
    ftp.expect(522, "EPRT |3|127.0.0.1|50000|");
    ftp.lives();
}

#[test]
fn a_port_that_nobody_listens_on_is_425_with_the_address_and_advice() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    // Bound, so that nobody else gets it, and not listening.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::new(ftp.local().ip(), 0).into()).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    ftp.expect(200, format!("PORT {}", port_argument(address)));
    let mut reply = ftp.command("RETR x");
    if reply.code == 150 {
        reply = ftp.reply();
    }
    assert_eq!(reply.code, 425);
    let text = reply.text();
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.to_lowercase().contains("passive"), "{text}");
    assert_eq!(ftp.get("RETR x"), b"x");
    server.event("data_failed");
}

#[test]
fn active_mode_can_be_switched_off() {
    let server = Server::builder().server("active = \"off\"").file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let listener = ftp.listener();
    let address = listener.local_addr().unwrap();
    for line in [format!("PORT {}", port_argument(address)), format!("EPRT {}", eprt_argument(address))] {
        let reply = ftp.command(&line);
        assert!((500..600).contains(&reply.code), "{line}: {reply:?}");
        assert!(reply.text().to_lowercase().contains("passive"), "{reply:?}");
    }
    assert_eq!(ftp.get("RETR x"), b"x");
    assert!(!somebody_connected(&listener));
}

/// Active connections come from the control port minus one; twice in a row too, where the first is in TIME_WAIT.
#[test]
fn active_connections_come_from_the_port_below_the_control_port() {
    let (server, expected) = server_above_a_free_port();
    let mut ftp = Ftp::anonymous(&server);
    for _ in 0..2 {
        let listener = ftp.listener();
        ftp.expect(200, format!("PORT {}", port_argument(listener.local_addr().unwrap())));
        ftp.start("RETR x");
        let (data, peer) = accept(&listener);
        assert_eq!(peer.port(), expected);
        ftp.drain(data);
        ftp.read(226);
    }
}

#[test]
fn active_connections_to_one_client_port_work_again_and_again() {
    let server = Server::builder().file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    let listener = ftp.listener();
    for _ in 0..5 {
        ftp.expect(200, format!("PORT {}", port_argument(listener.local_addr().unwrap())));
        ftp.start("RETR x");
        let (data, _) = accept(&listener);
        assert_eq!(ftp.drain(data), b"x");
        ftp.read(226);
    }
}

#[test]
fn active_connections_leave_from_another_port_where_that_one_is_taken() {
    let server = Server::builder().file("x", "x").start();
    let below = (Ipv4Addr::LOCALHOST, server.address().port() - 1);
    // A listener without SO_REUSEADDR holds the port; if somebody else holds it already, all the better.
    let _listener = TcpListener::bind(below).ok();
    let mut ftp = Ftp::anonymous(&server);
    let listener = ftp.listener();
    ftp.expect(200, format!("PORT {}", port_argument(listener.local_addr().unwrap())));
    ftp.start("RETR x");
    let (data, peer) = accept(&listener);
    assert_ne!(peer.port(), below.1);
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}

#[test]
fn an_ipv6_listener_takes_no_ipv4_client() {
    if no_ipv6() {
        return;
    }
    let server = Server::builder().listen_only("[::1]:0").start();
    let port = server.address_v6().port();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let mut ftp = Ftp::anonymous_v6(&server);
    ftp.lives();
    assert_eq!(server.event("session_opened")["family"], "ipv6");
}

/// ... and is not locked out by saying EPSV ALL.
#[test]
fn where_epsv_is_for_ipv6_only_an_ipv4_client_cannot_renounce_pasv() {
    let server = Server::builder().server("epsv = \"ipv6-only\"").file("x", "x").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(502, "EPSV ALL");
    let data = TcpStream::connect(ftp.pasv()).unwrap();
    ftp.start("RETR x");
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}

/// From its own port to its own port, TCP would connect the server to itself.
#[test]
fn the_port_below_the_control_port_is_no_clients_port() {
    let (server, below) = server_above_a_free_port();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, format!("PORT {}", port_argument(SocketAddr::new(ftp.local().ip(), below))));
    ftp.expect(425, "RETR x");
    ftp.lives();
    assert_eq!(ftp.get("RETR x"), b"x");
}

#[test]
fn pasv_names_the_address_that_is_set_for_the_clients_network() {
    let table = "passive_address = { \"127.0.0.0/8\" = \"127.0.0.5\", \"127.0.0.3/32\" = \"localhost\", \
                 \"10.0.0.0/8\" = \"192.0.2.7\" }";
    let server = Server::builder().server(table).file("x", "x").start();
    for (from, named) in [(1, [127, 0, 0, 5]), (3, [127, 0, 0, 1])] {
        let mut ftp = Ftp::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, from)), server.address());
        ftp.login("anonymous", "x");
        let mut offered = ftp.pasv();
        assert_eq!(offered.ip(), IpAddr::from(named));
        let offer = server.event_where("data_offered", |event| event["client"] == ftp.local().to_string());
        assert_eq!(offer["address"], offered.ip().to_string(), "{offer}");
        // A router would lead from there to here.
        offered.set_ip(ftp.peer().ip());
        let data = connect_from(ftp.local().ip(), offered).unwrap();
        ftp.start("RETR x");
        assert_eq!(ftp.drain(data), b"x");
        ftp.read(226);
    }
}

#[test]
fn pasv_names_its_own_address_to_a_client_in_no_network_of_the_table() {
    let server = Server::builder().server("passive_address = { \"10.0.0.0/8\" = \"192.0.2.7\" }").start();
    let mut ftp = Ftp::anonymous(&server);
    assert_eq!(ftp.pasv().ip(), ftp.peer().ip());
}

#[test]
fn pasv_names_the_address_of_a_name() {
    for (name, address) in [("localhost", [127, 0, 0, 1]), ("192.0.2.7", [192, 0, 2, 7])] {
        let server = Server::builder().server(&format!("passive_address = {name:?}")).start();
        assert_eq!(Ftp::anonymous(&server).pasv().ip(), IpAddr::from(address));
    }
}

/// Makes two interfaces with the addresses fe80::1 and fe80::2 in a network namespace, and runs the rest there.
const WITH_LINK: &str = "\
    ip link set lo up && ip link add longshore0 type veth peer name longshore1 || exit 99
    for n in 0 1; do
        ip link set longshore$n addrgenmode none up && ip -6 address add fe80::1$n/64 dev longshore$n nodad || exit 99
    done
    exec \"$@\"";

/// Says that this process runs in the namespace.
const IN_NAMESPACE: &str = "LONGSHORE_IT_LINK_LOCAL";

/// The addresses behind which mDNS names lead mean nothing without the interface.
#[test]
fn link_local_addresses_have_data_connections_both_ways() {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        return link_local();
    }
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", WITH_LINK, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "data_ports::link_local_addresses_have_data_connections_both_ways"])
        .env(IN_NAMESPACE, "1")
        .output();
    match output {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        }
        // The test ran, and failed.
        Ok(output) if output.status.code() == Some(101) => {
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            panic!("in the namespace:\n{stdout}\n{stderr}");
        }
        _ => left_out("this user may not make a network interface; the test of link-local addresses was left out"),
    }
}

fn link_local() {
    let server = Server::builder().listen_only("[::]:0").file("x", "x").start();
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap();
    let line = interfaces.lines().find(|line| line.ends_with(" longshore0")).unwrap();
    let scope = u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    let address = SocketAddrV6::new("fe80::10".parse().unwrap(), server.address_v6().port(), 0, scope);
    let mut ftp = Ftp::connect(address.into());
    ftp.login("anonymous", "x");
    assert_eq!(ftp.get("RETR x"), b"x");
    let listener = ftp.listener();
    ftp.expect(200, format!("EPRT {}", eprt_argument(listener.local_addr().unwrap())));
    ftp.start("RETR x");
    let (data, peer) = accept(&listener);
    assert_eq!(peer.ip(), ftp.peer().ip());
    assert_eq!(ftp.drain(data), b"x");
    ftp.read(226);
}
