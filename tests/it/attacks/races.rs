//! Somebody beside the server swaps directories, files and homes for links that lead out of the root, while clients work
//! on them. Whatever the server finds at each moment, it reads and touches nothing out there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use super::outside::{Outside, has_canary};
use super::rounds;
use crate::fixture::{LONGSHORE, Process, Server};
use crate::ftp::Ftp;

/// Names that stand for something inside at one moment and for something outside at the next; the last one for a FIFO, at
/// which an open would wait for ever.
const SWAPPED: [&str; 6] = ["root/d", "root/f", "root/deep/d", "root/ann", "root/class", "root/g"];

/// Exchanges each of them with its link again and again until it is dropped; the kernel does it at one moment.
struct Swapping {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Swapping {
    fn start(base: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let swap = move || {
            while !stopped.load(Ordering::Relaxed) {
                for name in SWAPPED {
                    let (inside, link) = (base.join(name), base.join(format!("{name}.swap")));
                    renameat_with(CWD, &inside, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            }
        };
        Self { stop, thread: Some(thread::spawn(swap)) }
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// What happened to the commands of a client.
#[derive(Default)]
struct Tally {
    done: AtomicUsize,
    refused: AtomicUsize,
}

impl Tally {
    fn count(&self, code: u16) {
        let it = if code < 400 { &self.done } else { &self.refused };
        it.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does everything that FTP can do below `d`, which comes and goes.
fn work(ftp: &mut Ftp, d: &str, tally: &Tally) {
    for line in [
        "SIZE D/a",
        "MDTM D/a",
        "MLST D/a",
        "STAT D",
        "HASH D/a",
        "MFMT 20200101000000 D/a",
        "SITE CHMOD 600 D/a",
        "SITE CHMOD 700 D",
        "MFMT 20200101000000 D",
        "MKD D/made",
        "MKD D/made/deeper",
        "RMD D/made/deeper",
        "RMD D/made",
        "RMD D/empty",
        "DELE D/file.txt",
        "DELE D/sub/a",
        "CWD D/sub",
        "CWD /",
        "SITE UTIME 20200101000000 f",
        "SITE CHMOD 600 f",
        "SIZE f",
        "HASH g",
        "MLST D/.longshore-upload-1-2",
    ] {
        let reply = ftp.command(line.replace('D', d));
        assert!(!has_canary(&reply.raw), "{}", reply.text());
        tally.count(reply.code);
    }
    for (from, to) in
        [("D/a", "D/b"), ("D/b", "D/a"), ("kept", "D/kept"), ("D/kept", "kept"), ("D/sub", "sub"), ("sub", "D/sub")]
    {
        if ftp.command(format!("RNFR {}", from.replace('D', d))).code == 350 {
            tally.count(ftp.command(format!("RNTO {}", to.replace('D', d))).code);
        }
    }
    for line in
        ["RETR D/a", "RETR D/sub/a", "RETR f", "RETR g", "LIST D", "NLST D/*", "NLST D/*/a", "MLSD D", "LIST -d D"]
    {
        let data = ftp.passive();
        let reply = ftp.command(line.replace('D', d));
        tally.count(reply.code);
        if reply.code == 150 {
            let bytes = ftp.drain(data);
            assert!(!has_canary(&bytes), "{line} read from outside of the root");
            ftp.reply();
        }
    }
    for line in [
        "STOR D/new",
        "STOR D/a",
        "STOR D/sub/a",
        "APPE D/a",
        "APPE f",
        "APPE g",
        "STOR g",
        "STOR f",
        "STOU",
        "STOR D/made/x",
    ] {
        let mut data = ftp.passive();
        let reply = ftp.command(line.replace('D', d));
        tally.count(reply.code);
        if reply.code == 150 {
            ftp.write_data(&mut data, b"from a client");
            drop(data);
            tally.count(ftp.reply().code);
        }
    }
    ftp.command(format!("DELE {d}/new"));
}

/// Logs in to a home that comes and goes, and works in what was found.
fn visit(server: &Server, user: &str, tally: &Tally) {
    let mut ftp = Ftp::connect(server.address());
    ftp.expect(331, format!("USER {user}"));
    let reply = ftp.command("PASS secret");
    tally.count(reply.code);
    if reply.code == 230 {
        work(&mut ftp, "sub", &Tally::default());
    }
    if user == "new" {
        // So that the next login makes it again.
        let _ = fs::remove_dir_all(server.path("class/new"));
    }
}

/// What the clients find inside, and may change as they like.
fn furnish(dir: &Path) {
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::create_dir_all(dir.join("empty")).unwrap();
    for name in ["a", "file.txt", "sub/a"] {
        fs::write(dir.join(name), "from inside").unwrap();
    }
}

fn link(base: &Path, name: &str, target: impl AsRef<Path>) {
    symlink(target, base.join(format!("{name}.swap"))).unwrap();
}

#[test]
fn no_swap_beside_the_server_leads_a_client_out() {
    let password = bcrypt::hash("secret", 4).unwrap();
    let user = |name: &str, home: &str, more: &str| {
        format!("[[user]]\nname = {name:?}\npassword = {password:?}\nhome = {home:?}\n{more}\n")
    };
    let rules = r#"permissions = { "/" = "read-write", "/nothing" = "none" }"#;
    let builder = Server::builder().account("own", "own").limits("login_delay_max = 0");
    let base: PathBuf = builder.beside("");
    for dir in ["root/d", "root/deep/d", "root/ann"] {
        furnish(&base.join(dir));
    }
    fs::create_dir(base.join("root/class")).unwrap();
    fs::write(base.join("root/f"), "from inside").unwrap();
    link(&base, "root/d", "../outside");
    link(&base, "root/f", "../outside/file.txt");
    link(&base, "root/deep/d", base.join("outside"));
    link(&base, "root/ann", base.join("outside"));
    link(&base, "root/class", "../outside");
    fs::write(base.join("root/g"), "from inside").unwrap();
    mknodat(CWD, base.join("root/g.swap"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let server = builder
        .accounts_text(
            &(user("rob", ".", rules) + &user("ann", "ann", "") + &user("new", "class/new", "create_home = true")),
        )
        .file("kept", "from inside")
        .start();
    // The start itself looks for what a killed server has left, and must not look there.
    let outside = Outside::make(base.join("outside"));
    let (inside, homes) = (Tally::default(), Tally::default());
    let swapping = Swapping::start(base);
    thread::scope(|scope| {
        for (user, password, d) in [("anonymous", "x", "d"), ("rob", "secret", "d"), ("anonymous", "x", "deep/d")] {
            let (server, inside) = (&server, &inside);
            scope.spawn(move || {
                let mut ftp = Ftp::connect(server.address());
                ftp.login(user, password);
                (0..rounds(60)).for_each(|_| work(&mut ftp, d, inside));
            });
        }
        for user in ["ann", "new"] {
            let (server, homes) = (&server, &homes);
            scope.spawn(move || (0..rounds(120)).for_each(|_| visit(server, user, homes)));
        }
    });
    for _ in 0..rounds(5) {
        // A start looks everywhere for what a killed server has left behind.
        let mut command = Command::new(LONGSHORE);
        command.args(["--listen", "127.0.0.1:0", "--root"]).arg(server.path(""));
        Process::spawn(&mut command).listening(1);
    }
    drop(swapping);
    outside.is_untouched();
    assert!(!server.output().contains("panicked"), "{}", server.output());
    // That the race was one: the same commands found both.
    for tally in [&inside, &homes] {
        let (done, refused) = (tally.done.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
        assert!(done > 20 && refused > 20, "{done} commands were done and {refused} refused");
    }
}
