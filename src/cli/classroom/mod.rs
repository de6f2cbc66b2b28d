//! `longshore classroom`: classes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{columns, finish, print};

mod demo;
mod export;
mod lesson;
mod marks;
mod new;
mod start;
mod term;

/// The arguments of `longshore classroom`.
#[derive(Debug, Clone, Args)]
pub struct ClassroomArgs {
    #[command(subcommand)]
    command: ClassroomCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ClassroomCommand {
    /// Serve a sample class at once, to look at everything
    ///
    /// Ten students who do not exist, the shipped lesson, a free port; Ctrl-C ends it.
    Demo(demo::DemoArgs),
    /// Make a class from the school's list, or bring one up to date
    ///
    /// Whoever is in the class keeps alias, password and home.
    New(new::NewArgs),
    /// Give students new passwords, on cards to print
    Cards(new::CardsArgs),
    /// Serve the class: let the students in, give the lesson and mark it
    Start(start::StartArgs),
    /// Show the marks
    Marks(marks::MarksArgs),
    /// Decide about a mark yourself, with a reason
    ///
    /// The points that you give stand, whatever is observed; --clear takes the decision back.
    Override(marks::OverrideArgs),
    /// Write the marks for a gradebook, a spreadsheet, or to print
    Export(export::ExportArgs),
    /// Look at lesson files
    Lesson(lesson::LessonArgs),
    /// Keep the students out, and end their sessions
    End(term::WhomArgs),
    /// Move the homes to the archive and make them anew
    ///
    /// Says how many files that are, and asks.
    Reset(term::ResetArgs),
    /// Keep the students out and move their homes to the archive, for all with the record of the lesson
    Archive(term::WhomArgs),
}

/// The class that is meant.
#[derive(Debug, Clone, Args)]
struct ClassArgs {
    /// The directory of the class
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// `longshore classroom`.
pub fn classroom(args: &ClassroomArgs) -> ExitCode {
    finish(match &args.command {
        ClassroomCommand::Start(args) => return start::start(args),
        ClassroomCommand::Demo(args) => return demo::demo(args),
        ClassroomCommand::Export(args) => export::export(args),
        ClassroomCommand::Marks(args) => marks::marks(args),
        ClassroomCommand::Override(args) => marks::decide(args),
        ClassroomCommand::Lesson(args) => lesson::lesson(args),
        ClassroomCommand::New(args) => new::new(args),
        ClassroomCommand::Cards(args) => new::cards(args),
        ClassroomCommand::End(args) => term::end(args),
        ClassroomCommand::Reset(args) => term::reset(args),
        ClassroomCommand::Archive(args) => term::archive(args),
    })
}
