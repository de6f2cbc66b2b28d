//! `longshore group`: the groups in the accounts file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::terms::GroupTerms;
use super::user::Target;
use super::{columns, finish, print};
use crate::accounts::edit::Kind;
use crate::accounts::file;

/// The arguments of `longshore group`.
#[derive(Debug, Clone, Args)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
    /// Read settings from this TOML file; the accounts file that it names is used
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum GroupCommand {
    /// Add a group
    Add {
        /// The group's name
        name: String,
        #[command(flatten)]
        terms: GroupTerms,
    },
    /// Change what holds for the users of a group
    ///
    /// An empty value takes a setting out again: --expires ''
    Set {
        /// The group's name
        name: String,
        #[command(flatten)]
        terms: GroupTerms,
    },
    /// Remove a group that no user is in
    Remove {
        /// The group's name
        name: String,
    },
    /// List all groups and what they say
    List,
}

/// `longshore group`.
pub fn group(args: &GroupArgs) -> ExitCode {
    finish(run(args))
}

fn run(args: &GroupArgs) -> anyhow::Result<()> {
    let target = Target::of(args.config.as_deref())?;
    match &args.command {
        GroupCommand::Add { name, terms } => {
            if let (true, Err(why)) = (name != file::GUESTS, file::check_name(name)) {
                bail!("{name:?} cannot be a group's name: {why}");
            }
            target.edit(|accounts| accounts.add_group(name, &terms.0))
        }
        GroupCommand::Set { name, terms } => target.edit(|accounts| accounts.change(Kind::Group, name, &terms.0)),
        GroupCommand::Remove { name } => target.edit(|accounts| accounts.remove(Kind::Group, name)),
        GroupCommand::List => {
            let head = ["NAME", "SAYS"].map(str::to_owned);
            let rows: Vec<_> = std::iter::once(head).chain(target.open()?.groups()?).collect();
            print(&columns(&rows))
        }
    }
}
