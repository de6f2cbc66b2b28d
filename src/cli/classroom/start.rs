//! `longshore classroom start`: serves a class.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{ClassArgs, print};
use crate::classroom::{Address, Classroom, Directory, settings, term};
use crate::cli::serve::serve_with;
use crate::cli::{ServeArgs, failure};
use crate::server::Server;

/// The arguments of `longshore classroom start`.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// No hints, and the server shows students no ports of theirs
    #[arg(long)]
    exam: bool,
    /// Write more about what happens; -vv for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// `longshore classroom start`.
pub fn start(args: &StartArgs) -> ExitCode {
    serve_class(&Directory::at(&args.class.directory), args.exam, args.verbose, "")
}

/// Serves a class, and says `more` about it.
pub(super) fn serve_class(directory: &Directory, exam: bool, verbose: u8, more: &str) -> ExitCode {
    let open = || -> anyhow::Result<_> {
        settings(directory)?;
        // First the lesson: with a faulty one nobody is let in.
        let classroom = Classroom::open(directory, exam)?;
        term::start(directory, None)?;
        Ok(classroom)
    };
    let classroom = match open() {
        Ok(classroom) => classroom,
        Err(error) => return failure(&error),
    };
    let serve = ServeArgs { config: Some(directory.settings()), verbose, ..ServeArgs::default() };
    serve_with(&serve, async move |server: &Server, stop: &CancellationToken| {
        let following = classroom.give(server, stop.clone());
        print(&(announcement(&classroom, server) + more))?;
        Ok(vec![following])
    })
}

/// What the lesson is, and where the students connect to.
fn announcement(classroom: &Classroom, server: &Server) -> String {
    let (lesson, students) = (classroom.lesson(), classroom.students().iter().count());
    let (tasks, points) = (lesson.tasks.len(), lesson.points());
    let exam = if classroom.is_exam() { ", as an exam" } else { "" };
    let mut text = format!("{}{exam}: {tasks} tasks, {points} points, {students} students\n", lesson.title);
    if let Some(first) = server.addresses().first() {
        // Without a network there is no such address, and the listeners are named anyway.
        let own = Some(first.ip()).filter(|ip| !ip.is_unspecified()).or_else(|| Address::own_host().ok());
        if let Some(ip) = own {
            text += &format!("students connect to {}\n", SocketAddr::new(ip, first.port()));
        }
    }
    text
}
