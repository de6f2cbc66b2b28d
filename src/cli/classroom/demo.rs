//! `longshore classroom demo`: a sample class, served at once.

use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::start::{HowArgs, serve_class};
use crate::classroom::{self, Address, Card, Class, Directory, Enrolment, Roster, Student, Students};
use crate::cli::failure;

/// Ten students who do not exist.
const ROSTER: &str = include_str!("../../../config/lessons/demo-roster.csv");

/// What the class is served at, if it is free.
const PORT: u16 = 2121;

/// How many of the cards are shown.
const SHOWN: usize = 2;

/// The arguments of `longshore classroom demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Keep the class in this directory [default: a temporary one, which goes at the end]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The port of the server, 0 for any [default: 2121, or another that is free]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    #[command(flatten)]
    how: HowArgs,
}

/// `longshore classroom demo`.
pub fn demo(args: &DemoArgs) -> ExitCode {
    let place = match &args.directory {
        Some(path) => Ok(Place { path: path.clone(), is_temporary: false }),
        None => Place::temporary(),
    };
    let prepared = place.and_then(|place| Ok((prepare(&place, args.port)?, place)));
    let ((directory, cards, held), place) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return failure(&error),
    };
    let text = shown(&place, &cards);
    drop(held);
    serve_class(&directory, false, &args.how, &text)
}

/// Where the class is.
struct Place {
    path: PathBuf,
    is_temporary: bool,
}

impl Place {
    fn temporary() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("longshore-demo-{:08x}", getrandom::u32()?));
        let attempt = || format!("cannot make {}; name a directory: longshore classroom demo DIR", path.display());
        DirBuilder::new().mode(0o700).create(&path).with_context(attempt)?;
        Ok(Self { path, is_temporary: true })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

/// Makes the class, with new passwords for everybody. Its port is held until the server is about to bind it.
fn prepare(place: &Place, port: Option<u16>) -> anyhow::Result<(Directory, Vec<Card>, Option<TcpListener>)> {
    let directory = Directory::at(&place.path);
    let roster = Roster::parse(ROSTER.as_bytes(), "the sample roster", None)?;
    let is_of_the_demo =
        |student: &Student| roster.entries.iter().any(|entry| (&entry.id, &entry.name) == (&student.id, &student.name));
    // Before anything is written: somebody's own class would get new passwords.
    if !Students::load_or_none(&directory.students())?.iter().all(is_of_the_demo) {
        bail!("{} is another class already; start it with `longshore classroom start`", show(&place.path));
    }
    // A class that is there has its port.
    let held = if directory.settings().exists() { None } else { Some(hold(port)?) };
    let port = held.as_ref().map(|held| held.local_addr()).transpose()?.map(|address| address.port());
    classroom::found(&directory, port, roster.entries.len())?;
    let class = Class::open(&directory)?;
    let enrolment = Enrolment::of(&roster, class.students(), None)?;
    let made = class.enrol(&enrolment, false, |_, _| {})?;
    let cards = match made.is_empty() {
        false => made,
        true => {
            let class = Class::open(&directory)?;
            let students = class.chosen(None)?;
            class.new_passwords(students, |_, _| {})?
        }
    };
    let address = address(&directory)?;
    classroom::replace(&directory.cards(), classroom::cards(&cards, &address).as_bytes())?;
    classroom::replace(&directory.credentials(), &classroom::credentials(&cards, &address)?)?;
    Ok((directory, cards, held))
}

/// A port that nobody else has.
fn hold(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let at = |port: u16| TcpListener::bind(("0.0.0.0", port));
    match port {
        Some(port) => at(port).with_context(|| format!("port {port} is not free; --port 0 takes any")),
        None => at(PORT).or_else(|_| at(0)).context("no port is free"),
    }
}

/// Where the students connect; without a network, on this computer.
fn address(directory: &Directory) -> anyhow::Result<Address> {
    let settings = classroom::settings(directory)?;
    Address::of(&settings).or_else(|_| {
        let port = settings.server.listen.first().map_or(PORT, std::net::SocketAddr::port);
        Address::parse(&format!("127.0.0.1:{port}"))
    })
}

/// What there is to try it with.
fn shown(place: &Place, cards: &[Card]) -> String {
    let goes = if place.is_temporary { ", which goes with the demo" } else { "" };
    let mut text = format!("A sample class of {} in {}{goes}. Two of its cards:\n", cards.len(), show(&place.path));
    for Card { student, password, pin } in cards.iter().take(SHOWN) {
        text += &format!("  user {:<12} password {password:<24} PIN {pin}  ({})\n", student.user, student.name);
    }
    text + &format!("All of them: {}\n", show(&place.path.join("cards.html")))
}

fn show(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
