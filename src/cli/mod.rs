//! The command line: what can be typed, and the commands that do not serve.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::accounts::{Accounts, exposed, privacy, writing};
use crate::columns::columns;
use crate::limits::files;
use crate::reach::{self, Surroundings};
use crate::settings::keys::{KEYS, Key};
use crate::settings::value::quoted;
use crate::settings::{Faults, Flags, GivenUser, Loaded, load_usable};
use crate::tls::Tls;

mod certificate;
mod classroom;
mod doctor;
mod group;
mod health;
mod identity;
mod operate;
mod serve;
mod service;
mod terms;
mod user;

pub use certificate::{TlsArgs, tls};
pub use classroom::{ClassroomArgs, classroom};
pub use doctor::{DoctorArgs, doctor};
pub use group::{GroupArgs, group};
pub use identity::assume_identity;
pub use operate::{OperateCommand, operate};
pub use serve::serve;
pub use user::{UserArgs, user};

/// The exit code for faults in settings or accounts: EX_CONFIG of sysexits.h, which systemd shows by name.
const EXIT_CONFIG: u8 = 78;

/// No line is longer than 70 columns, since a wrapped command cannot be pasted: of a terminal's 80 the manual page leaves 71.
const EXAMPLES: &str = "\
At once, without being root: ./ftp, to be read by everybody
  longshore --port 2121

As a service, from the Debian package
  apt-get install ./longshore_*.deb
  longshore user add ann --home ann --create-home \\
    --config /etc/longshore/longshore.toml
  longshore doctor --config /etc/longshore/longshore.toml
  systemctl reload longshore        after a change in /etc/longshore

In Docker, where PASV_ADDRESS is the address that clients connect to
  docker run -d -p 21:2121 -p 61000-61099:61000-61099 \\
    -v files:/srv/ftp -e FTP_USER=ann -e FTP_PASS='a long password' \\
    -e PASV_ADDRESS=203.0.113.7 longshore
  also: FTP_PASS_FILE, USERS, USERS_FILE, ANONYMOUS, PASV_MIN_PORT,
  PASV_MAX_PORT, TLS_CERT, TLS_KEY, PUID, PGID (all behind the file)

For a class
  longshore classroom demo          ten sample students, to look at
  longshore classroom new class --roster roster.csv
  longshore classroom start class

FTPS: make a certificate, and name both files in the section [tls]
  longshore tls self-signed --name ftp.example.org \\
    --certificate cert.pem --key key.pem

Who is connected, from which port
  longshore sessions --watch

Settings: defaults < file < LONGSHORE__SECTION__KEY variables < flags.
Without --config FILE, or LONGSHORE_CONFIG=FILE in the environment,
no file is read. What `longshore check` shows is such a file, with
every key there is.

Exit codes: 0 stopped as told, 1 failed, 2 wrong command line,
69 no such port to be had, 78 wrong settings or accounts,
130 or 143 stopped at once by a second Ctrl-C or SIGTERM.";

/// What was typed.
#[derive(Debug)]
pub enum Cli {
    /// Serve; also when no command is given.
    Serve(ServeArgs),
    /// Show the settings in force, or what is wrong with them.
    Check(ServeArgs),
    /// Show what helps or hinders a server on this machine.
    Doctor(DoctorArgs),
    /// Edit the accounts file.
    User(UserArgs),
    /// Edit the groups in the accounts file.
    Group(GroupArgs),
    /// Make a certificate.
    Tls(TlsArgs),
    /// Make and run a class.
    Classroom(ClassroomArgs),
    /// Ask the running server.
    Operate(OperateCommand),
}

/// An FTP server that shows its ports.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; the same as no command
    Serve(ServeArgs),
    /// Check settings and accounts, and show each value in force and where it comes from
    ///
    /// What it shows is a settings file: longshore check > longshore.toml
    ///
    /// Takes the flags of `serve`, so that a command line can be checked before it serves. Run it as the user who will
    /// serve: what another may not read or write is reported.
    Check(ServeArgs),
    /// Look for what hinders a server on this machine, and say the cure of each
    ///
    /// Takes the flags of `serve`. Exits with 0 when nothing keeps the server from serving, warnings or not, else with 1.
    /// Run it as the user who will serve, or as root to see more; a server that runs already is not disturbed.
    Doctor(DoctorArgs),
    /// Add, change, remove and list the users in the accounts file
    ///
    /// A server that runs takes note of each change at the next login.
    User(UserArgs),
    /// Add, change, remove and list the groups in the accounts file
    Group(GroupArgs),
    /// Make a certificate for FTPS
    Tls(TlsArgs),
    /// Make and run a class: students, cards, homes, tasks and marks
    Classroom(ClassroomArgs),
    #[command(flatten)]
    Operate(OperateCommand),
}

/// The flags of `serve` and `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG")]
    config: Option<PathBuf>,
    /// Listen here and nowhere else; can be given several times [default: port 21 of all addresses]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Listen on this port on the same addresses
    #[arg(long, value_name = "N", conflicts_with = "listen")]
    port: Option<u16>,
    /// Serve this directory [default: ./ftp]
    #[arg(long, value_name = "DIR")]
    root: Option<String>,
    /// Show the live page of ports and connections here; without a value at 127.0.0.1:8021
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:8021")]
    page: Option<String>,
    /// Let the page be at an address that the Internet can reach
    #[arg(long)]
    public_page: bool,
    /// What users without a password may do [default: read-only]
    #[arg(long, value_name = "RIGHTS", value_parser = ["off", "read-only", "read-write", "add-only"])]
    anonymous: Option<String>,
    /// Write more about what happens; -vv for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// The command line as a value, for manual pages and completions.
pub fn command() -> clap::Command {
    Line::command().name("longshore")
}

/// Parses the command line; prints help or what is wrong with it and exits, where there is nothing to do.
pub fn parse() -> Cli {
    Line::parse().into()
}

impl From<Line> for Cli {
    fn from(line: Line) -> Self {
        match line.command {
            None => Self::Serve(line.serve),
            Some(Command::Serve(args)) => Self::Serve(args),
            Some(Command::Check(args)) => Self::Check(args),
            Some(Command::Doctor(args)) => Self::Doctor(args),
            Some(Command::User(args)) => Self::User(args),
            Some(Command::Group(args)) => Self::Group(args),
            Some(Command::Tls(args)) => Self::Tls(args),
            Some(Command::Classroom(args)) => Self::Classroom(args),
            Some(Command::Operate(command)) => Self::Operate(command),
        }
    }
}

/// The keys that name places.
const PLACES: [&str; 9] = [
    "server.admin_socket",
    "storage.root",
    "accounts.file",
    "accounts.template",
    "log.sessions",
    "log.xferlog",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
];

/// The settings for `serve`, or everything that is wrong with them, with the places that they name and with the
/// accounts.
pub fn serve_settings(args: &ServeArgs) -> Result<Loaded, Faults> {
    let (loaded, mut faults) = load_usable(args.config.as_deref(), env::vars_os(), &args.flags());
    if faults.leave_usable(&PLACES) {
        faults.extend(look_around(&loaded));
    }
    faults.or(loaded)
}

/// What is wrong at the places that these settings name, and with the accounts.
fn look_around(loaded: &Loaded) -> Faults {
    let mut faults = loaded.check_places();
    faults.extend(Tls::check(loaded));
    faults.extend(Accounts::load(&loaded.settings).err().unwrap_or_default());
    faults
}

/// `longshore check`.
pub fn check(args: &ServeArgs) -> ExitCode {
    finish(show_settings(args))
}

/// Reports why the program cannot go on, on standard error, and says with which code to exit.
pub fn failure(err: &anyhow::Error) -> ExitCode {
    eprintln!("{err:#}");
    if err.is::<Faults>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => failure(&err),
    }
}

impl ServeArgs {
    fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        if !self.listen.is_empty() {
            flags.set("--listen", "server.listen", &self.listen.join(","));
        }
        if let Some(port) = self.port {
            flags.set_port(port);
        }
        if let Some(page) = &self.page {
            flags.set("--page", "page.listen", page);
        }
        if self.public_page {
            flags.set("--public-page", "page.public", "true");
        }
        if let Some(root) = &self.root {
            flags.set("--root", "storage.root", root);
        }
        if let Some(anonymous) = &self.anonymous {
            flags.set("--anonymous", "accounts.anonymous", anonymous);
        }
        match self.verbose {
            0 => {}
            1 => flags.set("--verbose", "log.level", "debug"),
            _ => flags.set("--verbose", "log.level", "trace"),
        }
        flags
    }
}

fn show_settings(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = serve_settings(args)?;
    for warning in loaded.settings.accounts.file.iter().flat_map(|file| privacy::warnings(file)) {
        eprintln!("warning: {warning}");
    }
    let row = |key: &Key| {
        let setting = format!("{} = {}", key.name, key.show(&loaded.settings));
        [setting, format!("# {}", loaded.origin(key.name))]
    };
    let given = |user: &GivenUser| {
        let home = user.home.as_deref().map_or("the root".to_owned(), quoted);
        [format!("# account {}, home {home}, password not shown", quoted(&user.name)), format!("# {}", user.origin)]
    };
    let rows = KEYS.iter().map(row).chain(loaded.settings.accounts.given.iter().map(given));
    let mut text = columns(&rows.collect::<Vec<_>>());
    let name = args.config.as_deref().map_or("the configuration".into(), Path::to_string_lossy);
    writeln!(text, "\n# {name} looks good")?;
    print(&text)?;
    let mut advice = reach::findings(&loaded.settings, &Surroundings::look());
    let accounts = Accounts::load(&loaded.settings)?;
    advice.extend(writing::warnings(&accounts).into_iter().chain(exposed::warnings(&accounts, &loaded.settings)));
    advice.iter().for_each(|text| eprintln!("warning: {text}"));
    // As `serve` will find it: it raises the soft limit.
    let settings = &loaded.settings;
    let listeners = settings.server.listen.len() + settings.tls.implicit.len();
    if let Some(advice) = files::advice(settings, listeners, true) {
        eprintln!("warning: {advice}");
    }
    Ok(())
}

/// Prints to standard output, whose reader may leave early (`longshore check | head`).
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::load;

    fn typed(words: &str) -> Result<Cli, clap::Error> {
        Line::try_parse_from(words.split(' ')).map(Cli::from)
    }

    #[test]
    fn definitions_are_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn examples_fit_a_terminal_and_can_be_typed() {
        assert_eq!(EXAMPLES.lines().find(|line| line.chars().count() > 70), None);
        let lines = EXAMPLES.replace("\\\n    ", "");
        let commands = lines.lines().filter_map(|line| line.trim().strip_prefix("longshore "));
        // What stands behind several spaces explains.
        let commands: Vec<_> = commands.map(|line| line.split("   ").next().unwrap()).collect();
        assert!(commands.len() > 6, "{commands:?}");
        for command in commands {
            let words = std::iter::once("longshore").chain(command.split_whitespace());
            assert!(Line::try_parse_from(words).is_ok(), "{command}");
        }
    }

    #[test]
    fn serve_may_be_left_out() {
        for words in ["longshore --port 2121 -vv", "longshore serve --port 2121 -vv"] {
            let Ok(Cli::Serve(args)) = typed(words) else { panic!("{words}") };
            let loaded = load(None, [], &args.flags()).unwrap();
            assert_eq!(loaded.settings.server.listen[0].port(), 2121);
            assert_eq!(loaded.settings.log.level, crate::settings::LogLevel::Trace);
        }
    }

    #[test]
    fn listen_replaces_the_listeners_and_excludes_port() {
        let Ok(Cli::Serve(args)) = typed("longshore --listen 127.0.0.1:1 --listen [::1]:2") else { panic!() };
        let listen = load(None, [], &args.flags()).unwrap().settings.server.listen;
        assert_eq!(listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert!(typed("longshore --listen 127.0.0.1:1 --port 2").is_err());
    }

    #[test]
    fn faults_of_settings_places_and_accounts_come_together() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let (config, accounts) = (format!("{path}/f.toml"), format!("{path}/a.toml"));
        std::fs::write(&accounts, "[[user]]\nname = \"ann\"\n").unwrap();
        let faults_of = |file: String| {
            std::fs::write(&config, file).unwrap();
            let Ok(Cli::Check(args)) = typed(&format!("longshore check --config {config}")) else { panic!() };
            let faults = serve_settings(&args).unwrap_err();
            let origins = faults.iter().map(|fault| fault.origin.rsplit('/').next().unwrap().to_owned());
            origins.collect::<Vec<_>>()
        };
        let file = format!("[storage]\nroot = '{accounts}'\n[log]\nlevel = 1\n[accounts]\nfile = '{accounts}'\n");
        assert_eq!(faults_of(file.clone()), ["f.toml:4", "f.toml:2", "a.toml:1"]);
        // A root that is not known cannot be looked at, nor can homes below it.
        assert_eq!(faults_of(file.replace("root", "rot")), ["f.toml:2", "f.toml:4"]);
    }

    #[test]
    fn passwords_cannot_be_typed_on_the_command_line() {
        assert!(typed("longshore user add ann --password x").is_err());
        assert!(typed("longshore user add ann x").is_err());
        assert!(typed("longshore user add ann --password-stdin --config f").is_ok());
    }
}
