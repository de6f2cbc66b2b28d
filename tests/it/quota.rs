//! Quotas: what an account may have below its home.

use std::io::Write;
use std::thread;

use crate::fixture::{Server, noise};
use crate::ftp::Ftp;

const KIB: usize = 1024;

fn ann(lines: &str) -> crate::fixture::Builder {
    Server::builder().account_with("ann", "pw", lines)
}

fn login(server: &Server, user: &str) -> Ftp {
    let mut ftp = Ftp::connect(server.address());
    ftp.login(user, "pw");
    ftp.expect(200, "TYPE I");
    ftp
}

fn used(ftp: &mut Ftp) -> String {
    ftp.expect(200, "SITE QUOTA").text()
}

/// The last code of an upload that may be refused at any point.
fn try_put(ftp: &mut Ftp, line: &str, bytes: &[u8]) -> u16 {
    let mut data = ftp.passive();
    let begun = ftp.command(line);
    if begun.code != 150 {
        return begun.code;
    }
    // The server may have closed in between.
    let _ = data.write_all(bytes);
    drop(data);
    ftp.reply().code
}

fn bytes_below(server: &Server) -> usize {
    server.names(".").iter().map(|name| server.read(name).len()).sum()
}

#[test]
fn an_upload_over_the_quota_is_552_and_what_came_counts() {
    let server = ann("quota_bytes = \"100 KiB\"").file("old", noise(40 * KIB, 1)).start();
    let mut ftp = login(&server, "ann");
    assert_eq!(used(&mut ftp), "200 Your quota: 40960 of 102400 bytes, 1 files and directories.");
    ftp.put("STOR fits", &noise(50 * KIB, 2));
    assert_eq!(try_put(&mut ftp, "STOR big", &noise(200 * KIB, 3)), 552);
    assert!(bytes_below(&server) <= 100 * KIB);
    // What arrived of it stays for a resume, and goes with the file.
    assert_eq!(
        used(&mut ftp),
        format!(
            "200 Your quota: {} of 102400 bytes, {} files and directories.",
            bytes_below(&server),
            server.names(".").len()
        )
    );
    if server.has("big") {
        ftp.expect(250, "DELE big");
    }
    ftp.expect(250, "DELE old");
    assert_eq!(used(&mut ftp), "200 Your quota: 51200 of 102400 bytes, 1 files and directories.");
    ftp.put("STOR again", &noise(50 * KIB, 4));
    ftp.lives();
}

#[test]
fn a_full_home_refuses_before_the_data_connection() {
    let server = ann("quota_bytes = 1000").file("full", noise(1000, 1)).start();
    let mut ftp = login(&server, "ann");
    for line in ["STOR new", "APPE full", "STOU", "APPE new"] {
        ftp.refused(552, line);
    }
    assert_eq!(ftp.expect(452, "ALLO 1").text(), "452 There is no room for that: 0 bytes are free.");
    assert_eq!(server.names("."), ["full"]);
}

#[test]
fn a_replacement_counts_for_what_it_adds() {
    let server = ann("quota_bytes = 1000").file("a", noise(900, 1)).start();
    let mut ftp = login(&server, "ann");
    let new = noise(1000, 2);
    ftp.put("STOR a", &new);
    assert_eq!(server.read("a"), new);
    assert_eq!(try_put(&mut ftp, "STOR a", &noise(1001, 3)), 552);
    assert_eq!(server.read("a"), new, "the old file stays");
    ftp.put("STOR a", b"small");
    assert!(used(&mut ftp).contains(" 5 of 1000 bytes"));
}

#[test]
fn files_and_directories_are_counted_as_they_come_and_go() {
    let server = ann("quota_files = 3").start();
    let mut ftp = login(&server, "ann");
    for name in server.names(".") {
        ftp.expect(250, format!("DELE {name}"));
    }
    ftp.expect(257, "MKD d");
    ftp.put("STOR d/a", b"a");
    ftp.put("STOR b", b"b");
    ftp.refused(552, "STOR c");
    ftp.expect(552, "MKD e");
    ftp.put("STOR b", b"new");
    ftp.expect(350, "RNFR d/a");
    ftp.expect(250, "RNTO b");
    assert!(used(&mut ftp).contains(" 2 of 3 files"));
    ftp.expect(250, "RMD d");
    ftp.expect(550, "MKD x/y");
    assert!(used(&mut ftp).contains(" 1 of 3 files"));
    let status = ftp.expect(211, "STAT").middle();
    assert!(status.iter().any(|line| line.contains("Quota: 1 bytes, 1 of 3 files and directories")), "{status:?}");
}

#[test]
fn racing_uploads_never_exceed_the_quota() {
    let server = ann("quota_bytes = \"200 KiB\"").file("d/x", "").start();
    thread::scope(|scope| {
        for number in 0..6 {
            let server = &server;
            scope.spawn(move || {
                let mut ftp = login(server, "ann");
                for round in 0..3 {
                    try_put(&mut ftp, &format!("STOR f{number}-{round}"), &noise(90 * KIB, number));
                }
            });
        }
    });
    let files: Vec<_> = server.names(".").into_iter().filter(|name| name.starts_with('f')).collect();
    let bytes: usize = files.iter().map(|name| server.read(name).len()).sum();
    assert!((90 * KIB..=200 * KIB).contains(&bytes), "{bytes}");
    let mut ftp = login(&server, "ann");
    assert!(used(&mut ftp).contains(&format!(" {bytes} of ")), "{bytes}");
}

#[test]
fn accounts_of_one_home_share_its_count_and_a_restart_counts_again() {
    let server = ann("quota_bytes = 1000").account_with("bob", "pw", "quota_bytes = 500").account_with("eve", "pw", "");
    let mut server = server.file("a", noise(100, 1)).start();
    let (mut ann, mut bob, mut eve) = (login(&server, "ann"), login(&server, "bob"), login(&server, "eve"));
    assert_eq!(used(&mut eve), "200 You have no quota.");
    eve.put("STOR b", &noise(450, 2));
    assert!(used(&mut ann).contains(" 550 of 1000 bytes"));
    bob.refused(552, "STOR c");
    ann.put("STOR c", &noise(400, 3));
    server.kill_and_start_again();
    let mut ann = login(&server, "ann");
    assert!(used(&mut ann).contains(" 950 of 1000 bytes"));
}

/// A second session takes the name away while the first one still uploads to it.
#[test]
fn a_name_that_goes_while_it_is_replaced_hides_nothing_from_the_quota() {
    for take_away in [&[(250, "DELE a")][..], &[(350, "RNFR a"), (250, "RNTO moved")]] {
        let server = ann("quota_bytes = 1000").file("a", noise(400, 1)).start();
        let (mut one, mut other) = (login(&server, "ann"), login(&server, "ann"));
        let mut data = one.open("STOR a");
        one.write_data(&mut data, &noise(400, 2));
        take_away.iter().for_each(|(code, line)| drop(other.expect(*code, line)));
        drop(data);
        one.read(226);
        let (there, said) = (bytes_below(&server), used(&mut one));
        assert!(
            said.contains(&format!(" {there} of 1000 bytes, {} files", server.names(".").len())),
            "{there}: {said}"
        );
    }
}

#[test]
fn a_replacement_whose_old_file_has_gone_needs_room_of_its_own() {
    let server = ann("quota_bytes = 1000").file("a", noise(900, 1)).start();
    let (mut one, mut other) = (login(&server, "ann"), login(&server, "ann"));
    let mut data = one.open("STOR a");
    one.write_data(&mut data, &noise(900, 2));
    other.expect(250, "DELE a");
    other.put("STOR b", &noise(900, 3));
    drop(data);
    one.read(552);
    assert_eq!(server.names("."), ["b"]);
    assert!(used(&mut one).contains(" 900 of 1000 bytes, 1 files"));
}

/// The name that an upload was to give back has become another file's.
#[test]
fn a_name_that_goes_while_nothing_has_come_is_counted_out_once() {
    let server = ann("quota_files = 5").file("kept", "").start();
    let (mut one, mut other) = (login(&server, "ann"), login(&server, "ann"));
    let data = one.open("STOR new");
    other.expect(250, "DELE new");
    other.put("STOR new", b"another");
    one.send("ABOR");
    one.read(426);
    one.read(226);
    drop(data);
    assert!(used(&mut one).contains(" 2 of 5 files"), "{}", used(&mut one));
}

#[test]
fn a_broken_upload_counts_for_what_it_leaves() {
    let server = ann("quota_bytes = 1000").start();
    let mut ftp = login(&server, "ann");
    let mut data = ftp.open("STOR new");
    ftp.write_data(&mut data, &noise(600, 1));
    crate::ftp::reset(data);
    ftp.read(426);
    let (there, said) = (bytes_below(&server), used(&mut ftp));
    assert!(said.contains(&format!(" {there} of 1000 bytes, {} files", server.names(".").len())), "{there}: {said}");
}

/// A second session takes the name of a new file away, and more comes of it.
#[test]
fn a_file_that_is_deleted_while_it_is_written_gives_everything_back() {
    let server = ann("quota_bytes = 1000").start();
    let (mut one, mut other) = (login(&server, "ann"), login(&server, "ann"));
    let mut data = one.open("STOR new");
    one.write_data(&mut data, &noise(300, 1));
    other.expect(250, "DELE new");
    one.write_data(&mut data, &noise(600, 2));
    drop(data);
    one.read(226);
    assert!(used(&mut one).contains(" 0 of 1000 bytes, 0 files"), "{}", used(&mut one));
}

/// Everything that changes what is there, between the pieces of uploads, from several sessions at once.
#[test]
fn racing_sessions_leave_books_that_are_right() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d/e", "d/f", "d"];
    let server = ann("quota_bytes = 5000000\nquota_files = 100").start();
    // The books are those of this session from its beginning on.
    let mut watch = login(&server, "ann");
    let race = |seed: u64| {
        let (mut ftp, mut other) = (login(&server, "ann"), login(&server, "ann"));
        let mut dice = noise(2000, seed).into_iter().map(usize::from);
        let mut roll = |sides: usize| dice.next().unwrap() % sides;
        for _ in 0..60 {
            let name = NAMES[roll(6)];
            let line = [format!("STOR {name}"), format!("APPE {name}"), "STOU".to_owned()];
            if roll(3) == 0 {
                ftp.expect(350, format!("REST {}", roll(200)));
            }
            let mut data = ftp.passive();
            if ftp.command(&line[roll(3)]).code != 150 {
                continue;
            }
            for _ in 0..roll(6) {
                // The server may have closed in between.
                let _ = data.write_all(&noise(100 * roll(256), seed));
                let name = [name, NAMES[roll(6)]][roll(2)];
                match roll(4) {
                    0 => drop(other.command(format!("DELE {name}"))),
                    1 if other.command(format!("RNFR {name}")).code == 350 => {
                        other.command(format!("RNTO {}", NAMES[roll(6)]));
                    }
                    2 => drop(other.command("MKD d")),
                    _ => drop(other.command("RMD d")),
                }
            }
            if roll(3) == 0 {
                crate::ftp::reset(data)
            } else {
                drop(data)
            }
            ftp.reply();
        }
    };
    thread::scope(|scope| (1..=4).for_each(|seed| drop(scope.spawn(move || race(seed)))));
    let (mut bytes, mut files) = (0, 0);
    let mut pending = vec![server.path("")];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let found = entry.metadata().unwrap();
            files += 1;
            match found.is_dir() {
                true => pending.push(entry.path()),
                false => bytes += found.len(),
            }
        }
    }
    let said = used(&mut watch);
    assert_eq!(said, format!("200 Your quota: {bytes} of 5000000 bytes, {files} of 100 files and directories."));
    assert!(bytes <= 5_000_000 && files <= 100, "{said}");
}
