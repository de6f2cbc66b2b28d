//! What goes wrong around a server: disks, networks, descriptors, clocks, and its own sudden end.
//!
//! The rounds of these tests are few in a usual run. `LONGSHORE_FAULTS=long` gives them their long form, as the README's
//! chapter "Development" has it; `LONGSHORE_FAULTS_SEED=N` has the moments of a run that failed again. What needs root
//! (disks and networks of a test's own) says so where it is left out, and fails where `LONGSHORE_REQUIRE_NAMESPACES` is
//! set.

mod clock;
mod disks;
mod files;
mod fuse;
mod kill;
mod line;
mod network;
mod soak;

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::fixture::{Server, poll};
use crate::ftp::Ftp;

/// How many rounds a test has in this run.
fn rounds(few: usize, many: usize) -> usize {
    if std::env::var("LONGSHORE_FAULTS").is_ok_and(|form| form == "long") { many } else { few }
}

/// What a server holds for its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holdings {
    sessions: usize,
    descriptors: usize,
}

impl Holdings {
    fn of(server: &Server) -> Self {
        let rows = server.ask_json(&["sessions"]);
        let rows = rows["connections"].as_array().unwrap();
        let sessions = rows.iter().filter(|row| row["kind"] != "listener").count();
        Self { sessions, descriptors: server.descriptors() }
    }

    /// Waits until it holds no more than this again.
    #[track_caller]
    fn are_back(self, server: &Server) {
        let back = || {
            let now = Self::of(server);
            now.sessions <= self.sessions && now.descriptors <= self.descriptors
        };
        if poll(|| back().then_some(())).is_none() {
            let rows = server.ask_json(&["sessions"]);
            panic!("it held {self:?}, and holds {:?}: {rows:#}", Self::of(server));
        }
    }
}

/// Sends `bytes` as an upload, which the server may end in the middle or refuse, and returns the code of its last reply.
fn try_put(ftp: &mut Ftp, line: &str, bytes: &[u8]) -> u16 {
    let mut data = ftp.passive();
    let begun = ftp.command(line).code;
    if begun != 150 {
        return begun;
    }
    let _ = data.write_all(bytes);
    drop(data);
    ftp.reply().code
}

/// Numbers for moments and sizes, the same ones for the same seed, which a failing test shows.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = std::env::var("LONGSHORE_FAULTS_SEED").map_or_else(|_| now(), |text| text.parse().unwrap());
        println!("LONGSHORE_FAULTS_SEED={seed}");
        Self(seed)
    }

    /// Another sequence, that goes on beside this one.
    fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A moment within `most`.
    fn moment(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros() as u64))
    }
}
