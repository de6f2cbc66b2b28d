//! What is measured, and how it is called.

use crate::Scale;
use crate::ground::{ENTRIES, RATE};
use crate::servers::Kind;

use Way::{Down, Up};
use What::{Beside, Idle, Large, Listing, Login, Noop, Rated, Small};

/// One thing to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// As many bytes as the large file has, in equal parts, one for each client.
    Large {
        way: Way,
        clients: usize,
        tls: bool,
    },
    /// A download that longshore is told to hold back.
    Rated,
    /// Files of 10 KB, one behind the other by each client, perhaps in a session of its own each.
    Small {
        way: Way,
        clients: usize,
        logins: bool,
        tls: bool,
    },
    /// All entries of a large directory, by this verb.
    Listing(&'static str),
    Noop,
    Login {
        tls: bool,
    },
    /// The memory of sessions that are logged in and do nothing.
    Idle(usize),
    /// A download of the large file beside such sessions.
    Beside(usize),
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Down,
    Up,
}

/// How a measurement is written down.
pub struct Terms {
    /// What the command line calls it.
    pub name: String,
    pub title: String,
    pub unit: &'static str,
    pub scale: Figure,
    /// Name of the CPU figure and how many amounts it covers, in its own units of time.
    pub cpu: (&'static str, f64),
}

/// What the figure of a measurement is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Figure {
    /// Amounts in a second: more is better.
    Rate,
    /// What one amount costs, of which this many make a second or a byte: less is better.
    Cost(f64),
}

const fn large(way: Way, clients: usize, tls: bool) -> What {
    Large { way, clients, tls }
}

const fn small(way: Way, clients: usize, logins: bool) -> What {
    Small { way, clients, logins, tls: false }
}

const fn small_tls(way: Way) -> What {
    Small { way, clients: 1, logins: false, tls: true }
}

impl What {
    /// In the order in which they are measured.
    pub const ALL: [Self; 31] = [
        large(Down, 1, false),
        large(Down, 4, false),
        large(Down, 16, false),
        Rated,
        large(Up, 1, false),
        large(Up, 4, false),
        large(Up, 16, false),
        small(Down, 1, false),
        small(Down, 8, false),
        small(Down, 1, true),
        small(Down, 8, true),
        small(Up, 1, false),
        small(Up, 8, false),
        small(Up, 1, true),
        small(Up, 8, true),
        Listing("LIST"),
        Listing("NLST"),
        Listing("MLSD"),
        Noop,
        Login { tls: false },
        large(Down, 1, true),
        large(Up, 1, true),
        small_tls(Down),
        small_tls(Up),
        Login { tls: true },
        Idle(300),
        Idle(3_000),
        Idle(10_000),
        Beside(300),
        Beside(3_000),
        Beside(10_000),
    ];

    pub fn terms(self, scale: &Scale) -> Terms {
        let size = match scale.large / 1_000_000 {
            megabytes @ 0..1000 => format!("{megabytes} MB"),
            megabytes => format!("{} GB", megabytes / 1000),
        };
        let (per_gb, per_1000) = (("CPU s/GB", 1000.0), ("CPU s/1,000", 1000.0));
        let (name, title, unit, scale, cpu) = match self {
            Large { way, clients, tls } => {
                let (name, title) = (format!("{}{}-{clients}", prefix(tls), way.word()), by(clients));
                let title = format!("{}{} of {size}, {title}", mark(tls), way.word());
                (name, title, "MB/s", Figure::Rate, per_gb)
            }
            Rated => ("rated".into(), format!("download at {RATE} MB/s"), "MB/s", Figure::Rate, per_gb),
            Small { way, clients, logins, tls } => {
                let (end, each) = if logins { ("-logins", ", a login each") } else { ("", "") };
                let name = format!("{}small-{}s-{clients}{end}", prefix(tls), way.word());
                let title = format!("{}10 KB {}s, {}{each}", mark(tls), way.word(), by(clients));
                (name, title, "files/s", Figure::Rate, per_1000)
            }
            Listing(verb) => {
                let title = format!("{verb} of {ENTRIES} entries");
                (verb.to_lowercase(), title, "ms", Figure::Cost(1e3), ("CPU ms each", 1e3))
            }
            Noop => ("noop".into(), "NOOP".into(), "us", Figure::Cost(1e6), ("CPU us each", 1e6)),
            Login { tls } => {
                let title = format!("{}connect, log in, quit", mark(tls));
                (format!("{}login", prefix(tls)), title, "a second", Figure::Rate, per_1000)
            }
            Idle(sessions) => {
                let title = format!("memory of an idle session, of {sessions}");
                (format!("idle-{sessions}"), title, "KiB", Figure::Cost(1.0 / 1024.0), per_1000)
            }
            Beside(sessions) => {
                let title = format!("download of {size} beside {sessions} idle sessions");
                (format!("beside-{sessions}"), title, "MB/s", Figure::Rate, per_gb)
            }
        };
        Terms { name, title, unit, scale, cpu }
    }

    /// Whether a server takes part: a rate by path is longshore's own, vsftpd has no MLSD, and a process or two for each of
    /// 10,000 sessions are too many for an ordinary machine.
    pub fn concerns(self, kind: Kind) -> bool {
        match self {
            Rated => kind == Kind::Longshore,
            Listing("MLSD") => kind != Kind::Vsftpd,
            Idle(sessions) | Beside(sessions) => sessions <= 3_000 || !kind.forks(),
            _ => true,
        }
    }

    /// Thousands of sessions take their time to open, and memory is the same each time.
    pub fn is_once(self) -> bool {
        matches!(self, Idle(_) | Beside(_))
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Down => "download",
            Up => "upload",
        }
    }
}

fn prefix(tls: bool) -> &'static str {
    if tls { "tls-" } else { "" }
}

fn mark(tls: bool) -> &'static str {
    if tls { "TLS: " } else { "" }
}

fn by(clients: usize) -> String {
    if clients == 1 { "1 client".into() } else { format!("{clients} clients") }
}
