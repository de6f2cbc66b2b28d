//! `longshore classroom end`, `reset` and `archive`: between the lessons.

use std::io::{self, BufRead, IsTerminal};

use anyhow::bail;
use clap::Args;

use super::{ClassArgs, print};
use crate::classroom::{Directory, term};

/// The arguments of `longshore classroom end` and `archive`.
#[derive(Debug, Clone, Args)]
pub struct WhomArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// Only this student, by the alias
    #[arg(long, value_name = "ALIAS")]
    student: Option<String>,
}

/// The arguments of `longshore classroom reset`.
#[derive(Debug, Clone, Args)]
pub struct ResetArgs {
    #[command(flatten)]
    whom: WhomArgs,
    /// Leave in its place what was handed in
    #[arg(long)]
    keep_handin: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl WhomArgs {
    fn directory(&self) -> Directory {
        Directory::at(&self.class.directory)
    }
}

/// `longshore classroom end`.
pub fn end(args: &WhomArgs) -> anyhow::Result<()> {
    let sessions = term::end(&args.directory(), args.student.as_deref())?;
    let who = if args.student.is_some() { "the student is" } else { "the students are" };
    print(&format!("{who} kept out; {}\n", told(&sessions)))
}

/// `longshore classroom reset`.
pub fn reset(args: &ResetArgs) -> anyhow::Result<()> {
    let (directory, user) = (args.whom.directory(), args.whom.student.as_deref());
    let files = term::count_own_files(&directory, user)?;
    if files > 0 && !args.yes && !agreed(files)? {
        return print("nothing was done\n");
    }
    moved(&term::reset(&directory, user, args.keep_handin)?)
}

/// `longshore classroom archive`.
pub fn archive(args: &WhomArgs) -> anyhow::Result<()> {
    moved(&term::archive(&args.directory(), args.student.as_deref())?)
}

fn moved(term::Moved { place, homes, sessions }: &term::Moved) -> anyhow::Result<()> {
    match place {
        None => print("there was nothing to move\n"),
        Some(place) => print(&format!("homes moved to {}: {homes}; {}\n", place.display(), told(sessions))),
    }
}

fn told(sessions: &term::Sessions) -> String {
    match sessions {
        term::Sessions::Ended(count) => format!("sessions ended: {count}"),
        term::Sessions::NotAsked(why) => format!("no session was ended ({why})"),
    }
}

fn agreed(files: usize) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("this would move {files} files of the students to the archive; say --yes to do it");
    }
    eprint!("Move {files} files of the students to the archive? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
