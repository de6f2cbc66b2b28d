//! What helps or hinders a server with these settings on this machine: `longshore doctor`.
//!
//! Each [`Finding`] is one sentence with its cure. Nothing is changed, and what cannot be seen is said.

mod clock;
mod firewall;
mod listeners;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use procfs::process::{LimitValue, Process};
use serde::Serialize;

use crate::accounts::{Accounts, exposed, privacy, writing};
use crate::limits::files;
use crate::reach::{self, Surroundings};
use crate::settings::{Faults, Loaded, Settings};
use crate::tls::Lifetime;

/// How long before its end a certificate should have been renewed. Let's Encrypt's clients try from 30 days on.
const RENEWED_BY: i64 = 14;

/// How long this machine may take to reach itself.
const LOOPBACK_LIMIT: Duration = Duration::from_secs(1);

/// What a finding means for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// To know, such as what cannot be seen from here.
    Note,
    /// The server runs, and somebody will miss something.
    Warning,
    /// The server does not start, or lets nobody in.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means.
    pub level: Level,
    /// What it is about, in a word or two that stay the same.
    pub about: &'static str,
    /// What was found, with the cure, in one line.
    pub text: String,
}

impl Finding {
    fn new(level: Level, about: &'static str, text: impl Into<String>) -> Self {
        // A path may have a line break in it.
        Self { level, about, text: text.into().replace('\n', " ") }
    }

    /// The findings about something, or that there are none.
    fn any(level: Level, about: &'static str, found: Vec<String>, good: impl Into<String>) -> Vec<Self> {
        match found.is_empty() {
            true => vec![Self::new(Level::Good, about, good)],
            false => found.into_iter().map(|text| Self::new(level, about, text)).collect(),
        }
    }
}

/// A server that runs already.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Its process.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its control ports, and those for implicit FTPS, as far as they are known.
    pub listeners: Vec<SocketAddr>,
}

/// Settings that cannot be read: nothing else can be told then.
pub(crate) fn unreadable(faults: &Faults) -> Vec<Finding> {
    let mut findings: Vec<_> = of_settings(faults).collect();
    findings.push(Finding::new(Level::Note, "settings", "nothing else was looked at; correct the settings first"));
    findings
}

fn of_settings(faults: &Faults) -> impl Iterator<Item = Finding> {
    faults.iter().map(|fault| Finding::new(Level::Fault, "settings", format!("{}: {}", fault.origin, fault.text)))
}

/// What is found of a server with these settings, of which `faults` are known, run by this user; and of the one that
/// answers at the admin socket, if there is one.
pub(crate) fn examine(loaded: &Loaded, faults: &Faults, answering: Option<Running>) -> Vec<Finding> {
    let settings = &loaded.settings;
    let around = Surroundings::look();
    let mut findings: Vec<_> = of_settings(faults).collect();
    if findings.is_empty() {
        findings.push(Finding::new(
            Level::Good,
            "settings",
            "settings, accounts and the places that they name are right",
        ));
    }
    let (ports, running) = listeners::examine(settings, answering);
    findings.extend(ports);
    findings.extend(passive(settings, &around));
    findings.push(loopback());
    findings.push(firewall::examine(settings, around.in_container));
    findings.push(open_files(settings, running.as_ref()));
    findings.extend(directories(settings, faults, running.as_ref()));
    findings.push(clock::examine());
    findings.extend(certificate(settings, faults));
    findings
}

fn passive(settings: &Settings, around: &Surroundings) -> Vec<Finding> {
    let (range, kernel) = (&settings.server.passive_ports, &around.ephemeral_ports);
    let ports = reach::passive_ports(range, kernel).into_iter().collect();
    let good = format!(
        "{}-{}, of which those outside of the kernel's own {}-{} are offered first",
        range.start(),
        range.end(),
        kernel.range.start(),
        kernel.range.end()
    );
    let mut findings = Finding::any(Level::Warning, "passive ports", ports, good);
    let address = reach::advertised(settings, around);
    let own: Vec<_> = around.outward().map(|own| own.to_string()).collect();
    let good = match own.is_empty() {
        true => "nothing is wrong with what PASV tells clients; this machine has no address but loopback".to_owned(),
        false => format!("nothing is wrong with what PASV tells clients; this machine has {}", own.join(", ")),
    };
    findings.extend(Finding::any(Level::Warning, "passive address", address, good));
    findings
}

/// Whether this machine reaches itself: each login goes over an engine's loopback connection. A firewall may forget that.
fn loopback() -> Finding {
    let reached = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| TcpStream::connect_timeout(&listener.local_addr()?, LOOPBACK_LIMIT));
    match reached {
        Ok(_) => Finding::new(Level::Good, "loopback", "this machine reaches itself, which logins need"),
        Err(error) => {
            let text = format!(
                "this machine does not reach itself at 127.0.0.1 ({error}), and logins need that; ip link set lo up, and let it \
                 through the firewall, as by nft insert rule inet filter input iif lo accept"
            );
            Finding::new(Level::Fault, "loopback", text)
        }
    }
}

/// Whether as many sessions as may be fit into the descriptors of the running server, or of one that this user starts.
fn open_files(settings: &Settings, running: Option<&Running>) -> Finding {
    let limits = running.and_then(|server| Process::new(server.pid).ok()?.limits().ok());
    let (whose, limit) = match (running, limits.map(|limits| limits.max_open_files.soft_limit)) {
        (Some(server), Some(LimitValue::Value(limit))) => {
            (format!("the running server (pid {})", server.pid), Some(limit))
        }
        (Some(server), Some(LimitValue::Unlimited)) => (format!("the running server (pid {})", server.pid), None),
        // It raises the soft limit.
        _ => ("a server that this user starts".to_owned(), files::hard_limit()),
    };
    let listeners = settings.server.listen.len() + settings.tls.implicit.len();
    let sessions = settings.limits.max_sessions;
    match files::within(settings, listeners, limit) {
        Some(advice) => Finding::new(Level::Warning, "open files", format!("{whose}: {advice}")),
        None => {
            let limit = limit.map_or("any number of".to_owned(), |limit| limit.to_string());
            let text = format!("{whose} may have {limit} open files, enough for limits.max_sessions = {sessions}");
            Finding::new(Level::Good, "open files", text)
        }
    }
}

/// The root and the homes below it, and the accounts file, as this user finds them.
fn directories(settings: &Settings, faults: &Faults, running: Option<&Running>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let own = rustix::process::geteuid().as_raw();
    if let Some(server) = running.filter(|server| server.uid != own) {
        let text = format!(
            "what follows holds for user {own}, and the running server is user {}'s; ask as that one, by the same command \
             behind sudo -u '#{}'",
            server.uid, server.uid
        );
        findings.push(Finding::new(Level::Note, "root", text));
    }
    let (Ok(accounts), true) = (Accounts::load(settings), faults.leave_usable(&["storage.root", "accounts.file"]))
    else {
        return findings;
    };
    let good = format!("{} can be read, and written by whoever may upload", settings.storage.root.display());
    findings.extend(Finding::any(Level::Warning, "root", writing::warnings(&accounts), good));
    findings.extend(
        exposed::warnings(&accounts, settings).into_iter().map(|text| Finding::new(Level::Warning, "accounts", text)),
    );
    if let Some(file) = &settings.accounts.file {
        let good = format!("nobody else on this machine can read or replace {}", file.display());
        findings.extend(Finding::any(Level::Warning, "accounts", privacy::warnings(file), good));
    }
    findings
}

fn certificate(settings: &Settings, faults: &Faults) -> Option<Finding> {
    const ABOUT: &str = "certificate";
    let Some(path) = settings.tls.certificate.as_deref() else {
        let text = "there is none, so passwords and files go in clear; longshore tls self-signed makes one, and tls.certificate \
                    and tls.key name it";
        return Some(Finding::new(Level::Note, ABOUT, text));
    };
    // What is wrong with it now is among the faults.
    let lifetime = faults.leave_usable(&["tls.certificate"]).then(|| Lifetime::of(path).ok()).flatten()?;
    let (days, path) = (lifetime.days_left(), path.display());
    Some(match days {
        ..RENEWED_BY => {
            let text =
                format!("{path} expires on {}, in {days} days, and clients refuse it then; renew it", lifetime.end);
            Finding::new(Level::Warning, ABOUT, text)
        }
        _ => Finding::new(Level::Good, ABOUT, format!("{path} is valid until {}, {days} days", lifetime.end)),
    })
}
