//! How many instructions longshore's hot paths take, outside of the kernel, under valgrind.
//!
//! Two runs, one of which does more, differ by what each operation takes; all that happens once goes out. Which thread wakes
//! which differs from run to run, so a path may take a few percent more or less.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::client::{Session, go_on};
use crate::ground::{Ground, SMALL, small_name};
use crate::servers::{Kind, Server};

/// What one operation does.
type Operation = fn(&mut Session, &Ground, usize) -> Result<()>;

/// A hot path: its name, the operation, how often the longer run does it, and how many thousand instructions one takes.
/// Who makes a path faster writes the new figure here.
const PATHS: [(&str, Operation, usize, f64); 5] = [
    ("NOOP", |session, _, _| session.ask("NOOP", 200), 1000, 13.3),
    ("a command that asks the file system (SIZE)", |session, _, _| session.ask("SIZE small-01", 213), 1000, 19.5),
    ("10 KB download", |session, _, number| session.discard(&small_name(number)).map(drop), 300, 105.0),
    ("10 KB upload", upload, 300, 104.6),
    ("LIST of 10,000 entries", |session, _, _| session.read("LIST many", |_| Ok(())).map(drop), 10, 26_880.0),
];

/// How much more than known is too much.
const TOLERANCE: f64 = 1.10;

fn upload(session: &mut Session, ground: &Ground, number: usize) -> Result<()> {
    session.store(&format!("upload/{number}"), &ground.block[..SMALL as usize], SMALL)
}

/// Counts all paths, and fails where one takes more than the tolerance allows.
pub fn check(ground: &Ground) -> Result<()> {
    println!("{:<45} {:>10} {:>10}   thousand instructions each", "", "now", "known");
    let mut slower = Vec::new();
    for (name, operation, times, known) in PATHS {
        let few = count(operation, times / 10, ground).context(name)?;
        let many = count(operation, times, ground).context(name)?;
        let now = (many - few) / (times - times / 10) as f64 / 1000.0;
        println!("{name:<45} {now:>10.1} {known:>10.1}   {:.2} x", now / known);
        if now > known * TOLERANCE {
            slower.push(name);
        }
    }
    ensure!(slower.is_empty(), "more than {TOLERANCE} times the known instructions: {}", slower.join(", "));
    Ok(())
}

/// The instructions of a whole run of the server in which one session does so many operations.
fn count(operation: Operation, times: usize, ground: &Ground) -> Result<f64> {
    let log = ground.path("valgrind.log");
    let log_file = format!("--log-file={}", log.display());
    let valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", &log_file];
    let server = Server::start_under(&valgrind, Kind::Longshore, ground)?.context("it is not installed")?;
    let mut session = Session::login(server.address)?;
    for number in 0..times {
        go_on()?;
        operation(&mut session, ground, number)?;
    }
    session.quit()?;
    server.stop()?;
    ground.clear_uploads()?;
    let text = fs::read_to_string(&log).context("valgrind's log")?;
    let collected =
        text.lines().find_map(|line| line.split_once("Collected : ")).context("no count in valgrind's log")?;
    Ok(collected.1.trim().parse()?)
}
