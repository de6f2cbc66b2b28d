//! Disks that fail: nothing that was there is lost, nothing that failed is called complete, and nobody else waits.

use std::time::{Duration, Instant};
use std::{fs, io};

use fuser::Errno;
use rustix::process::Signal;

use super::fuse::{Disk, Op};
use super::try_put;
use crate::fixture::{Server, noise, poll};
use crate::ftp::Ftp;

/// A server whose whole root is such a disk; `None` where this user may not mount one.
fn on_a_disk() -> Option<(Server, Disk)> {
    let (disk, device) = Disk::new();
    Some((Server::builder().fuse("", device)?.start(), disk))
}

#[test]
fn a_healthy_disk_over_fuse_serves_as_any_other() {
    let Some((server, disk)) = on_a_disk() else { return };
    let mut ftp = Ftp::anonymous(&server);
    let bytes = noise(300_000, 1);
    ftp.put("STOR x", &bytes);
    assert!(disk.read("x").unwrap() == bytes);
    ftp.put("STOR x", b"new");
    assert_eq!(ftp.get("RETR x"), b"new");
    ftp.expect(257, "MKD dir");
    ftp.expect(350, "RNFR x");
    ftp.expect(250, "RNTO dir/y");
    assert_eq!(ftp.list("NLST dir"), ["dir/y"]);
    ftp.expect(250, "DELE dir/y");
    ftp.expect(250, "RMD dir");
    assert!(disk.names().is_empty());
}

/// A disk on the network, or one with a quota, takes the bytes and says no when the file is closed.
#[test]
fn a_write_that_fails_at_the_close_loses_no_old_file_and_is_not_called_complete() {
    let Some((server, disk)) = on_a_disk() else { return };
    disk.put("old", b"the old contents");
    disk.put("log", b"the log");
    let mut ftp = Ftp::anonymous(&server);
    for (error, code) in [(Errno::EIO, 451), (Errno::ENOSPC, 452), (Errno::EDQUOT, 452)] {
        disk.fail(Op::Flush, "", error);
        assert_eq!(try_put(&mut ftp, "STOR old", &noise(100_000, 2)), code);
        assert_eq!(try_put(&mut ftp, "STOR new", b"new"), code);
        assert_eq!(try_put(&mut ftp, "APPE log", b"more"), code);
        disk.heal();
        assert_eq!(disk.read("old").unwrap(), b"the old contents");
        ftp.expect(250, "DELE new");
    }
    ftp.put("STOR old", b"now it works");
    assert_eq!(disk.names(), ["log", "old"]);
}

/// How many of the server's threads wait for a disk: for its answer, or for another one that does.
fn waiting(server: &Server) -> usize {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let waits = |thread: io::Result<fs::DirEntry>| {
        let of = |name: &str| fs::read_to_string(thread.as_ref().unwrap().path().join(name)).unwrap_or_default();
        of("stack").contains("fuse") || of("status").contains("State:\tD")
    };
    threads.map(waits).filter(|waits| *waits).count()
}

#[test]
fn a_disk_that_answers_nothing_holds_up_nobody_elsewhere() {
    const LINES: [&str; 12] = [
        "SIZE slow/x",
        "RETR slow/x",
        "STOR slow/new",
        "CWD slow",
        "MLST slow/x",
        "LIST slow",
        "STOR slow/x",
        "MFMT 20260102030405 slow/x",
        "RNFR slow/x",
        "APPE slow/x",
        "DELE slow/x",
        "SITE CHMOD 600 slow/x",
    ];
    let (disk, device) = Disk::new();
    let healthy = Server::builder().admin().server("shutdown_grace = 1").file("healthy/x", "x");
    let Some(builder) = healthy.fuse("slow", device) else { return };
    let mut server = builder.start();
    disk.put("x", b"slow");
    let mut stuck: Vec<Ftp> = (0..3 * LINES.len()).map(|_| Ftp::anonymous(&server)).collect();
    let ports: Vec<_> = stuck.iter_mut().map(Ftp::passive).collect();
    let mut other = Ftp::anonymous(&server);
    let hanging = disk.hang(server.path("slow"));
    let mut commands = stuck.iter_mut().zip(LINES.iter().cycle()).map(|(ftp, line)| ftp.send(line));
    // One of them, which may hold up the thread that looks after the network, and then all of them.
    for count in [1, 3 * LINES.len()] {
        commands.by_ref().take(count).for_each(drop);
        let all = poll(|| (waiting(&server) == count).then_some(()));
        assert!(all.is_some(), "{} of {count} wait for the disk", waiting(&server));
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(other.get("RETR healthy/x"), b"x");
            other.put("STOR healthy/y", b"y");
            other.expect(213, "SIZE healthy/x");
            other.expect(250, "CWD healthy");
            other.expect(250, "CWD /");
        }
        Ftp::anonymous(&server).lives();
        assert!(server.ask_json(&["sessions"]).to_string().contains("anonymous"));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    // It works again, and everybody gets an answer.
    drop(hanging);
    drop(ports);
    for ftp in &mut stuck {
        if ftp.reply().code == 150 {
            ftp.reply();
        }
        ftp.lives();
    }
    // A server that is told to stop does not wait for a disk.
    let _hanging = disk.hang(server.path("slow"));
    other.send("SIZE slow/x");
    poll(|| (waiting(&server) > 0).then_some(())).expect("the server waits for the disk");
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

/// A client that mirrors deletes what it no longer sees.
#[test]
fn a_listing_that_could_not_look_at_everything_says_so() {
    let Some((server, disk)) = on_a_disk() else { return };
    for name in ["a", "broken", "c"] {
        disk.put(name, b"x");
    }
    let mut ftp = Ftp::anonymous(&server);
    disk.fail(Op::Stat, "broken", Errno::EIO);
    for (line, last) in [("LIST", 451), ("MLSD", 451), ("NLST", 226), ("LIST *", 451), ("NLST *", 226)] {
        let data = ftp.open(line);
        let listing = String::from_utf8(ftp.drain(data)).unwrap();
        ftp.read(last);
        // What there is to be told is told.
        let names = listing.lines().filter(|line| line.ends_with(['a', 'c'])).count();
        assert_eq!(names, 2, "{line}: {listing}");
        assert_eq!(listing.contains("broken"), last == 226, "{line}: {listing}");
    }
    ftp.expect(451, "STAT /");
    disk.heal();
    disk.fail(Op::List, "", Errno::EIO);
    for line in ["LIST", "MLSD", "NLST", "LIST *", "NLST *"] {
        ftp.refused(451, line);
    }
    ftp.expect(451, "STAT /");
    disk.heal();
    assert_eq!(ftp.list("NLST"), ["a", "broken", "c"]);
}

#[test]
fn a_disk_that_fails_is_451_for_every_command_and_costs_nothing() {
    let Some((server, disk)) = on_a_disk() else { return };
    let bytes = noise(600_000, 3);
    disk.put("old", &bytes);
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(257, "MKD dir");
    disk.fail(Op::Read, "", Errno::EIO);
    for line in ["HASH old", "XMD5 old"] {
        ftp.expect(451, line);
    }
    for kind in ["I", "A"] {
        ftp.expect(200, format!("TYPE {kind}"));
        let mut data = ftp.open("RETR old");
        let end = crate::ftp::read_to_end(&mut data, &mut Vec::new());
        ftp.read(451);
        assert!(end.is_err(), "it looks like the end of a whole file");
    }
    ftp.expect(200, "TYPE I");
    let failures: [(Op, &[&str]); 8] = [
        (Op::Stat, &["SIZE old", "MDTM old", "MLST old", "CWD dir", "SITE CHMOD 600 old", "MFMT 20260102030405 old"]),
        (Op::Open, &["STOR old", "APPE old", "RETR old"]),
        (Op::Create, &["STOR new", "STOU", "STOR old"]),
        (Op::Write, &["STOR new", "APPE log", "STOR old"]),
        (Op::Rename, &["STOR old"]),
        (Op::MakeDirectory, &["MKD new"]),
        (Op::Remove, &["DELE old", "RMD dir"]),
        (Op::List, &["LIST"]),
    ];
    for (op, lines) in failures {
        for line in lines {
            disk.put("log", b"the log");
            disk.fail(op, "", Errno::EIO);
            match line.split(' ').next().unwrap() {
                "STOR" | "APPE" | "STOU" => assert_eq!(try_put(&mut ftp, line, &noise(300_000, 4)), 451, "{line}"),
                "RETR" | "LIST" => drop(ftp.refused(451, *line)),
                _ => drop(ftp.expect(451, *line)),
            }
            disk.heal();
            ftp.lives();
            assert!(disk.read("old").unwrap() == bytes, "{line}");
            assert_eq!(disk.read("log").unwrap(), b"the log", "{line}");
            ftp.expect(250, "DELE log");
            assert_eq!(disk.names(), ["dir", "old"], "{line}");
        }
    }
    disk.fail(Op::Rename, "", Errno::EIO);
    ftp.expect(350, "RNFR old");
    ftp.expect(451, "RNTO new");
    disk.heal();
    assert!(ftp.get("RETR old") == bytes);
}

/// Where an upload cannot even take its temporary file away again, it is hidden.
#[test]
fn what_cannot_be_cleared_away_is_not_shown() {
    let Some((server, disk)) = on_a_disk() else { return };
    disk.put("old", b"the old contents");
    let mut ftp = Ftp::anonymous(&server);
    disk.fail(Op::Write, "", Errno::EIO);
    disk.fail(Op::Remove, "", Errno::EIO);
    assert_eq!(try_put(&mut ftp, "STOR old", b"new"), 451);
    disk.heal();
    assert_eq!(disk.names().len(), 2);
    assert_eq!(ftp.list("NLST -a"), ["old"]);
    assert_eq!(ftp.get("RETR old"), b"the old contents");
}

#[test]
fn uploads_that_are_to_be_on_the_disk_fail_where_it_does_not_take_them() {
    let (disk, device) = Disk::new();
    let Some(builder) = Server::builder().storage("fsync = true").fuse("", device) else { return };
    let server = builder.start();
    disk.put("old", b"the old contents");
    let mut ftp = Ftp::anonymous(&server);
    disk.fail(Op::Sync, "", Errno::EIO);
    assert_eq!(try_put(&mut ftp, "STOR old", b"new"), 451);
    assert_eq!(try_put(&mut ftp, "STOR new", b"new"), 451);
    disk.heal();
    assert_eq!(disk.read("old").unwrap(), b"the old contents");
    assert_eq!(try_put(&mut ftp, "STOR new", b"new"), 226);
}

/// Its owner may have closed it with SITE CHMOD, and has to come in to open it again.
#[test]
fn a_directory_that_cannot_be_counted_keeps_nobody_out() {
    let (disk, device) = Disk::new();
    let builder = Server::builder().account_with("ann", "pw", "quota_bytes = 1000").fuse("", device);
    let Some(builder) = builder else { return };
    let server = builder.start();
    disk.put("x", b"12345");
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "pw");
    ftp.expect(257, "MKD closed");
    drop(ftp);
    for error in [Errno::EACCES, Errno::EIO] {
        disk.fail(Op::List, "closed", error);
        let mut ftp = Ftp::connect(server.address());
        ftp.login("ann", "pw");
        assert!(ftp.expect(200, "SITE QUOTA").text().contains(" 5 of 1000 bytes, 2 files"));
        disk.heal();
        ftp.expect(221, "QUIT");
        // The home is closed with its last session, so the next login counts again.
        server.event_where("session_closed", |event| event["session"].as_u64() >= Some(2));
    }
}
