//! `longshore serve`: settings, logs, listeners, the announcement, and the wait for a signal.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle, available_parallelism};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{self, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ServeArgs, failure, print, serve_settings, service};
use crate::accounts::privacy;
use crate::admin::{Admin, place};
use crate::classroom::Classroom;
use crate::http;
use crate::metrics::Metrics;
use crate::page::Page;
use crate::ports::holder;
use crate::server::{Server, StartError};
use crate::sessions::xferlog::Xferlog;
use crate::sessions::{Connection, log};
use crate::settings::{AdminSocket, Anonymous, LogFormat, LogSettings, Settings};

/// The exit code when a control port cannot be bound: EX_UNAVAILABLE of sysexits.h.
const EXIT_UNAVAILABLE: u8 = 69;

/// What a shell reports for a program that a signal ended: 128 and the signal's number.
const EXIT_SIGNAL: u8 = 128;

/// How many threads there may be that wait for a disk or check a password. A disk that hangs takes one a session; without
/// any left nobody would be served.
const BLOCKING_THREADS: usize = 4096;

/// How long the last line of the log of transfers may take.
const LOG_LIMIT: Duration = Duration::from_secs(1);

/// How long what runs beside the server may take to its end.
const BESIDE_LIMIT: Duration = Duration::from_secs(2);

/// Serves until a signal comes.
pub fn serve(args: &ServeArgs) -> ExitCode {
    serve_with(args, async |_: &Server, _: &CancellationToken| Ok(Beside::default()))
}

/// The same with something beside the server: what it starts runs until the token is cancelled, which is when the server
/// has sent its last event, and is waited for.
pub fn serve_with(args: &ServeArgs, beside: impl Begin) -> ExitCode {
    match run(args, beside) {
        Ok(code) => code,
        Err(error) => match error.downcast::<StartError>() {
            Ok(StartError::Configuration(faults)) => failure(&faults.into()),
            Ok(StartError::Bind(reason)) => {
                eprintln!("{reason}");
                ExitCode::from(EXIT_UNAVAILABLE)
            }
            Ok(error @ StartError::System(..)) => failure(&error.into()),
            Err(error) => failure(&error),
        },
    }
}

/// What runs beside a server.
#[derive(Default)]
pub struct Beside {
    /// Tasks that are waited for at the end.
    pub tasks: Vec<task::JoinHandle<()>>,
    /// The class that is served, for the page.
    pub class: Option<Arc<Classroom>>,
}

/// What starts something beside a server.
pub trait Begin: AsyncFnOnce(&Server, &CancellationToken) -> anyhow::Result<Beside> {}

impl<F: AsyncFnOnce(&Server, &CancellationToken) -> anyhow::Result<Beside>> Begin for F {}

fn run(args: &ServeArgs, beside: impl Begin) -> anyhow::Result<ExitCode> {
    let settings = serve_settings(args)?.settings;
    raise_file_limit();
    let (session_log, logs) = log::init(&settings.log).context("opening the session log")?;
    settings.accounts.file.iter().flat_map(|file| privacy::warnings(file)).for_each(|text| tracing::warn!("{text}"));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(available_parallelism().map_or(1, usize::from) + 1)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let code = runtime.block_on(async {
        let mut signals = Signals::new().context("waiting for signals")?;
        let mut hangup = Hangup::new().context("waiting for signals")?;
        let server = Server::start_on(settings, service::inherited()?).await?;
        let (args, config) = (args.clone(), args.config.clone());
        server.reload_from(move || serve_settings(&args));
        server.on_reload(logs);
        let following = session_log.follow(server.events().subscribe()).context("starting the session log")?;
        let xferlog = follow_transfers(&server)?;
        let stop_http = CancellationToken::new();
        serve_metrics(&server, &stop_http).await?;
        let stop_beside = CancellationToken::new();
        let beside = beside(&server, &stop_beside).await?;
        let page = serve_page(&server, beside.class, &stop_http).await?;
        let admin = open_admin_socket(&server, page.clone())?;
        announce(&server, page.as_ref(), config.as_deref());
        // It has a clone of the server, whose last one ends the logs.
        drop(page);
        service::ready();
        tokio::spawn(service::keep_watchdog_away());
        let status = tokio::spawn(service::keep_telling(server.clone(), "serving"));
        let name = tokio::select! {
            (name, _) = signals.next() => name,
            name = hangup.stops(&server) => name,
        };
        tracing::info!("{name}: stopping; running transfers may finish");
        service::stopping();
        status.abort();
        let status = tokio::spawn(service::keep_telling(server.clone(), "stopping"));
        let stop = async {
            server.shut_down().await;
            // It has a clone of the server.
            status.abort();
            let _ = status.await;
            if let Some(admin) = admin {
                admin.stop().await;
            }
            stop_http.cancel();
            stop_beside.cancel();
            for task in beside.tasks {
                let _ = timeout(BESIDE_LIMIT, task).await;
            }
            // The server is gone, so the logs end behind its last event.
            following.finish().await;
            let _ = timeout(LOG_LIMIT, spawn_blocking(|| xferlog.join())).await;
        };
        tokio::select! {
            () = stop => Ok(ExitCode::SUCCESS),
            (name, number) = signals.next() => {
                tracing::warn!("{name} again: leaving at once");
                Ok(ExitCode::from(EXIT_SIGNAL + number))
            }
        }
    });
    // A thread that hangs in the file system does not keep the program.
    runtime.shutdown_background();
    code
}

/// Writes the log of transfers, if there is one now or after a reload.
fn follow_transfers(server: &Server) -> anyhow::Result<JoinHandle<()>> {
    let (xferlog, part) = Xferlog::open(server.settings().log.xferlog.as_deref()).context("opening log.xferlog")?;
    server.on_reload(part);
    let events = server.events().subscribe();
    thread::Builder::new().name("xferlog".to_owned()).spawn(move || xferlog.follow(events)).context("starting xferlog")
}

/// Serves `/metrics`, `/health` and `/ready`, where the settings say so.
async fn serve_metrics(server: &Server, stop: &CancellationToken) -> Result<(), StartError> {
    let settings = server.settings();
    if settings.metrics.listen.is_empty() {
        return Ok(());
    }
    let metrics = Metrics::of(server);
    for address in serve_http("metrics.listen", &settings.metrics.listen, &metrics.router(), stop).await? {
        tracing::info!("metrics at http://{address}/metrics");
    }
    let following = stop.clone();
    tokio::spawn(async move { following.run_until_cancelled(metrics.follow()).await });
    Ok(())
}

/// Serves the live page, where the settings say so.
async fn serve_page(
    server: &Server,
    class: Option<Arc<Classroom>>,
    stop: &CancellationToken,
) -> Result<Option<Page>, StartError> {
    let settings = server.settings();
    if settings.page.listen.is_empty() {
        return Ok(None);
    }
    let failed = |error| StartError::System("making the page's token".to_owned(), error);
    let page = Page::of(server, class).map_err(failed)?;
    let addresses = serve_http("page.listen", &settings.page.listen, &page.router(), stop).await?;
    for address in &addresses {
        tracing::info!("page at http://{address}/");
    }
    let (following, hub) = (stop.clone(), page.clone());
    tokio::spawn(async move { following.run_until_cancelled(hub.follow()).await });
    Ok(Some(page.at(addresses)))
}

/// Serves a router at all of these addresses or none, and says where they really are.
async fn serve_http(
    key: &str,
    listen: &[SocketAddr],
    router: &Router,
    stop: &CancellationToken,
) -> Result<Vec<SocketAddr>, StartError> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for &address in listen {
        let bound = http::bind(address).await;
        let (listener, address) = bound.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::AddrInUse => format!("taken by {}", holder::named(&holder::of(address), address)),
                _ => error.to_string(),
            };
            StartError::Bind(format!("{key}: {address}: {why}; choose another port"))
        })?;
        listeners.push(listener);
        addresses.push(address);
    }
    for listener in listeners {
        tokio::spawn(http::serve(listener, router.clone(), stop.clone()));
    }
    Ok(addresses)
}

/// Opens the socket for `longshore sessions` and the like. Where nobody asked for one, the server does without it.
fn open_admin_socket(server: &Server, page: Option<Page>) -> anyhow::Result<Option<Admin>> {
    let settings = server.settings();
    let setting = &settings.server.admin_socket;
    let port = server.addresses().first().map_or(0, SocketAddr::port);
    let Some(path) = place::of_server(setting, port) else { return Ok(None) };
    let shown = path.display().to_string();
    match Admin::start(server.clone(), page, path) {
        Ok(admin) => Ok(Some(admin)),
        Err(error) if *setting == AdminSocket::Auto => {
            tracing::warn!(%error, path = shown, "no admin socket; set server.admin_socket to a path for one, or to \"\"");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("opening the admin socket {shown}")),
    }
}

/// A session costs up to three descriptors and a transfer two more; the usual soft limit of 1024 is for programs that
/// still use select(2).
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, the server runs with what it has.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one's name and number.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.interrupt.recv() => ("SIGINT", 2),
        }
    }
}

/// SIGHUP, which has two meanings.
struct Hangup {
    signal: Signal,
    /// It says that the terminal was closed.
    ends: bool,
}

impl Hangup {
    fn new() -> io::Result<Self> {
        // The terminal that the kernel and the shell send it for, wherever standard input and output lead. `nohup` has it
        // ignored: whoever typed that wants the server to stay. Known before the signal is ours, and before the terminal
        // is gone.
        let ends = File::open("/dev/tty").is_ok() && !is_ignored(&fs::read_to_string("/proc/self/status")?);
        Ok(Self { signal: signal(SignalKind::hangup())?, ends })
    }

    /// Has the server reload at each one; where it ends the program, gives its name.
    async fn stops(&mut self, server: &Server) -> &'static str {
        loop {
            self.signal.recv().await;
            if self.ends {
                return "SIGHUP";
            }
            service::reloading();
            // What came of it is in the log.
            let _ = server.reload().await;
            service::ready();
        }
    }
}

/// Whether SIGHUP, the first of the signals, is ignored by the process of this `/proc/PID/status`.
fn is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Says what is served. Where standard output is a stream of JSON objects, that is no place for it.
fn announce(server: &Server, page: Option<&Page>, config: Option<&Path>) {
    let settings = server.settings();
    let mut text = announcement(&settings, &server.listeners());
    if let Some(links) = page.map(Page::links) {
        // The other link is a secret: it goes to a terminal, which nobody keeps, and into no log.
        let command =
            config.map_or("longshore page".to_owned(), |file| format!("longshore page --config {}", file.display()));
        text += &if io::stdout().is_terminal() { format!("{links}\n") } else { links.public(&command) };
    }
    match &settings.log {
        LogSettings { format: LogFormat::Json, sessions: None, .. } => {
            text.lines().for_each(|line| tracing::info!("{line}"))
        }
        // A closed standard output is no reason not to serve.
        _ => drop(print(&text)),
    }
}

/// What is served, where, and what to type to try it.
fn announcement(settings: &Settings, listeners: &[Connection]) -> String {
    let root = std::path::absolute(&settings.storage.root);
    let root = root.as_deref().unwrap_or(&settings.storage.root).display();
    let mut lines = vec![format!("longshore {} serves {root}", env!("CARGO_PKG_VERSION"))];
    for listener in listeners {
        let tls = if listener.tls { ", implicit FTPS" } else { "" };
        lines.push(format!("listening on {} ({} port{tls})", listener.local, listener.local_port_class));
    }
    let passive = &settings.server.passive_ports;
    lines.push(format!("passive ports {}-{}", passive.start(), passive.end()));
    let user = match settings.accounts.anonymous {
        Anonymous::Off => "with your user name and password",
        Anonymous::ReadOnly => "as user anonymous with any password, to list and download",
        Anonymous::ReadWrite => "as user anonymous with any password, to list, download, upload and delete",
        Anonymous::AddOnly => "as user anonymous with any password, to upload new files",
    };
    if let Some(first) = listeners.first() {
        let (ip, port) = (first.local.ip(), first.local_port);
        let host = if ip.is_unspecified() { "localhost".to_owned() } else { ip.to_string() };
        let url_host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        lines.push(format!("Try it from another terminal, {user}:"));
        lines.push(format!("  ftp {host} {port}"));
        lines.push(format!("  curl ftp://{url_host}:{port}/"));
    }
    lines.push("Ctrl-C stops it.\n".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_is_seen() {
        assert!(is_ignored("Name:\tlongshore\nSigIgn:\t0000000000001001\n"));
        assert!(!is_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
    }
}
