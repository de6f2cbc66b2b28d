//! Disks that fail: nothing that was there is lost, nothing that failed is called complete, and nobody else waits.

use std::time::{Duration, Instant};

use fuser::Errno;

use super::fuse::{Disk, Op};
use crate::fixture::{Server, noise, poll};
use crate::ftp::Ftp;

/// A server whose whole root is such a disk; `None` where this user may not mount one.
fn on_a_disk() -> Option<(Server, Disk)> {
    let (disk, device) = Disk::new();
    Some((Server::builder().fuse("", device)?.start(), disk))
}

/// Sends `bytes` as an upload and returns the code of its last reply.
fn try_put(ftp: &mut Ftp, line: &str, bytes: &[u8]) -> u16 {
    use std::io::Write;
    let mut data = ftp.passive();
    let begun = ftp.command(line);
    if begun.code != 150 {
        return begun.code;
    }
    // The server may end it in the middle.
    let _ = data.write_all(bytes);
    drop(data);
    ftp.reply().code
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
    let mut ftp = Ftp::anonymous(&server);
    for (error, code) in [(Errno::EIO, 451), (Errno::ENOSPC, 452), (Errno::EDQUOT, 452)] {
        disk.fail(Op::Flush, "", error);
        assert_eq!(try_put(&mut ftp, "STOR old", &noise(100_000, 2)), code);
        assert_eq!(try_put(&mut ftp, "STOR new", b"new"), code);
        assert_eq!(try_put(&mut ftp, "APPE old", b""), code);
        disk.heal();
        assert_eq!(disk.read("old").unwrap(), b"the old contents");
        ftp.expect(250, "DELE new");
    }
    ftp.put("STOR old", b"now it works");
    assert_eq!(disk.names(), ["old"]);
}

#[test]
fn a_disk_that_answers_nothing_holds_up_nobody_elsewhere() {
    let (disk, device) = Disk::new();
    let Some(builder) = Server::builder().admin().file("healthy/x", "x").fuse("slow", device) else { return };
    let mut server = builder.start();
    disk.put("x", b"slow");
    let mut stuck: Vec<Ftp> = (0..24).map(|_| Ftp::anonymous(&server)).collect();
    let ports: Vec<_> = stuck.iter_mut().map(Ftp::passive).collect();
    let mut other = Ftp::anonymous(&server);
    let hanging = disk.hang();
    let lines = ["SIZE slow/x", "RETR slow/x", "STOR slow/new", "CWD slow", "MLST slow/x", "LIST slow", "STOR slow/x",
        "MFMT 20260102030405 slow/x", "RNFR slow/x", "APPE slow/x", "DELE slow/x", "SITE CHMOD 600 slow/x"];
    for (ftp, line) in stuck.iter_mut().zip(lines.iter().cycle()) {
        ftp.send(line);
    }
    let begun = Instant::now();
    poll(|| (disk.waiting() > 0).then_some(())).expect("somebody waits for the disk");
    for _ in 0..20 {
        assert_eq!(other.get("RETR healthy/x"), b"x");
        other.put("STOR healthy/y", b"y");
        other.expect(213, "SIZE healthy/x");
        other.expect(250, "CWD healthy");
        other.expect(250, "CWD /");
    }
    Ftp::anonymous(&server).lives();
    assert!(server.ask_json(&["sessions"]).to_string().contains("slow"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // It works again, and everybody gets an answer.
    drop(hanging);
    for ftp in &mut stuck {
        ftp.reply();
    }
    drop(ports);
    // And a server that is told to stop does not wait for a disk.
    let _hanging = disk.hang();
    other.send("SIZE slow/x");
    poll(|| (disk.waiting() > 0).then_some(())).expect("somebody waits for the disk");
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
}
