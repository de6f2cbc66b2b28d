//! How fast files may go. Only lower bounds of time are looked at, which a busy machine keeps too; that a rate is not
//! undercut either is the unit tests' business.

use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{Server, noise};
use crate::ftp::Ftp;

const SIZE: usize = 100_000;

/// What half a second of 200 KB/s is at least, a burst of 50 ms left aside.
const HALF_A_SECOND: Duration = Duration::from_millis(440);

fn took(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

#[test]
fn each_kind_of_rate_holds_for_files_of_both_directions() {
    let file = noise(SIZE, 1);
    let everybody = ["download_rate = 200000", "upload_rate = \"200 KB\""];
    let session = ["session_download_rate = 200000", "session_upload_rate = 200000"];
    let path = ["path_download_rates = { \"/*.bin\" = 200000 }", "path_upload_rates = { \"/\" = 200000 }"];
    for lines in [everybody, session, path] {
        let server = Server::builder().anonymous("read-write").file("a.bin", &file);
        let server = lines.iter().fold(server, |server, line| server.limits(line)).start();
        let mut ftp = Ftp::anonymous(&server);
        ftp.expect(200, "TYPE I");
        let download = took(|| assert_eq!(ftp.get("RETR a.bin"), file));
        let upload = took(|| drop(ftp.put("STOR b.bin", &file)));
        assert!(download >= HALF_A_SECOND && upload >= HALF_A_SECOND, "{lines:?}: {download:?}, {upload:?}");
        assert_eq!(server.read("b.bin"), file);
    }
}

#[test]
fn a_users_rate_is_shared_by_all_sessions_and_lasts_from_file_to_file() {
    let file = noise(SIZE / 5, 2);
    let rates = "download_rate = 200000\nupload_rate = \"200 KB\"";
    let server = Server::builder().account_with("ann", "pw", rates).file("a.bin", &file).start();
    let downloads = took(|| {
        thread::scope(|scope| {
            let session = || {
                let mut ftp = Ftp::connect(server.address());
                ftp.login("ann", "pw");
                ftp.expect(200, "TYPE I");
                for _ in 0..3 {
                    assert_eq!(ftp.get("RETR a.bin"), file);
                }
            };
            scope.spawn(session);
            scope.spawn(session);
        });
    });
    let mut ftp = Ftp::connect(server.address());
    ftp.login("ann", "pw");
    let upload = took(|| drop(ftp.put("STOR b.bin", &noise(SIZE, 5))));
    assert!(downloads >= HALF_A_SECOND && upload >= HALF_A_SECOND, "{downloads:?}, {upload:?}");
}

/// The wait of each is longer than `data_timeout`, since four share what is little for one.
#[test]
fn waiting_for_a_rate_is_no_stall() {
    let file = noise(1500, 3);
    let server =
        Server::builder().server("data_timeout = 1").limits("download_rate = 1000").file("a.bin", &file).start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut ftp = Ftp::anonymous(&server);
                ftp.expect(200, "TYPE I");
                assert_eq!(ftp.get("RETR a.bin"), file);
            });
        }
    });
}

#[test]
fn abor_does_not_wait_for_a_rate() {
    let server = Server::builder().limits("download_rate = 1000").file("a.bin", noise(SIZE, 4)).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE I");
    let data = ftp.open("RETR a.bin");
    ftp.send("ABOR");
    ftp.read(426);
    ftp.read(226);
    assert!(ftp.drain(data).len() < SIZE / 2);
}

/// At this rate it would take minutes.
#[test]
fn listings_have_no_rate() {
    let server = (0..2000).fold(Server::builder().limits("download_rate = 1000"), |server, number| {
        server.file(&format!("a-file-with-a-long-name-and-a-number-{number}"), "")
    });
    let server = server.start();
    assert_eq!(Ftp::anonymous(&server).list("NLST").len(), 2000);
}

#[test]
fn texts_have_a_rate_too() {
    let server =
        Server::builder().limits("session_download_rate = 200000").file("a.txt", "line\n".repeat(SIZE / 6)).start();
    let mut ftp = Ftp::anonymous(&server);
    ftp.expect(200, "TYPE A");
    let download = took(|| drop(ftp.get("RETR a.txt")));
    assert!(download >= HALF_A_SECOND, "{download:?}");
}
