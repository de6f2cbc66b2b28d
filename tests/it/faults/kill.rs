//! A server that is killed at any moment loses nothing that it has confirmed, and the next one finds nothing half done.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use suppaftp::FtpStream;
use suppaftp::types::FileType;

use super::{Random, rounds};
use crate::fixture::{DEADLINE, Server, names_in, noise};
use crate::ftp::Ftp;

/// The latest moment of a kill, behind the first login.
const LATEST: Duration = Duration::from_millis(150);

/// The head that a resumed replacement keeps of the file.
const HEAD: usize = 150_000;

/// What one client did before the server was killed: of each name the last contents that were confirmed, and those that
/// were on their way.
#[derive(Default)]
struct Work {
    /// Files that are replaced, and so are always one of these, whole.
    replaced: BTreeMap<String, Vec<Vec<u8>>>,
    /// Whether a kill may have broken the replacement of the one that is resumed, which must begin anew then.
    resumes_no_more: bool,
    /// A file that grows: what was confirmed, and what was on its way.
    log: (Vec<u8>, Vec<u8>),
    /// New files: what each is to be, and whether that was confirmed.
    new: BTreeMap<String, (Vec<u8>, bool)>,
    /// Names that were deleted, and whether that was confirmed.
    deleted: BTreeMap<String, bool>,
    /// A file that has one of two names, and its contents.
    moved: Vec<u8>,
    /// What was handed in, and whether there is a receipt.
    handed_in: Vec<(Vec<u8>, bool)>,
}

/// Why a client stops: the server is gone. Any other refusal is a failure of the test.
struct Gone;

impl From<suppaftp::FtpError> for Gone {
    fn from(error: suppaftp::FtpError) -> Self {
        let refused = match &error {
            // A kill in the middle of a reply leaves nothing of it.
            suppaftp::FtpError::UnexpectedResponse(response) => !response.body.is_empty(),
            _ => false,
        };
        assert!(!refused, "{error}");
        Gone
    }
}

impl From<std::io::Error> for Gone {
    fn from(_: std::io::Error) -> Self {
        Gone
    }
}

fn connect(address: SocketAddr, user: &str) -> Result<FtpStream, Gone> {
    let mut ftp = FtpStream::connect_timeout(address, DEADLINE)?;
    ftp.get_ref().set_read_timeout(Some(DEADLINE))?;
    ftp.set_mode(suppaftp::Mode::ExtendedPassive);
    ftp.login(user, "pw")?;
    ftp.transfer_type(FileType::Binary)?;
    Ok(ftp)
}

/// Uploads in pieces, slowly enough to be on its way at most moments.
fn put(ftp: &mut FtpStream, name: &str, bytes: &[u8]) -> Result<(), Gone> {
    let mut data = ftp.put_with_stream(name)?;
    for piece in bytes.chunks(40_000) {
        data.write_all(piece)?;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(data.finish()?)
}

impl Work {
    /// Everything that a client of this name does, over and over, until the server is gone.
    fn go_on(&mut self, address: SocketAddr, name: &str, mut random: Random) -> Result<Infallible, Gone> {
        let mut ftp = connect(address, "ann")?;
        loop {
            self.step(&mut ftp, name, &mut random)?;
        }
    }

    fn step(&mut self, ftp: &mut FtpStream, name: &str, random: &mut Random) -> Result<(), Gone> {
        let bytes = noise(1 + random.below(400_000) as usize, random.next());
        match random.below(6) {
            0 => self.replace(name, "replaced", bytes, |name, bytes| put(ftp, name, bytes)),
            1 => {
                let head = self.replaced[&format!("{name}-resumed")].last().unwrap()[..HEAD].to_vec();
                let begins_anew = std::mem::take(&mut self.resumes_no_more);
                self.replace(name, "resumed", [&head, &*bytes].concat(), |name, whole| {
                    if begins_anew {
                        return put(ftp, name, whole);
                    }
                    ftp.resume_transfer(HEAD)?;
                    put(ftp, name, &bytes)
                })
            }
            2 => {
                self.log.1 = [&*self.log.0, &*bytes].concat();
                ftp.append_file(&format!("{name}-log"), &mut &*bytes)?;
                self.log.0 = self.log.1.clone();
                Ok(())
            }
            3 => {
                let new = format!("{name}-new-{}", random.next());
                self.new.insert(new.clone(), (bytes, false));
                put(ftp, &new, &self.new[&new].0)?;
                self.new.get_mut(&new).unwrap().1 = true;
                if random.below(2) == 0 {
                    self.deleted.insert(new.clone(), false);
                    ftp.rm(&new)?;
                    self.deleted.insert(new, true);
                }
                Ok(())
            }
            4 => {
                let next = format!("{name}-next");
                put(ftp, &next, &bytes)?;
                self.replace(name, "renamed", bytes, |name, _| Ok(ftp.rename(next.as_str(), name)?))
            }
            _ => {
                let names = [format!("{name}-moved"), format!("{name}-dir/moved")];
                let [from, to] = if ftp.size(&names[0]).is_ok() { names } else { [names[1].clone(), names[0].clone()] };
                Ok(ftp.rename(&from, &to)?)
            }
        }
    }

    fn replace(
        &mut self,
        name: &str,
        what: &str,
        bytes: Vec<u8>,
        work: impl FnOnce(&str, &[u8]) -> Result<(), Gone>,
    ) -> Result<(), Gone> {
        let name = format!("{name}-{what}");
        let states = self.replaced.get_mut(&name).unwrap();
        states.push(bytes);
        work(&name, states.last().unwrap())?;
        states.drain(..states.len() - 1);
        Ok(())
    }

    /// Hands files in until the server is gone.
    fn hand_in(&mut self, address: SocketAddr, mut random: Random) -> Result<Infallible, Gone> {
        let mut ftp = connect(address, "stu")?;
        loop {
            self.handed_in.push((noise(1 + random.below(400_000) as usize, random.next()), false));
            let (bytes, confirmed) = self.handed_in.last_mut().unwrap();
            put(&mut ftp, "report.txt", bytes)?;
            *confirmed = true;
        }
    }

    /// Looks at what the next server finds, which is what the next round begins with.
    fn check(&mut self, home: &Path, name: &str) {
        self.resumes_no_more = self.replaced[&format!("{name}-resumed")].len() > 1;
        for (name, states) in &mut self.replaced {
            let there = fs::read(home.join(name)).unwrap();
            assert!(
                states.contains(&there),
                "{name} is none of its {} states, but {} bytes",
                states.len(),
                there.len()
            );
            *states = vec![there];
        }
        let log = fs::read(home.join(format!("{name}-log"))).unwrap();
        assert!(log.starts_with(&self.log.0), "confirmed bytes are missing in the log");
        assert!(self.log.1.is_empty() || self.log.1.starts_with(&log), "the log holds what nobody sent");
        self.log = (log, Vec::new());
        for (name, (bytes, confirmed)) in &self.new {
            match (fs::read(home.join(name)), self.deleted.get(name)) {
                (Ok(_), Some(true)) => panic!("{name} was deleted"),
                (Ok(there), None) if *confirmed => assert!(there == *bytes, "{name} has {} bytes", there.len()),
                (Ok(there), _) => assert!(bytes.starts_with(&there), "{name} holds what nobody sent"),
                (Err(error), None) if *confirmed => panic!("{name}: {error}"),
                (Err(_), _) => {}
            }
            let _ = fs::remove_file(home.join(name));
        }
        self.new.clear();
        self.deleted.clear();
        let names = [format!("{name}-moved"), format!("{name}-dir/moved")];
        let moved: Vec<_> = names.iter().filter_map(|name| fs::read(home.join(name)).ok()).collect();
        assert_eq!(moved.len(), 1, "a file that is moved has one name");
        assert!(moved[0] == self.moved);
    }

    fn check_handed_in(&mut self, home: &Path) {
        let there: Vec<_> =
            names_in(home).iter().map(|name| (name.clone(), fs::read(home.join(name)).unwrap())).collect();
        for (name, bytes) in &there {
            let whole = self.handed_in.iter().any(|(sent, _)| sent == bytes);
            assert!(whole, "{name} with {} bytes looks like a report, and is none", bytes.len());
            fs::remove_file(home.join(name)).unwrap();
        }
        for (sent, _) in self.handed_in.iter().filter(|(_, confirmed)| *confirmed) {
            assert!(there.iter().any(|(_, bytes)| bytes == sent), "a report is missing that has a receipt");
        }
        self.handed_in.clear();
    }
}

/// How many bytes and names there are below `directory`, and the names that no client may see.
fn measure(directory: &Path, temporary: &mut Vec<String>) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    for name in names_in(directory) {
        let path = directory.join(&name);
        if name.starts_with(".longshore-") {
            temporary.push(name);
            continue;
        }
        files += 1;
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            let (more_bytes, more_files) = measure(&path, temporary);
            (bytes, files) = (bytes + more_bytes, files + more_files);
        } else {
            bytes += metadata.len();
        }
    }
    (bytes, files)
}

#[test]
fn a_server_that_is_killed_loses_nothing_that_was_confirmed() {
    let mut random = Random::new();
    let builder = Server::builder().account_with("ann", "pw", "home = \"ann\"\nquota_bytes = \"1 GB\"");
    let builder = builder.account_with("stu", "pw", "home = \"stu\"\npermissions = \"hand-in\"");
    let mut server = builder.file("ann/x", "").file("stu/x", "").start();
    fs::remove_file(server.path("stu/x")).unwrap();
    let names = ["a", "b"];
    let mut workers: Vec<Work> = names.iter().map(|name| Work::begun(&server, name, &mut random)).collect();
    let mut student = Work::default();
    let (mut interrupted, total) = (0, rounds(12, 400));
    for _ in 0..total {
        let address = server.address();
        thread::scope(|scope| {
            for (name, work) in names.iter().zip(&mut workers) {
                let random = random.fork();
                scope.spawn(move || work.go_on(address, name, random));
            }
            let (of_student, student) = (random.fork(), &mut student);
            scope.spawn(move || student.hand_in(address, of_student));
            server.event_where("transfer", |_| true);
            thread::sleep(random.moment(LATEST));
            server.kill();
        });
        let mut temporary = Vec::new();
        measure(&server.path(""), &mut temporary);
        interrupted += usize::from(!temporary.is_empty());
        // The next one, too, while it clears up.
        if random.below(4) == 0 {
            server.start_and_kill(random.moment(Duration::from_millis(40)));
        }
        fs::remove_file(server.beside("sessions.json")).unwrap();
        server.start_again();
        let mut temporary = Vec::new();
        let (bytes, files) = measure(&server.path("ann"), &mut temporary);
        measure(&server.path("stu"), &mut temporary);
        assert!(temporary.is_empty(), "{temporary:?} were left");
        let mut ann = Ftp::connect(server.address());
        ann.login("ann", "pw");
        let quota = ann.expect(200, "SITE QUOTA").text();
        assert!(quota.contains(&format!(" {bytes} of 1000000000 bytes, {files} files")), "{quota}: {bytes}, {files}");
        for (name, work) in names.iter().zip(&mut workers) {
            work.check(&server.path("ann"), name);
        }
        student.check_handed_in(&server.path("stu"));
        drop(ann);
    }
    println!("{interrupted} of {total} kills came while something was replaced");
    assert!(interrupted * 8 > total, "{interrupted} of {total} kills came while something was replaced");
}

impl Work {
    /// The files that a client begins with.
    fn begun(server: &Server, name: &str, random: &mut Random) -> Self {
        let mut work = Self { moved: noise(100_000, random.next()), ..Self::default() };
        for what in ["replaced", "resumed", "renamed"] {
            let (name, bytes) = (format!("{name}-{what}"), noise(200_000, random.next()));
            server.write(&format!("ann/{name}"), &bytes);
            work.replaced.insert(name, vec![bytes]);
        }
        server.write(&format!("ann/{name}-log"), "");
        server.write(&format!("ann/{name}-moved"), &work.moved);
        fs::create_dir(server.path(format!("ann/{name}-dir"))).unwrap();
        work
    }
}
