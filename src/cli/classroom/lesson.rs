//! `longshore classroom lesson`: lesson files.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{columns, print};
use crate::classroom::lesson::Lesson;

/// The arguments of `longshore classroom lesson`.
#[derive(Debug, Clone, Args)]
pub struct LessonArgs {
    #[command(subcommand)]
    command: LessonCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum LessonCommand {
    /// Say what is wrong with a lesson file, each with its line, or show its tasks
    Check {
        /// The lesson
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `longshore classroom lesson`.
pub fn lesson(args: &LessonArgs) -> anyhow::Result<()> {
    let LessonCommand::Check { file } = &args.command;
    let lesson = Lesson::load(file)?;
    let rows = lesson.tasks.iter().map(|task| [task.id.clone(), task.points.to_string(), task.title.clone()]);
    let head = ["TASK", "POINTS", "TITLE"].map(str::to_owned);
    print(&columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))?;
    let (tasks, points) = (lesson.tasks.len(), lesson.points());
    print(&format!("\n{} looks good: {}, {tasks} tasks, {points} points\n", file.display(), lesson.title))
}
