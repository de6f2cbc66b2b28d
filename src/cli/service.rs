//! The service manager: what it hands over and what it is told (sd_listen_fds(3), sd_notify(3)). Without one nothing of
//! this does anything.

use std::env;
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::{interval, sleep};

use crate::server::{Inherited, Server};
use crate::sessions::ConnectionKind;

/// What `FileDescriptorName=` calls a socket for implicit FTPS.
const IMPLICIT: &str = "ftps";

/// Messages that wait for the service manager.
const UNTOLD_LIMIT: usize = 16;

/// How often the status line is looked at.
const STATUS: Duration = Duration::from_secs(1);

/// The sockets that the service manager has opened; they take the place of those in the settings.
pub(super) fn inherited() -> anyhow::Result<Vec<Inherited>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = ListenFd::from_env();
    let mut inherited = Vec::new();
    for index in 0..sockets.len() {
        let name = names.next().unwrap_or_default();
        let taken = sockets.take_tcp_listener(index);
        let Some(listener) = taken.with_context(|| {
            format!(
                "the service manager handed over a socket ({name}) that is no TCP listener; a .socket unit for \
                     longshore has ListenStream= lines with ports only"
            )
        })?
        else {
            bail!("a socket of the service manager was taken twice");
        };
        inherited.push(Inherited { listener, implicit: name == IMPLICIT });
    }
    // Those for implicit FTPS come last, as among our own.
    inherited.sort_by_key(|socket| socket.implicit);
    Ok(inherited)
}

/// What the service manager has not been told yet. It may be slow to listen, and no session waits for it: a thread does.
static UNTOLD: LazyLock<Option<SyncSender<String>>> = LazyLock::new(|| {
    let (untold, received) = sync_channel::<String>(UNTOLD_LIMIT);
    let tell = move || {
        for text in received {
            if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&text)]) {
                tracing::debug!(%error, "the service manager could not be told");
            }
        }
    };
    thread::Builder::new().name("notify".to_owned()).spawn(tell).ok().map(|_| untold)
});

/// Tells the service manager. Where it does not listen, nobody misses it, and what is too much for it goes untold.
fn tell(states: &[NotifyState<'_>]) {
    if !is_there() {
        return;
    }
    let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
    if let Some(untold) = &*UNTOLD {
        let _ = untold.try_send(lines.join("\n"));
    }
}

/// Whether there is a service manager to be told.
fn is_there() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// That the server serves; behind a reload again.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// That settings are read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// That the server stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells from time to time how many sessions and transfers there are, and that the runtime is alive, until it is dropped
/// with the runtime.
pub(super) async fn keep_telling(server: Server, doing: &'static str) {
    if !is_there() {
        return;
    }
    let mut told = String::new();
    loop {
        let connections = server.connections();
        let count = |kind| connections.iter().filter(|connection| connection.kind == kind).count();
        let (sessions, transfers) = (count(ConnectionKind::Control), count(ConnectionKind::Data));
        let status = format!("{doing}: {sessions} sessions, {transfers} data connections");
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        sleep(STATUS).await;
    }
}

/// Shows the watchdog that the runtime is alive, twice in each of its periods.
pub(super) async fn keep_watchdog_away() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut beat = interval(period / 2);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
