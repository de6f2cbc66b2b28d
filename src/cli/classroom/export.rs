//! `longshore classroom export`: marks for gradebooks, spreadsheets and people.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{ClassArgs, print};
use crate::classroom::export::{Format, Options, export as exported};
use crate::classroom::{Directory, marks, replace, settings};

/// The arguments of `longshore classroom export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// moodle and canvas: CSV for their gradebooks; long: CSV with a row for each task; evidence: JSON lines with all that
    /// the points rest on; report: HTML to print
    #[arg(long, value_name = "moodle|canvas|long|evidence|report")]
    format: Format,
    /// Write to this file, and not to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A column for each task beside the sum; gradebooks make an assignment of each
    #[arg(long)]
    by_task: bool,
    /// Begin CSV with a byte order mark, for spreadsheets that take it for another encoding otherwise
    #[arg(long)]
    bom: bool,
}

/// `longshore classroom export`.
pub fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let directory = Directory::at(&args.class.directory);
    settings(&directory)?;
    let (lesson, all) = marks::read(&directory)?;
    let options = Options { by_task: args.by_task, bom: args.bom };
    let bytes = exported(args.format, &lesson, &all, options)?;
    match &args.output {
        None => io::stdout().lock().write_all(&bytes).context("cannot write to standard output"),
        Some(path) => {
            replace(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
            print(&format!("{} (students: {})\n", path.display(), all.len()))
        }
    }
}
