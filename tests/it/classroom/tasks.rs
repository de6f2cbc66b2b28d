//! Every task of the shipped lesson, done right by one student and nearly right by another, over the wire.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::lab::{Lab, right, wrong};
use crate::fixture::no_ipv6;
use crate::ftp::{Ftp, accept, eprt_argument, port_argument};

/// Who does it right, nearly right, and sits beside them.
const ANN: usize = 0;
const BOB: usize = 1;
const CEM: usize = 2;

fn class_of(port: u16) -> &'static str {
    match port {
        0..=1023 => "system",
        1024..=49151 => "user",
        _ => "dynamic",
    }
}

fn another_class(port: u16) -> &'static str {
    if class_of(port) == "user" { "dynamic" } else { "user" }
}

/// Shows that ann has these tasks and bob has not.
#[track_caller]
fn only_ann_has(lab: &Lab, tasks: &[&str]) {
    lab.has_done(ANN, tasks);
    lab.has_not_done(BOB, tasks);
}

#[test]
fn block_a_ports_and_connections() {
    let lab = Lab::new(3);
    // A1: whoever mistypes the password is not in.
    let mut bob = lab.connect();
    bob.expect(331, format!("USER {}", lab.user(BOB)));
    bob.expect(530, "PASS river-wrong-11");
    let mut ann = lab.login(ANN);
    only_ann_has(&lab, &["A1"]);

    let (server, own) = (lab.address().port(), ann.local().port());
    let (mut bob, cem) = (lab.login(BOB), lab.login(CEM));
    right(&mut ann, "A2", format!("{server} {}", class_of(server)));
    wrong(&mut bob, "A2", format!("{server} {}", another_class(server)), "not in that range");
    right(&mut ann, "A3", own);
    wrong(&mut bob, "A3", own, "is not the port of one of your control connections");
    right(&mut ann, "A4", class_of(own));
    let bobs = bob.local().port();
    wrong(&mut bob, "A4", another_class(bobs), "not the range");
    let neighbour = cem.local().port();
    right(&mut ann, "A5", format!("{own} {} {neighbour} {}: both!", class_of(own), class_of(neighbour)));
    wrong(&mut bob, "A5", format!("{bobs} {0} {bobs} {0}", class_of(bobs)), "of somebody else's");
    right(&mut ann, "A10", server);
    wrong(&mut bob, "A10", server - 1, "is not the port");

    // A7 before A6: bob never has two at a time.
    wrong(&mut bob, "A7", "client port", "I have not seen you logged in 2 times at the same time");
    let mut second = lab.login(ANN);
    right(&mut second, "A7", "The client's port.");

    // A6: four more, one after the other; bob writes his the wrong way round.
    drop((ann, second));
    let ports = |student: usize| {
        let five: Vec<u16> = (0..5)
            .map(|_| {
                let mut ftp = lab.login(student);
                let port = ftp.local().port();
                ftp.expect(221, "QUIT");
                port
            })
            .collect();
        five
    };
    let text = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let five = ports(ANN);
    let mut ann = lab.login(ANN);
    right(&mut ann, "A6", text(&five));
    let mut turned = ports(BOB);
    turned.reverse();
    let mut bob = lab.login(BOB);
    wrong(&mut bob, "A6", text(&turned), "of these ports are yours in this order");

    // A8: two sessions and the data connection are three, and two are not.
    for (student, count) in [(ANN, 3), (BOB, 9)] {
        let (mut first, mut second) = if student == ANN { (ann, lab.login(ANN)) } else { (bob, lab.login(BOB)) };
        let mut data = first.open("RETR /quest/slow/slow.bin");
        data.read_exact(&mut [0; 1000]).unwrap();
        match student {
            ANN => right(&mut second, "A8", count),
            _ => wrong(&mut second, "A8", count, "So many were not open at any moment"),
        }
        first.send("ABOR");
        drop(data);
        first.read(426);
        first.read(226);
        (ann, bob) = if student == ANN { (first, lab.login(BOB)) } else { (lab.login(ANN), first) };
    }

    // A9: the sender closes first.
    for ftp in [&mut ann, &mut bob] {
        ftp.get("RETR /materials/readme.txt");
        ftp.put("STOR /back.txt", b"back");
    }
    right(&mut ann, "A9", "server, client");
    wrong(&mut bob, "A9", "client, server", "did not close first after RETR");
    only_ann_has(&lab, &["A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10"]);
}

/// A listing in active mode, and the port that it was announced at.
fn active_list(ftp: &mut Ftp, verb: &str) -> (SocketAddr, SocketAddr) {
    let listener = ftp.listener();
    let own = listener.local_addr().unwrap();
    let argument = if verb == "PORT" { port_argument(own) } else { eprt_argument(own) };
    ftp.expect(200, format!("{verb} {argument}"));
    ftp.send("LIST");
    let (data, peer) = accept(&listener);
    ftp.read(150);
    ftp.drain(data);
    ftp.read(226);
    (own, peer)
}

/// A listing in passive mode by PASV, and the port of the 227.
fn pasv_list(ftp: &mut Ftp) -> u16 {
    let address = ftp.pasv();
    let data = TcpStream::connect(address).unwrap();
    ftp.start("NLST");
    ftp.drain(data);
    ftp.read(226);
    address.port()
}

#[test]
fn block_b_control_and_data() {
    let lab = Lab::new(2);
    let (mut ann, mut bob) = (lab.login(ANN), lab.login(BOB));

    let port = pasv_list(&mut ann);
    right(&mut ann, "B1", port);
    let [high, low] = port.to_be_bytes();
    right(&mut ann, "B2", format!("{high}*256+{low}={port}"));
    bob.get("RETR /materials/readme.txt");
    let offered = bob.epsv();
    wrong(&mut bob, "B1", port, "No listing of yours");
    wrong(&mut bob, "B2", format!("{}*256+{}", low, high), "No 227");
    wrong(&mut bob, "B2", offered, "No 227");
    let port = ann.epsv();
    right(&mut ann, "B3", format!("{port}, since it is the same address"));
    wrong(&mut bob, "B3", port, "No 229");

    let (own, from) = active_list(&mut ann, "PORT");
    right(&mut ann, "B4", own.port());
    right(&mut ann, "B6", from.port());
    right(&mut ann, "B5", "server client");
    let (own, from) = active_list(&mut bob, "EPRT");
    wrong(&mut bob, "B4", from.port(), "No PORT or EPRT of yours");
    wrong(&mut bob, "B6", own.port(), "No data connection of yours in active mode");
    wrong(&mut bob, "B5", "server client", "I have not seen a listing in passive mode");

    // B9: three commands, three connections, and what was before them does not count.
    for ftp in [&mut ann, &mut bob] {
        ftp.get("LIST /quest/count");
        ftp.get("RETR /quest/count/one.txt");
    }
    wrong(&mut bob, "B9", 3, "I have not seen whole downloads of /quest/count/two.txt");
    ann.get("RETR /quest/count/two.txt");
    bob.get("RETR /quest/count/two.txt");
    right(&mut ann, "B9", 3);
    wrong(&mut bob, "B9", 2, "not how many");
    only_ann_has(&lab, &["B1", "B2", "B3", "B4", "B5", "B6", "B9"]);
}

/// Types a login, PASV and LIST, as fast as `pause` says.
fn by_hand(lab: &Lab, student: usize, pause: Duration) {
    let mut ftp = lab.connect();
    ftp.expect(331, format!("USER {}", lab.user(student)));
    ftp.expect(230, format!("PASS {}", lab.password(student)));
    thread::sleep(pause);
    let data = TcpStream::connect(ftp.pasv()).unwrap();
    thread::sleep(pause);
    ftp.start("LIST");
    ftp.drain(data);
    ftp.read(226);
}

#[test]
fn block_b_by_hand_and_with_nobody_there() {
    let lab = Lab::new(2);
    by_hand(&lab, ANN, Duration::from_millis(1100));
    by_hand(&lab, BOB, Duration::ZERO);
    let (mut ann, mut bob) = (lab.login(ANN), lab.login(BOB));
    ann.pasv();
    ann.expect(425, "LIST");
    right(&mut ann, "B8", 425);
    // Without PASV it is another 425.
    bob.expect(425, "LIST");
    wrong(&mut bob, "B8", 425, "a data connection in passive mode that did not come about");
    only_ann_has(&lab, &["B7", "B8"]);
}

fn get_all(ftp: &mut Ftp, directory: &str, names: &[&str]) {
    ftp.expect(250, format!("CWD {directory}"));
    ftp.list("NLST *");
    for name in names {
        ftp.get(format!("RETR {name}"));
    }
}

#[test]
fn block_c_get_and_put() {
    let lab = Lab::new(2);
    let (mut ann, mut bob) = (lab.login(ANN), lab.login(BOB));
    ann.get("RETR /materials/readme.txt");
    bob.refused(550, "RETR /readme.txt");
    ann.put("STOR hello.txt", b"harbour");
    bob.put("STOR hello.txt", b"");
    let five = ["ant.txt", "bee.txt", "cat.txt", "dog.txt", "elk.txt"];
    get_all(&mut ann, "/quest/five", &five);
    get_all(&mut bob, "/quest/five", &five[..4]);
    get_all(&mut ann, "/quest/mixed", &["april.txt", "june.txt", "may.txt"]);
    get_all(&mut bob, "/quest/mixed", &["april.txt", "august.log", "july.log", "june.txt", "may.txt"]);
    get_all(&mut ann, "/quest/choose", &["a.txt", "b.txt", "d.txt", "e.txt"]);
    get_all(&mut bob, "/quest/choose", &["a.txt", "b.txt", "c.log", "d.txt", "e.txt"]);
    only_ann_has(&lab, &["C1", "C2", "C3", "C4", "C5"]);

    // C13: the neighbour's word is not one's own.
    let letter = |ftp: &mut Ftp| {
        let text = String::from_utf8(ftp.get("RETR /quest/letter/letter.txt")).unwrap();
        text.lines().nth(1).unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let words = [letter(&mut ann), letter(&mut bob)];
    assert_ne!(words[0], words[1]);
    right(&mut ann, "C13", &words[0]);
    wrong(&mut bob, "C13", &words[0], "This word is not in your");

    // C12.
    for (ftp, student) in [(&mut ann, ANN), (&mut bob, BOB)] {
        let mut other = lab.connect();
        other.expect(331, format!("USER {}", lab.user(student)));
        other.expect(530, "PASS river-wrong-11");
        ftp.refused(550, "RETR missing.txt");
        ftp.refused(550, "STOR /materials/x.txt");
    }
    right(&mut ann, "C12", "530, 550 and 550");
    wrong(&mut bob, "C12", "530, 530 and 550", "530 is not the code of that reply");
    only_ann_has(&lab, &["C12", "C13"]);
}

/// The four files of pack.zip.
fn unpacked(lab: &Lab, student: usize) -> Vec<(String, Vec<u8>)> {
    const PROGRAM: &str = "import sys, zipfile\nzipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    let directory = tempfile::tempdir().unwrap();
    let archive = lab.home(student, "quest/pack/pack.zip");
    let output = Command::new("python3").args(["-c", PROGRAM]).arg(archive).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = ["east.txt", "north.txt", "south.txt", "west.txt"];
    names.map(|name| (name.to_owned(), fs::read(directory.path().join(name)).unwrap())).into()
}

#[test]
fn block_c_whole_directories_and_types() {
    let lab = Lab::new(2);
    let (mut ann, mut bob) = (lab.login(ANN), lab.login(BOB));
    // C6: bob damages one.
    for (ftp, student) in [(&mut ann, ANN), (&mut bob, BOB)] {
        ftp.expect(257, "MKD /pack");
        for (name, mut contents) in unpacked(&lab, student) {
            if student == BOB && name == "west.txt" {
                contents.push(b'\n');
            }
            ftp.put(format!("STOR /pack/{name}"), &contents);
        }
    }
    // C7: bob deletes everything, and gets another chance, of which he makes nothing.
    ann.expect(250, "CWD /quest/clean");
    bob.expect(250, "CWD /quest/clean");
    for name in ["a.tmp", "b.tmp", "c.tmp", "keep.me", "z.tmp"] {
        bob.expect(250, format!("DELE {name}"));
        if name != "keep.me" {
            ann.expect(250, format!("DELE {name}"));
        }
    }
    // C8: bob's PWD is the one that programs send.
    ann.expect(257, "XMKD /reports");
    ann.expect(250, "XCWD /reports");
    ann.expect(257, "XPWD");
    ann.expect(250, "XCUP");
    bob.expect(250, "CWD /");
    bob.expect(257, "PWD");
    bob.expect(257, "MKD reports");
    bob.expect(250, "CWD reports");
    bob.expect(250, "CDUP");
    for ftp in [&mut ann, &mut bob] {
        ftp.put("STOR /hello.txt", b"harbour");
        ftp.expect(350, "RNFR hello.txt");
        ftp.expect(250, "RNTO done.txt");
    }
    // C9 and C10. Bob sends it in ascii, as ftp.exe does: CR LF becomes LF.
    let picture = fs::read(lab.home(ANN, "quest/picture/logo.png")).unwrap();
    ann.put("STOR /logo.png", &picture);
    right(&mut ann, "C9", "binary");
    bob.expect(200, "TYPE A");
    let picture = fs::read(lab.home(BOB, "quest/picture/logo.png")).unwrap();
    bob.put("STOR /logo.png", &picture);
    wrong(&mut bob, "C9", "binary", "an upload of /logo.png as it is asked for");
    wrong(&mut bob, "C10", "same", "Compare once more");
    ann.expect(200, "TYPE A");
    let picture = fs::read(lab.home(ANN, "quest/picture/logo.png")).unwrap();
    ann.put("STOR /logo.png", &picture);
    right(&mut ann, "C10", "different");
    only_ann_has(&lab, &["C6", "C7", "C8", "C9", "C10"]);

    bob.expect(250, "CWD /quest/clean");
    let reply = bob.expect(200, "SITE RESET C7").text();
    assert!(reply.contains("/quest/clean is as it was given"), "{reply}");
    bob.expect(250, "CWD /quest/clean");
    for name in ["a.tmp", "b.tmp", "c.tmp", "z.tmp"] {
        bob.expect(250, format!("DELE {name}"));
    }
    let list = bob.expect(200, "SITE TASKS").text();
    assert!(list.contains("[x] C7"), "{list}");
    assert!(bob.expect(200, "SITE RESET C1").text().contains("has no folder"));
}

#[test]
fn block_c_stop_and_go_on() {
    let lab = Lab::new(2);
    let (mut ann, mut bob) = (lab.login(ANN), lab.login(BOB));
    for (ftp, resumes) in [(&mut ann, true), (&mut bob, false)] {
        let mut data = ftp.open("RETR /quest/slow/slow.bin");
        data.read_exact(&mut [0; 1000]).unwrap();
        ftp.send("ABOR");
        drop(data);
        ftp.read(426);
        ftp.read(226);
        if resumes {
            ftp.expect(350, "REST 3000000");
        }
        ftp.get("RETR /quest/slow/slow.bin");
    }
    only_ann_has(&lab, &["C11"]);
}

#[test]
fn blocks_d_to_f() {
    let lab = Lab::new(2);
    let (mut ann, mut bob) = (lab.login(ANN), lab.login(BOB));
    right(&mut ann, "D1", "It is PASS.");
    wrong(&mut bob, "D1", "USER and PASS and AUTH", "more than was asked");
    let capture = |ftp: &mut Ftp| {
        let lines = ftp.expect(211, "FEAT").middle();
        lines.iter().find_map(|line| line.strip_prefix(" CAPTURE ")).unwrap().to_owned()
    };
    let words = [capture(&mut ann), capture(&mut bob)];
    assert_ne!(words[0], words[1]);
    right(&mut ann, "D2", &words[0]);
    wrong(&mut bob, "D2", &words[0], "not in a session of yours");

    for ftp in [&mut ann, &mut bob] {
        ftp.put("STOR /handin/report.txt", b"my report");
        ftp.get("LIST /handin");
    }
    ann.refused(550, "RETR /handin/report.txt");
    right(&mut ann, "D3", 550);
    bob.refused(550, "RETR /report.txt");
    wrong(&mut bob, "D3", 550, "I have not seen that RETR was refused");

    let ports = [&ann, &bob].map(|ftp| ftp.local().port());
    right(&mut ann, "F1", format!("{} same", ports[0]));
    wrong(&mut bob, "F1", format!("{} different", ports[1]), "once more");
    right(&mut ann, "F2", "4*256+89=1113");
    wrong(&mut bob, "F2", "89*256+4", "not the number");
    only_ann_has(&lab, &["D1", "D2", "D3", "F1", "F2"]);
    if no_ipv6() {
        return;
    }
    wrong(&mut bob, "E1", "EPRT EPSV", "I have not seen a login of yours over IPv6");
    let mut ann = Ftp::connect(lab.address_v6());
    ann.login(lab.user(ANN), lab.password(ANN));
    right(&mut ann, "E1", "EPRT and EPSV");
    only_ann_has(&lab, &["E1"]);
}
