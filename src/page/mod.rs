//! The live page: which ports are in use, in a browser, while it happens.
//!
//! It is a reader of the sessions and of the class; neither knows it. [`Page::follow`] is the hub, which works out what
//! has changed, [`Page::router`] serves three faces: the projector's (everybody, aliases only), a student's (the own
//! sessions and tasks, by alias and PIN) and the teacher's (everything, by the token in the link).
//!
//! Whatever a client has chosen (names, paths, arguments) goes out as JSON or plain text, and becomes text in the browser:
//! nothing here or there makes markup of it.

mod actions;
mod board;
mod door;
mod feed;
mod files;
mod guard;
mod history;
mod hub;
mod model;
mod routes;
mod row;
mod sign_in;
mod text;
mod view;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::join;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::classroom::{Classroom, lan_address};
use crate::server::Server;
use board::Board;
use door::Door;
use feed::Readers;
use hub::Hub;
use view::{Name, Switches};

/// Between two looks at the marks of a class.
const BOARD_PAUSE: Duration = Duration::from_secs(1);

/// The page of one server.
#[derive(Clone)]
pub struct Page(Arc<Inner>);

struct Inner {
    server: Server,
    class: Option<Arc<Classroom>>,
    hub: Arc<Hub>,
    door: Door,
    readers: Readers,
    hosts: guard::Hosts,
    addresses: OnceLock<Vec<SocketAddr>>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Page").field(&self.0.hub).finish()
    }
}

impl Page {
    /// A page with a token of its own, for a server with a class or without one.
    pub fn of(server: &Server, class: Option<Arc<Classroom>>) -> io::Result<Self> {
        let is_exam = class.as_ref().is_some_and(|class| class.is_exam());
        // Who is on the network need not know what is called how, where there is no class that is to see it.
        let switches = Switches { files: class.is_some(), grid: false, ports: !is_exam };
        let named = class.clone();
        let names = move |user: &str| {
            let student = named.as_ref()?.student(user)?;
            Some(Name { alias: student.alias, full: student.name })
        };
        let inner = Inner {
            server: server.clone(),
            class,
            hub: Arc::new(Hub::new(server, Arc::new(names), switches)),
            door: Door::new()?,
            readers: Readers::default(),
            hosts: server.settings().page.hosts.clone().into(),
            addresses: OnceLock::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Follows the sessions and the class until the server is gone, for as long as it is polled.
    pub async fn follow(self) {
        match self.0.class.clone() {
            Some(class) => drop(join!(self.0.hub.follow(), self.follow_class(class))),
            None => self.0.hub.follow().await,
        }
    }

    /// Tells how the class stands, once a second at most.
    async fn follow_class(&self, class: Arc<Classroom>) {
        let (mut changes, mut before) = (class.changes(), None::<Arc<Board>>);
        loop {
            changes.borrow_and_update();
            let (asked, old) = (Arc::clone(&class), before.clone());
            let board = spawn_blocking(move || Arc::new(Board::of(&asked, old.as_deref()))).await;
            // Where it broke off the next one may not.
            if let Ok(board) = board {
                self.0.hub.tell_board(Arc::clone(&board));
                before = Some(board);
            }
            sleep(BOARD_PAUSE).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Everything that browsers ask for.
    pub fn router(&self) -> Router {
        routes::router(self)
    }

    /// It, served at these addresses.
    pub fn at(self, addresses: Vec<SocketAddr>) -> Self {
        // A page is served once.
        let _ = self.0.addresses.set(addresses);
        self
    }

    /// Where it is, with the teacher's token.
    pub fn links(&self) -> Links {
        let addresses = self.0.addresses.get().map(Vec::as_slice).unwrap_or_default();
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| reachable(*address)).collect();
        let link = |behind: &str| addresses.iter().map(|address| format!("http://{address}/{behind}")).collect();
        // What is behind the # stays in the browser, and so out of every log.
        let students = if self.0.class.is_some() { link("student") } else { Vec::new() };
        Links { everybody: link(""), students, teacher: link(&format!("teacher#{}", self.0.door.token().reveal())) }
    }
}

/// The address at which others reach a listener that is bound to all of this machine's.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::new(lan_address().unwrap_or(Ipv4Addr::LOCALHOST.into()), address.port()),
        false => address,
    }
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// For everybody.
    pub everybody: Vec<String>,
    /// For students, with alias and PIN; none where there is no class.
    pub students: Vec<String>,
    /// For the teacher, or whoever runs the server: whoever has one may do everything.
    pub teacher: Vec<String>,
}

impl Links {
    /// What may stand in a log: the teacher's link is told by `command`.
    pub fn public(&self, command: &str) -> String {
        let mut text = String::new();
        for (who, links) in [("live page:     ", &self.everybody), ("for students:  ", &self.students)] {
            links.iter().for_each(|link| text += &format!("{who}{link}\n"));
        }
        text + &format!("for you alone: the link that `{command}` tells\n")
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = [
            ("live page:     ", &self.everybody),
            ("for students:  ", &self.students),
            ("for you alone: ", &self.teacher),
        ];
        whose.iter().try_for_each(|(who, links)| links.iter().try_for_each(|link| writeln!(f, "{who}{link}")))
    }
}
