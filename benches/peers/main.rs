//! longshore beside vsftpd, ProFTPD, Pure-FTPd and pyftpdlib: one machine, one client, one run.
//!
//! ```text
//! cargo bench --bench peers                                   # everything, about fifteen minutes
//! cargo bench --bench peers -- --quick                        # a glance
//! cargo bench --bench peers -- download-1 --server vsftpd     # one measurement, longshore and one peer
//! cargo bench --bench peers -- --instructions                 # instructions of longshore's hot paths, against known ones
//! ```
//!
//! The peers run as root (see [`servers`]). They are taken from `PATH`, or from below the directory that `LONGSHORE_PEERS`
//! names, as `dpkg -x PACKAGE $LONGSHORE_PEERS/PACKAGE-NAME` lays them out; libraries they miss can be unpacked there too,
//! and proftpd-mod-crypto, without which ProFTPD has no TLS, into `proftpd-core`.
//!
//! Every server serves the same files. Rounds go from server to server, so that noise hits all alike, and medians
//! are compared. Speed never fails the run; wrong bytes from longshore do.

mod client;
mod ground;
mod instructions;
mod measure;
mod process;
mod report;
mod servers;
mod what;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use client::{INTERRUPTED, go_on};
use ground::Ground;
use report::{Row, Table};
use servers::{Kind, Server};
use what::What;

/// When no further round is begun.
const BUDGET: Duration = Duration::from_secs(1500);

/// Measures longshore beside the FTP servers that are installed.
#[derive(Parser)]
#[command(name = "peers", bin_name = "cargo bench --bench peers --")]
struct Options {
    /// Only measurements whose name begins with one of these: download-CLIENTS, rated, upload-CLIENTS,
    /// small-downloads-CLIENTS[-logins], small-uploads-CLIENTS[-logins], list, nlst, mlsd, noop, login, tls-...,
    /// idle-SESSIONS, beside-SESSIONS.
    measurements: Vec<String>,
    /// Only longshore and this server: vsftpd, proftpd, pure-ftpd, pyftpdlib. Repeatable.
    #[arg(long = "server", value_name = "NAME")]
    servers: Vec<String>,
    /// Only counts the instructions of longshore's hot paths, under valgrind, and fails where there are many more than
    /// there were. Noise on a machine does not change them.
    #[arg(long, conflicts_with_all = ["measurements", "servers", "quick", "rounds"])]
    instructions: bool,
    /// Small files and few rounds: shows that all works, not who is fast.
    #[arg(long)]
    quick: bool,
    /// Rounds for each measurement.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Where the served files go; without it, memory if it has room, else the temporary directory.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Set by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is done for one sample, and how many samples are taken.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Bytes in the large file.
    pub large: u64,
    /// How long small things are repeated.
    pub span: Duration,
    /// Samples for each server.
    pub rounds: u32,
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs it as well, with a test's arguments.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("this is a benchmark: cargo bench --bench peers");
        return ExitCode::SUCCESS;
    }
    match watch_signals().and_then(|()| run(&Options::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let mut scale = if options.quick || options.instructions {
        Scale { large: 100_000_000, span: Duration::from_millis(400), rounds: 2 }
    } else {
        Scale { large: 1_000_000_000, span: Duration::from_secs(2), rounds: 5 }
    };
    scale.rounds = options.rounds.unwrap_or(scale.rounds);

    let ground = Ground::lay(options.directory.as_deref(), &scale)?;
    if options.instructions {
        return instructions::check(&ground);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    println!("{}; {cores} cores, load {load} before the start", ground.describe());

    let mut servers = Vec::new();
    let mut absent = Ok(());
    for kind in Kind::ALL {
        let wanted = kind == Kind::Longshore || options.servers.is_empty();
        if !wanted && !options.servers.iter().any(|name| kind.name().contains(name.as_str())) {
            continue;
        }
        let started = Server::start(kind, &ground).and_then(|server| {
            server.as_ref().map_or(Ok(()), |server| measure::check_bytes(server, &ground))?;
            Ok(server)
        });
        go_on()?;
        match started {
            Ok(Some(server)) => {
                println!("  {:<10} {:<8} serves, bytes right both ways", kind.name(), server.version);
                servers.push(server);
            }
            Ok(None) => println!("  {:<10} not installed", kind.name()),
            Err(error) => {
                println!("  {:<10} left out: {error:#}", kind.name());
                if kind == Kind::Longshore {
                    absent = Err(error.context("longshore took no part"));
                }
            }
        }
    }

    // Behind the start of the servers, which have the limit they would have anyway.
    let limit = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).context("raise the limit of open files")?;
    let mut tables = Vec::new();
    for what in What::ALL.into_iter().filter(|_| !servers.is_empty()) {
        let terms = what.terms(&scale);
        let wanted = options.measurements.is_empty();
        if wanted || options.measurements.iter().any(|name| terms.name.starts_with(name.as_str())) {
            let table = measure(what, &servers, &ground, &scale, begun + BUDGET)?;
            table.print();
            tables.push(table);
        }
    }
    let kinds: Vec<Kind> = servers.iter().map(|server| server.kind).collect();
    report::print_summary(&tables, &kinds);
    println!("\n{} s", begun.elapsed().as_secs());
    absent
}

/// One warm-up, then rounds over all servers. A server that fails drops out; longshore must not.
fn measure(what: What, servers: &[Server], ground: &Ground, scale: &Scale, deadline: Instant) -> Result<Table> {
    let terms = what.terms(scale);
    let row = |server: &Server| Row { kind: server.kind, samples: Vec::new(), trouble: None };
    let servers: Vec<&Server> = servers.iter().filter(|server| what.concerns(server.kind)).collect();
    let mut table = Table { terms, rows: servers.iter().copied().map(row).collect() };
    let warm_up = Scale { span: scale.span / 4, ..scale.clone() };
    let rounds = if what.is_once() { 0..=0 } else { 0..=scale.rounds };
    for round in rounds {
        if round > 1 && Instant::now() > deadline {
            break;
        }
        let scale = if round == 0 { &warm_up } else { scale };
        for (&server, row) in servers.iter().zip(&mut table.rows).filter(|(_, row)| row.trouble.is_none()) {
            let sample = what.sample(server, ground, scale);
            go_on()?;
            match sample {
                Ok(sample) if round > 0 || what.is_once() => row.samples.push(sample),
                Ok(_) => {}
                Err(error) if server.kind == Kind::Longshore => return Err(error.context("longshore")),
                Err(error) => {
                    ground.clear_uploads()?;
                    row.trouble = Some(format!("{error:#}"));
                }
            }
        }
    }
    Ok(table)
}

/// Lets SIGINT and SIGTERM end the run in good order, and a second one at once.
fn watch_signals() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("signal handling")?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    });
    Ok(())
}
