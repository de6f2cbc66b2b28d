//! `longshore user`: the accounts file, edited from the command line.

use std::env;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, anyhow, bail};
use clap::{Args, Subcommand};
use toml_edit::Value;

use super::terms::{Terms, UserTerms};
use super::{columns, finish, print};
use crate::accounts::edit::{AccountsFile, Kind};
use crate::accounts::file::{self, Listed, Root, Says};
use crate::accounts::{self, LONGEST_PASSWORD, PasswordHash, check_password};
use crate::settings::{Flags, load};

/// The arguments of `longshore user`.
#[derive(Debug, Clone, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    /// Read settings from this TOML file; the accounts file that it names is used
    #[arg(long, value_name = "FILE", env = "LONGSHORE_CONFIG", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum UserCommand {
    /// Add a user
    Add {
        /// The login name
        name: String,
        #[command(flatten)]
        terms: UserTerms,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change what a user may do, from where, and until when
    ///
    /// An empty value takes a setting out again: --expires ''
    Set {
        /// The login name
        name: String,
        #[command(flatten)]
        terms: UserTerms,
    },
    /// Change a user's password
    Passwd {
        /// The login name
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Remove a user; the user's files stay
    Remove {
        /// The login name
        name: String,
    },
    /// List all users with their homes and permissions
    List,
}

/// Where a password comes from. Never from the command line, which everybody on the machine can read.
#[derive(Debug, Clone, Args)]
struct PasswordArgs {
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    /// Read the hash of a password from there, as htpasswd -B and /etc/shadow have it
    #[arg(long, conflicts_with = "password_stdin")]
    hash_stdin: bool,
}

/// `longshore user`.
pub fn user(args: &UserArgs) -> ExitCode {
    finish(run(args))
}

fn run(args: &UserArgs) -> anyhow::Result<()> {
    let target = Target::of(args.config.as_deref())?;
    // Passwords are asked for before the file is locked: somebody who thinks about one holds nobody up.
    match &args.command {
        UserCommand::Add { name, terms: Terms(changes), password } => {
            let text = |key| changes.get(key).and_then(Value::as_str);
            let directory = check_new(name, text("home"), &target.root)?;
            let password = password.read(name)?;
            target.edit(|accounts| accounts.add_user(name, &password, changes))?;
            // A group may say where it is, or that it is made.
            let is_made = changes.get("create_home").and_then(Value::as_bool) == Some(true);
            if !directory.is_dir() && !is_made && text("group").is_none() {
                let command = making(&directory, target.root.path());
                eprintln!("{name}'s home does not exist yet; make it with: {command}");
            }
            Ok(())
        }
        UserCommand::Set { name, terms } => target.edit(|accounts| accounts.change(Kind::User, name, &terms.0)),
        UserCommand::Passwd { name, password } => {
            let password = password.read(name)?;
            target.edit(|accounts| accounts.change_password(name, &password))
        }
        UserCommand::Remove { name } => target.edit(|accounts| accounts.remove(Kind::User, name)),
        UserCommand::List => list(file::read(&target.path, &target.root)?),
    }
}

/// The accounts file that is meant.
pub(super) struct Target {
    path: PathBuf,
    root: Root,
}

impl Target {
    /// The one that the settings file `config` names.
    pub fn of(config: Option<&Path>) -> anyhow::Result<Self> {
        let settings = load(config, env::vars_os(), &Flags::default())?.settings;
        let root = Root::of(&settings)?;
        let path = settings.accounts.file.context(
            "there is no accounts file; set accounts.file in a settings file and name that with --config, \
             or set the variable LONGSHORE__ACCOUNTS__FILE",
        )?;
        Ok(Self { path, root })
    }

    pub fn open(&self) -> anyhow::Result<AccountsFile> {
        AccountsFile::open(&self.path, &self.root)
    }

    pub fn edit(&self, change: impl FnOnce(&mut AccountsFile) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut accounts = self.open()?;
        change(&mut accounts)?;
        accounts.save()
    }
}

/// The absolute home of a user to be added.
fn check_new(name: &str, home: Option<&str>, root: &Root) -> anyhow::Result<PathBuf> {
    if let Err(why) = file::check_name(name) {
        bail!("{name:?} cannot be a login name: {why}");
    }
    match home {
        None => Ok(root.path().to_owned()),
        Some(home) => match root.home(Path::new(home)) {
            Ok(directory) => Ok(directory),
            Err(why) => bail!("{home:?} cannot be a home: {why}; name a directory below {}", root.path().display()),
        },
    }
}

/// All users, and the guests where they are let in.
fn list(listed: Listed) -> anyhow::Result<()> {
    let row = |name: &str, says: &Says| {
        [name.to_owned(), says.home.display().to_string(), says.rights.to_string(), terms(says)]
    };
    let head = ["NAME", "HOME", "PERMISSIONS", "TERMS"].map(str::to_owned);
    let users = listed.users.iter().map(|user| row(&user.name, &user.says));
    let guests = listed.guests.iter().map(|says| row(file::GUESTS, says));
    let rows: Vec<_> = std::iter::once(head).chain(users).chain(guests).collect();
    print(&columns(&rows))
}

/// What holds for a user besides home and permissions, in a few words.
fn terms(says: &Says) -> String {
    let accounts::Terms { enabled, expires, allow_from, client_certificate } = &says.terms;
    let disabled = (!enabled).then(|| "disabled".to_owned());
    let expires = expires.map(|last| format!("until {last}"));
    let networks = allow_from.iter().flatten().map(|network| format!("from {network}"));
    let certificate = client_certificate.as_ref().map(|_| "with a certificate".to_owned());
    let sessions = says.max_sessions.filter(|limit| *limit > 0).map(|limit| format!("at most {limit} sessions"));
    let limits = [
        (says.quota.bytes, "bytes"),
        (says.quota.files, "files"),
        (says.rates.download, "bytes/s down"),
        (says.rates.upload, "bytes/s up"),
    ];
    let limits = limits.into_iter().filter(|(limit, _)| *limit > 0).map(|(limit, unit)| format!("{limit} {unit}"));
    let all = disabled.into_iter().chain(expires).chain(networks).chain(certificate).chain(sessions).chain(limits);
    all.collect::<Vec<_>>().join(", ")
}

impl PasswordArgs {
    fn read(&self, name: &str) -> anyhow::Result<PasswordHash> {
        if self.hash_stdin {
            let hash = String::from_utf8(from_stdin()?).context("a hash is text")?;
            return PasswordHash::parse(&hash).map_err(|why| anyhow!("this is no hash that can be used: {why}"));
        }
        let password = if self.password_stdin { from_stdin()? } else { from_terminal(name)? };
        check_password(&password).map_err(Error::msg)?;
        PasswordHash::create(&password)
    }
}

fn from_stdin() -> anyhow::Result<Vec<u8>> {
    let mut password = Vec::new();
    // One byte more than allowed and the line end, so that a longer one is refused and not cut.
    let limit = LONGEST_PASSWORD as u64 + 3;
    let read = io::stdin().lock().take(limit).read_to_end(&mut password);
    read.context("cannot read the password from standard input")?;
    Ok(without_line_end(&password).to_owned())
}

/// What `echo` wrote, on Unix or on Windows, without its line end.
fn without_line_end(line: &[u8]) -> &[u8] {
    let end = ["\r\n", "\n"].iter().find_map(|end| line.strip_suffix(end.as_bytes()));
    end.unwrap_or(line)
}

fn from_terminal(name: &str) -> anyhow::Result<Vec<u8>> {
    let ask = |prompt: String| {
        let answer = rpassword::prompt_password(prompt);
        answer.context("cannot ask for the password, because there is no terminal; use --password-stdin")
    };
    let password = ask(format!("Password for {name}: "))?;
    check_password(password.as_bytes()).map_err(Error::msg)?;
    if ask("The same again: ".to_owned())? != password {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(password.into_bytes())
}

/// The command that makes a home: whoever serves owns the root, and has to own what is written to.
fn making(directory: &Path, root: &Path) -> String {
    let directory = shell_word(directory);
    let own = rustix::process::geteuid().as_raw();
    match root.metadata() {
        Ok(root) if root.uid() != own => format!("install -d -o {} -g {} {directory}", root.uid(), root.gid()),
        _ => format!("mkdir -p {directory}"),
    }
}

/// A path as one word for a shell.
fn shell_word(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_the_password() {
        for (line, password) in [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), ("pw\r", "pw\r")] {
            assert_eq!(without_line_end(line.as_bytes()), password.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn home_in_the_hint_is_one_word_for_a_shell() {
        assert_eq!(shell_word(Path::new("/srv/ann's files")), r"'/srv/ann'\''s files'");
    }

    #[test]
    fn a_home_becomes_whose_the_root_is() {
        let (root, home) = (tempfile::tempdir().unwrap(), Path::new("/srv/ftp/ann"));
        assert_eq!(making(home, root.path()), "mkdir -p '/srv/ftp/ann'");
        // Not everybody who tests may give a directory away.
        if std::os::unix::fs::chown(root.path(), Some(12), Some(34)).is_ok() {
            assert_eq!(making(home, root.path()), "install -d -o 12 -g 34 '/srv/ftp/ann'");
        }
    }
}
