//! `longshore classroom`: classes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{columns, finish, print};

mod new;

/// The arguments of `longshore classroom`.
#[derive(Debug, Clone, Args)]
pub struct ClassroomArgs {
    #[command(subcommand)]
    command: ClassroomCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ClassroomCommand {
    /// Make a class from the school's list, or bring one up to date
    ///
    /// Whoever is in the class keeps alias, password and home.
    New(new::NewArgs),
    /// Give students new passwords, on cards to print
    Cards(new::CardsArgs),
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
        ClassroomCommand::New(args) => new::new(args),
        ClassroomCommand::Cards(args) => new::cards(args),
    })
}
