//! `longshore classroom new` and `cards`: students, and what they get on paper.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;

use super::{ClassArgs, columns, print};
use crate::classroom::{self, Address, Card, Change, Class, Directory, Enrolment, Roster, Students};

/// The arguments of `longshore classroom new`.
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// The school's list: a CSV file of Moodle, Canvas, nbgrader or GitHub Classroom, or a name a line
    #[arg(long, value_name = "FILE")]
    roster: PathBuf,
    /// Take only the students of this section; where the roster has none, all are in it
    #[arg(long, value_name = "NAME")]
    section: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Take away the accounts of those who are not in the roster; their homes go to the archive
    #[arg(long)]
    remove_missing: bool,
    #[command(flatten)]
    paper: PaperArgs,
}

/// The arguments of `longshore classroom cards`.
#[derive(Debug, Clone, Args)]
pub struct CardsArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// Only this student, by the alias; the others keep their passwords
    #[arg(long, value_name = "ALIAS")]
    student: Option<String>,
    #[command(flatten)]
    paper: PaperArgs,
}

#[derive(Debug, Clone, Args)]
struct PaperArgs {
    /// The server's address on the cards [default: this computer's in the network]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Write the passwords as a table, too, into credentials.csv
    #[arg(long)]
    credentials: bool,
}

/// `longshore classroom new`.
pub fn new(args: &NewArgs) -> anyhow::Result<()> {
    let directory = Directory::at(&args.class.directory);
    let section = args.section.as_deref();
    let roster = Roster::load(&args.roster, section)?;
    for notice in &roster.notices {
        eprintln!("note: {notice}");
    }
    let compare = |students: &Students| Enrolment::of(&roster, students, section);
    if args.dry_run {
        let enrolment = compare(&Students::load_or_none(&directory.students())?)?;
        print(&preview(&enrolment, args.remove_missing))?;
        return print(&format!("{}; nothing was written\n", summary(&enrolment)));
    }
    let address = args.paper.address.as_deref().map(Address::parse).transpose()?;
    // Before anything is made: an address that is not known, a row that could be two students.
    if address.is_none() {
        Address::own_host()?;
    }
    compare(&Students::load_or_none(&directory.students())?)?;
    if let Some(notice) = classroom::found(&directory, address.as_ref().map(Address::port), roster.entries.len())? {
        eprintln!("note: {notice}");
    }
    let class = Class::open(&directory)?;
    let address = args.paper.address(&class)?;
    let enrolment = compare(class.students())?;
    let cards = class.enrol(&enrolment, args.remove_missing, progress)?;
    print(&format!("{}\n", summary(&enrolment)))?;
    let path = match directory.cards() {
        path if path.exists() => dated(&path),
        path => path,
    };
    args.paper.write(&directory, &cards, &address, &path)
}

/// `longshore classroom cards`.
pub fn cards(args: &CardsArgs) -> anyhow::Result<()> {
    let directory = Directory::at(&args.class.directory);
    let class = Class::open(&directory)?;
    let address = args.paper.address(&class)?;
    let students = class.chosen(args.student.as_deref())?;
    let cards = class.new_passwords(students, progress)?;
    // The cards of all make those void that were there.
    let path = if args.student.is_some() { dated(&directory.cards()) } else { directory.cards() };
    args.paper.write(&directory, &cards, &address, &path)
}

impl PaperArgs {
    fn address(&self, class: &Class) -> anyhow::Result<Address> {
        self.address.as_deref().map_or_else(|| Address::of(class.settings()), Address::parse)
    }

    fn write(&self, directory: &Directory, cards: &[Card], address: &Address, path: &Path) -> anyhow::Result<()> {
        if cards.is_empty() {
            return Ok(());
        }
        let write = |path: &Path, contents: &[u8]| -> anyhow::Result<()> {
            let attempt = || format!("cannot write {}; make cards again: longshore classroom cards", path.display());
            classroom::replace(path, contents).with_context(attempt)?;
            print(&format!("{} (passwords in clear: {})\n", path.display(), cards.len()))
        };
        write(path, classroom::cards(cards, address).as_bytes())?;
        if self.credentials {
            write(&directory.credentials(), &classroom::credentials(cards, address)?)?;
        }
        Ok(())
    }
}

/// A name beside `path` with the time in UTC.
fn dated(path: &Path) -> PathBuf {
    let now = DateTime::<Utc>::from(SystemTime::now()).format("%Y-%m-%d-%H%M%S");
    path.with_file_name(format!("cards-{now}.html"))
}

/// Says at times how far the hashing of passwords is.
fn progress(done: usize, all: usize) {
    if done.is_multiple_of(20) || done == all {
        eprintln!("passwords: {done} of {all}");
    }
}

fn preview(enrolment: &Enrolment, remove_missing: bool) -> String {
    let rows = enrolment.rows.iter().map(|row| {
        let what = match row.change {
            Change::New => "new",
            Change::Updated => "updated",
            Change::Same => "unchanged",
        };
        [what, &row.student.user, &row.student.name, &row.student.id].map(str::to_owned)
    });
    let missing = enrolment.missing.iter().map(|student| {
        let what = if remove_missing { "removed" } else { "not in the roster, stays" };
        [what, &student.user, &student.name, &student.id].map(str::to_owned)
    });
    let head = ["WHAT", "ALIAS", "NAME", "ID"].map(str::to_owned);
    columns(&std::iter::once(head).chain(rows).chain(missing).collect::<Vec<_>>())
}

fn summary(enrolment: &Enrolment) -> String {
    let count = |change| enrolment.count(change);
    format!(
        "{} students in the roster: {} new, {} updated, {} unchanged; {} of the class not in it",
        enrolment.rows.len(),
        count(Change::New),
        count(Change::Updated),
        count(Change::Same),
        enrolment.missing.len()
    )
}
