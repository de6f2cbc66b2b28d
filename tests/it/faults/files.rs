//! Files and directories that change, or go, under a session; and disks that are full or can only be read.

use std::fs;
use std::io::Write;
use std::process::Command;

use super::try_put;
use crate::fixture::{Server, noise, poll};
use crate::ftp::Ftp;

#[test]
fn a_file_that_grows_during_its_download_is_sent_as_it_was_at_the_beginning() {
    let server = Server::start();
    let bytes = noise(30_000_000, 1);
    server.write("log", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    for kind in ["I", "A"] {
        ftp.expect(200, format!("TYPE {kind}"));
        let data = ftp.open("RETR log");
        let mut log = fs::File::options().append(true).open(server.path("log")).unwrap();
        log.write_all(b"more, which nobody has asked for").unwrap();
        let got = ftp.drain(data);
        ftp.read(226);
        // As a text it is longer, and ends as it did.
        let end = if kind == "A" { got.ends_with(&bytes[bytes.len() - 9..]) } else { got == bytes };
        assert!(end, "{kind}: {} bytes", got.len());
        log.set_len(bytes.len() as u64).unwrap();
    }
}

#[test]
fn a_directory_that_goes_from_under_a_session_costs_that_directory_only() {
    let server = Server::builder().file("dir/sub/x", "x").file("y", "y").start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(250, "CWD dir/sub");
    // One upload to a new name, and one that replaces.
    let (mut one, mut two) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    let mut new = one.open("STOR dir/sub/new");
    one.write_data(&mut new, &noise(100_000, 1));
    let mut replacing = two.open("STOR dir/sub/x");
    two.write_data(&mut replacing, &noise(100_000, 2));
    fs::remove_dir_all(server.path("dir")).unwrap();
    drop((new, replacing));
    // What somebody deletes during its upload has been uploaded.
    one.read(226);
    two.read(550);
    for line in ["SIZE x", "CWD .", "CWD sub", "MLST x", "DELE x", "MKD z", "RNFR x", "STAT ."] {
        ftp.expect(550, line);
    }
    for line in ["LIST", "NLST", "MLSD", "RETR x", "STOR x", "APPE x", "STOU"] {
        ftp.refused(550, line);
    }
    ftp.expect(550, "CDUP");
    ftp.expect(250, "CWD /");
    assert_eq!(ftp.get("RETR y"), b"y");
    assert_eq!(server.names(""), ["y"]);
}

#[test]
fn a_home_that_goes_from_under_its_session_is_made_anew_for_the_next() {
    let server = Server::builder().account_with("ann", "pw", "home = \"ann\"\ncreate_home = true").start();
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "pw");
    ftp.put("STOR x", b"x");
    fs::remove_dir_all(server.path("ann")).unwrap();
    assert_eq!(try_put(&mut ftp, "STOR x", b"x"), 550);
    ftp.refused(550, "RETR x");
    ftp.expect(550, "MKD d");
    ftp.lives();
    let mut next = Ftp::connect(server.address());
    next.login("ann", "pw");
    next.put("STOR x", b"y");
    assert_eq!(server.read("ann/x"), b"y");
    // The first one is where it was.
    ftp.refused(550, "RETR x");
}

#[test]
fn a_disk_without_room_for_names_is_452() {
    let Some(builder) = Server::builder().disk_of("1m,nr_inodes=8") else { return };
    let builder = builder.account_with("ann", "pw", "home = \"ann\"\ncreate_home = true");
    let server = builder.start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR old", b"the old one");
    let mut made = 0;
    while ftp.command(format!("MKD d{made}")).code == 257 {
        made += 1;
    }
    ftp.expect(452, "MKD d");
    for line in ["STOR new", "APPE new", "STOU", "STOR old"] {
        ftp.refused(452, line);
    }
    // A home of its own finds no room either, and leaves nothing half made.
    let mut ann = Ftp::connect(server.address());
    ann.expect(331, "USER ann");
    ann.expect(530, "PASS pw");
    assert_eq!(server.names("").len(), 1 + made);
    assert_eq!(server.read("old"), b"the old one");
    ftp.expect(250, "RMD d0");
    ann.login("ann", "pw");
    ann.lives();
}

#[test]
fn a_disk_that_becomes_read_only_is_550_until_it_can_be_written_again() {
    let Some(builder) = Server::builder().disk_of("1m") else { return };
    let server = builder.start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR old", b"the old one");
    ftp.expect(257, "MKD dir");
    let remount = |how: &str| {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &server.pid().to_string(), "mount", "-o", &format!("remount,{how}")]);
        assert!(command.arg(server.beside("root")).status().unwrap().success());
    };
    remount("ro");
    for line in ["STOR new", "STOR old", "APPE old", "STOU"] {
        let reply = ftp.refused(550, line);
        assert!(reply.text().contains("only be read"), "{reply:?}");
    }
    for line in ["MKD new", "RMD dir", "DELE old", "SITE CHMOD 600 old", "MFMT 20260102030405 old"] {
        let reply = ftp.expect(550, line);
        assert!(reply.text().contains("only be read"), "{reply:?}");
    }
    ftp.expect(350, "RNFR old");
    ftp.expect(550, "RNTO new");
    assert_eq!(ftp.get("RETR old"), b"the old one");
    assert_eq!(ftp.list("NLST"), ["dir", "old"]);
    remount("rw");
    ftp.put("STOR old", b"new");
    assert_eq!(ftp.get("RETR old"), b"new");
}

/// Nobody can be told in the log itself.
#[test]
fn a_log_that_finds_no_room_says_so_once_and_goes_on_with_whole_lines() {
    let Some(builder) = Server::builder().session_log("root/sessions.json").disk_of("256k") else { return };
    let xferlog = format!("xferlog = {:?}", builder.beside("root/xferlog"));
    let server = builder.log(&xferlog).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.put("STOR small", b"x");
    assert_eq!(try_put(&mut ftp, "STOR large", &noise(1 << 20, 1)), 452);
    let said = |text: &str| server.output().matches(text).count();
    let done = poll(|| {
        // Small files, so that both logs need room.
        ftp.get("RETR small");
        (said("the session log cannot be written") > 0 && said("xferlog cannot be written") > 0).then_some(())
    });
    assert!(done.is_some(), "{}", server.output());
    for _ in 0..100 {
        ftp.get("RETR small");
    }
    ftp.expect(250, "DELE large");
    let again = poll(|| {
        ftp.get("RETR small");
        (said("the session log is written again") > 0 && said("xferlog is written again") > 0).then_some(())
    });
    assert!(again.is_some(), "{}", server.output());
    assert_eq!(said("cannot be written"), 2);
    ftp.expect(221, "QUIT");
    let events = || String::from_utf8(server.read("sessions.json")).unwrap();
    poll(|| events().contains("session_closed").then_some(())).expect("the end is on record");
    for line in events().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let transfers = String::from_utf8(server.read("xferlog")).unwrap();
    let torn = transfers.lines().filter(|line| line.ends_with(" c") && line.split(' ').count() != 18);
    assert_eq!(torn.collect::<Vec<_>>(), [""; 0]);
}
