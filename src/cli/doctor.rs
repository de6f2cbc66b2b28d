//! `longshore doctor`: the findings as lines or as JSON.

use std::env;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::operate::line;
use super::{ServeArgs, columns, failure, look_around, print};
use crate::admin::{Client, Request};
use crate::doctor::{Finding, Level, Running, examine, unreadable};
use crate::sessions::Connection;
use crate::settings::{AdminSocket, load_usable};

/// The arguments of `longshore doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print JSON, one line
    #[arg(long)]
    json: bool,
}

/// `longshore doctor`: 0 when nothing keeps the server from serving, else 1.
pub fn doctor(args: &DoctorArgs) -> ExitCode {
    let findings = findings(&args.serve);
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
    let text = match args.json {
        true => line(&json!({ "faults": faults, "warnings": warnings, "findings": findings })),
        false => table(&findings) + &format!("\n{faults} faults, {warnings} warnings\n"),
    };
    match print(&text) {
        Ok(()) if faults == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => failure(&error),
    }
}

fn findings(args: &ServeArgs) -> Vec<Finding> {
    let (loaded, faults) = load_usable(args.config.as_deref(), env::vars_os(), &args.flags());
    if let Err(faults) = faults.or(()) {
        return unreadable(&faults);
    }
    examine(&loaded, &look_around(&loaded), running(&loaded.settings.server.admin_socket))
}

/// The running server, if this user may ask it.
fn running(socket: &AdminSocket) -> Option<Running> {
    let client = Client::find(socket).ok()?;
    let (pid, uid) = client.server().ok()?;
    let listeners: Vec<Connection> = serde_json::from_value(client.ask(&Request::Listeners).ok()?).ok()?;
    Some(Running { pid, uid, listeners: listeners.into_iter().map(|row| row.local).collect() })
}

fn table(findings: &[Finding]) -> String {
    let level = |level| match level {
        Level::Good => "good",
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Fault => "FAULT",
    };
    let rows = findings.iter().map(|it| [level(it.level).to_owned(), it.about.to_owned(), it.text.clone()]);
    columns(&rows.collect::<Vec<_>>())
}
