//! `longshore classroom start`: serves a class.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{ClassArgs, finish, print};
use crate::classroom::{Address, Classroom, Directory, homes, settings, term};
use crate::cli::serve::{Beside, serve_with};
use crate::cli::{ServeArgs, failure};
use crate::server::Server;
use crate::settings::address::is_near;

/// The page's port, which reminds of FTP's.
const PAGE_PORT: u16 = 8021;

/// The arguments of `longshore classroom start`.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    #[command(flatten)]
    class: ClassArgs,
    /// Only let this student in again, by the alias, and do not serve
    #[arg(long, value_name = "ALIAS", conflicts_with_all = ["exam", "page", "public_page", "verbose"])]
    student: Option<String>,
    /// No hints, and the server shows students no ports of theirs
    #[arg(long)]
    exam: bool,
    #[command(flatten)]
    how: HowArgs,
}

/// How a class is served.
#[derive(Debug, Clone, Args)]
pub(super) struct HowArgs {
    /// Show the live page here [default: this computer's address in the network, port 8021 if it is free]
    #[arg(long, value_name = "ADDR:PORT")]
    page: Option<String>,
    /// Let the page be at an address that the Internet can reach
    #[arg(long)]
    public_page: bool,
    /// Write more about what happens; -vv for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// `longshore classroom start`.
pub fn start(args: &StartArgs) -> ExitCode {
    let directory = Directory::at(&args.class.directory);
    match &args.student {
        Some(student) => finish(
            term::start(&directory, Some(student)).and_then(|()| print(&format!("{student} is let in from now on\n"))),
        ),
        None => serve_class(&directory, args.exam, &args.how, ""),
    }
}

/// Serves a class, and says `more` about it.
pub(super) fn serve_class(directory: &Directory, exam: bool, how: &HowArgs, more: &str) -> ExitCode {
    let open = || -> anyhow::Result<_> {
        let settings = settings(directory)?;
        // First the lesson: with a faulty one nobody is let in.
        let classroom = Classroom::open(directory, exam)?;
        term::start(directory, None)?;
        classroom.notices().iter().for_each(|notice| eprintln!("note: {notice}"));
        let page = how.page.clone().or_else(|| settings.page.listen.is_empty().then(|| own_page(how.public_page)));
        Ok((classroom, page))
    };
    let (classroom, page) = match open() {
        Ok(opened) => opened,
        Err(error) => return failure(&error),
    };
    let (config, HowArgs { public_page, verbose, .. }) = (Some(directory.settings()), how);
    let serve = ServeArgs { config, verbose: *verbose, page, public_page: *public_page, ..ServeArgs::default() };
    serve_with(&serve, async move |server: &Server, stop: &CancellationToken| {
        let following = classroom.give(server, stop.clone());
        print(&(announcement(&classroom, server) + more))?;
        let homes = tokio::spawn(homes::follow(Arc::clone(&classroom), stop.clone()));
        Ok(Beside { tasks: vec![following, homes], class: Some(classroom) })
    })
}

/// Where the page is if nobody says: where the students are. Without a network, and at an address that the Internet can
/// reach, it is for this computer alone, unless it may be `public`.
fn own_page(public: bool) -> String {
    let own = Address::own_host().unwrap_or(Ipv4Addr::LOCALHOST.into());
    let may_be_there = public || is_near(own);
    if !may_be_there {
        eprintln!(
            "note: {own} is an address that the Internet may reach, so the page is for this computer only; \
             --public-page shows it there"
        );
    }
    let own = if may_be_there { own } else { Ipv4Addr::LOCALHOST.into() };
    let port = TcpListener::bind((own, PAGE_PORT)).map_or(0, |_| PAGE_PORT);
    SocketAddr::new(own, port).to_string()
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
