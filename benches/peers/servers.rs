//! The servers: where each is found, how each is started on equal terms, and how it ends.
//!
//! Equal terms are: anonymous users may read everything and write below `upload`, passive mode on the same ports, the
//! same certificate for whoever asks for TLS, `sendfile` on, no reverse DNS, as many sessions as are asked for, and the
//! server's ordinary log of sessions and transfers in a file. All else is as each server ships.
//!
//! Most peers change to the user `ftp` for a session and look up its home. They are given an `/etc/passwd` of their own
//! in a mount namespace (`unshare`), so nothing needs to be set up on the machine; this and `chroot` need root.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::{Session, go_on};
use crate::ground::{Ground, RATE};
use crate::process;

/// Passive ports of every server: longshore's default.
const PASSIVE: RangeInclusive<u16> = 49152..=65535;

/// Sessions at once that every server lets in, all from one address.
const SESSIONS: usize = 10_100;

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(10);

/// What the names of the user's own settings begin with; they take no part in a run.
const OWN_ENVIRONMENT: &str = "LONGSHORE_";

/// The servers, in the order in which they take their turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Longshore,
    Vsftpd,
    Proftpd,
    PureFtpd,
    Pyftpdlib,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Longshore, Self::Vsftpd, Self::Proftpd, Self::PureFtpd, Self::Pyftpdlib];

    /// The program's name, which is also what filters and tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Longshore => "longshore",
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "proftpd",
            Self::PureFtpd => "pure-ftpd",
            Self::Pyftpdlib => "pyftpdlib",
        }
    }

    /// Whether each session has a process of its own, or two.
    pub fn forks(self) -> bool {
        matches!(self, Self::Vsftpd | Self::Proftpd | Self::PureFtpd)
    }

    /// Where the program is: below `LONGSHORE_PEERS` as `dpkg -x` lays it out, or installed.
    fn program(self) -> Option<PathBuf> {
        let package = match self {
            Self::Longshore => return Some(PathBuf::from(env!("CARGO_BIN_EXE_longshore"))),
            Self::Pyftpdlib => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/pyftpd.py");
                let mut python = Command::new("python3");
                python.args(["-c", "import pyftpdlib"]).env("PYTHONPATH", python_packages()).stderr(Stdio::null());
                return python.status().is_ok_and(|status| status.success()).then_some(script);
            }
            Self::Proftpd => "proftpd-core",
            Self::Vsftpd | Self::PureFtpd => self.name(),
        };
        let unpacked = peers().map(|peers| peers.join(package).join("usr/sbin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        unpacked.into_iter().chain(installed).map(|dir| dir.join(self.name())).find(|program| program.is_file())
    }
}

/// The version that a program tells of itself.
fn version(program: &Path, kind: Kind, home: &Path) -> Option<String> {
    let flag = match kind {
        Kind::Longshore | Kind::Proftpd | Kind::Pyftpdlib => "--version",
        Kind::Vsftpd => "-v",
        Kind::PureFtpd => "--help",
    };
    let path = home.join("version.log");
    let told = File::create(&path).ok()?;
    let mut command = Command::new(program);
    command.arg(flag).stdin(told.try_clone().ok()?).stdout(told.try_clone().ok()?).stderr(told);
    command.env("LD_LIBRARY_PATH", libraries()).env("PYTHONPATH", python_packages()).status().ok()?;
    let text = fs::read_to_string(path).ok()?;
    let mut words = text.split_whitespace().map(|word| word.trim_start_matches('v'));
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')).map(str::to_owned)
}

/// A running server. Dropping it ends all its processes.
pub struct Server {
    pub kind: Kind,
    pub version: String,
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server and waits until it lets us in. `None` means that it is not installed.
    pub fn start(kind: Kind, ground: &Ground) -> Result<Option<Self>> {
        Self::start_under(&[], kind, ground)
    }

    /// The same, run by another program, such as valgrind.
    pub fn start_under(runner: &[&str], kind: Kind, ground: &Ground) -> Result<Option<Self>> {
        let Some(program) = kind.program() else { return Ok(None) };
        let home = ground.path(kind.name());
        fs::create_dir_all(home.join("empty"))?;
        let address = free_address(kind)?;
        let version = version(&program, kind, &home).unwrap_or_default();

        let mut command = match kind {
            Kind::Longshore => {
                let mut words = runner.iter().map(OsStr::new).chain([program.as_os_str()]);
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                command.args(["--listen", &address.to_string(), "--anonymous", "read-write", "--root"]);
                command.arg(ground.root());
                for limit in ["MAX_SESSIONS", "MAX_SESSIONS_PER_IP"] {
                    command.env(format!("LONGSHORE__LIMITS__{limit}"), SESSIONS.to_string());
                }
                command.env("LONGSHORE__LIMITS__PATH_DOWNLOAD_RATES", format!("/rated={RATE} MB"));
                command.env("LONGSHORE__TLS__CERTIFICATE", ground.path("certificate.pem"));
                command.env("LONGSHORE__TLS__KEY", ground.path("key.pem"));
                command
            }
            _ => {
                ensure!(rustix::process::geteuid().is_root(), "it needs root; run the benchmark as root to include it");
                let arguments = arguments(kind, address, &home, ground, &program)?;
                as_user_ftp(&home, &ground.root(), &program, &arguments)?
            }
        };
        // vsftpd writes its complaints to descriptor 0, so all three go to the log.
        let log = home.join("output.log");
        let output = OpenOptions::new().create(true).read(true).append(true).open(&log)?;
        command.current_dir(&home).stdin(output.try_clone()?).stdout(output.try_clone()?).stderr(output);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(OWN_ENVIRONMENT)) {
            command.env_remove(name);
        }
        command.env("LD_LIBRARY_PATH", libraries()).env("PYTHONPATH", python_packages());
        let child = command.spawn().with_context(|| format!("run {}", command.get_program().display()))?;
        let mut server = Self { kind, version, address, child, log };
        server.wait()?;
        Ok(Some(server))
    }

    /// CPU seconds that all processes of this server have used.
    pub fn cpu_seconds(&self) -> Option<f64> {
        process::cpu_seconds(self.child.id())
    }

    /// Bytes of memory that all processes of this server hold.
    pub fn memory(&self) -> Option<f64> {
        process::memory(self.child.id())
    }

    /// Has it stop in its own time.
    pub fn stop(mut self) -> Result<()> {
        process::end(&self.child)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}: {}", self.last_words());
        Ok(())
    }

    /// Waits for a whole login, not only for the port.
    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            go_on()?;
            let refusal = match Session::login(self.address) {
                Ok(session) => return session.quit(),
                Err(refusal) => refusal,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once ({status}): {}", self.last_words());
            }
            if Instant::now() > deadline {
                bail!("no login within {} s ({refusal:#}): {}", START.as_secs(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The end of what the server printed.
    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        if lines.is_empty() {
            "it printed nothing".to_owned()
        } else {
            lines.into_iter().rev().collect::<Vec<_>>().join("; ")
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}

/// A peer's configuration, written to its home, and the arguments to start it with.
fn arguments(kind: Kind, address: SocketAddr, home: &Path, ground: &Ground, program: &Path) -> Result<Vec<OsString>> {
    let (host, port) = (address.ip(), address.port());
    let (low, high) = (PASSIVE.start(), PASSIVE.end());
    let [root, certificate, key, both] =
        ["root", "certificate.pem", "key.pem", "both.pem"].map(|name| ground.path(name).display().to_string());
    let dir = home.display();
    let file = home.join("server.conf");
    let (text, arguments) = match kind {
        Kind::Longshore => unreachable!("longshore is started by its flags"),
        Kind::Vsftpd => {
            let text = format!(
                "listen=YES\nlisten_ipv6=NO\nbackground=NO\nlisten_address={host}\nlisten_port={port}\n\
                 anonymous_enable=YES\nlocal_enable=NO\nanon_root={root}\nno_anon_password=NO\n\
                 write_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\n\
                 nopriv_user=ftp\nsecure_chroot_dir={dir}/empty\ntcp_wrappers=NO\nuse_sendfile=YES\n\
                 max_clients=0\nmax_per_ip=0\npasv_min_port={low}\npasv_max_port={high}\n\
                 xferlog_enable=YES\nvsftpd_log_file={dir}/transfers.log\n\
                 ssl_enable=YES\nallow_anon_ssl=YES\nrequire_ssl_reuse=NO\n\
                 rsa_cert_file={certificate}\nrsa_private_key_file={key}\n"
            );
            (text, vec![file.clone().into_os_string()])
        }
        Kind::Proftpd => {
            // Unpacked, its modules are not where it was built to look for them.
            let modules = program.parent().and_then(Path::parent).map(|usr| usr.join("lib/proftpd"));
            let modules = modules.filter(|path| path.is_dir());
            // TLS is a package of its own.
            let installed = modules.as_deref().unwrap_or(Path::new("/usr/lib/proftpd"));
            let tls = match installed.join("mod_tls.so").exists() {
                false => String::new(),
                true => format!(
                    "LoadModule mod_tls.c\nTLSEngine on\nTLSOptions NoSessionReuseRequired\n\
                     TLSECCertificateFile {certificate}\nTLSECCertificateKeyFile {key}\n"
                ),
            };
            let modules = modules.map_or_else(String::new, |path| format!("ModulePath {}\n", path.display()));
            let text = format!(
                "{modules}{tls}ServerType standalone\nDefaultAddress {host}\nSocketBindTight on\nUseIPv6 off\nPort {port}\n\
                 User ftp\nGroup ftp\nPidFile {dir}/pid\nScoreboardFile {dir}/scoreboard\nWtmpLog off\n\
                 SystemLog {dir}/system.log\nTransferLog {dir}/transfers.log\nDelayEngine off\n\
                 UseReverseDNS off\nRequireValidShell off\nAuthPAM off\nUseSendfile on\n\
                 PassivePorts {low} {high}\n\
                 <Anonymous {root}>\nUser ftp\nGroup ftp\nUserAlias anonymous ftp\nAllowOverwrite on\n</Anonymous>\n"
            );
            (text, vec!["-n".into(), "-c".into(), file.clone().into_os_string()])
        }
        Kind::Pyftpdlib => {
            let arguments = format!("{host} {port} {low} {high} {root} {both} {dir}/transfers.log");
            return Ok(arguments.split(' ').map(OsString::from).collect());
        }
        Kind::PureFtpd => {
            // It takes flags only. -e anonymous, -H no DNS, -M may make directories, -L entries in a listing.
            let text = format!(
                "-4 -e -H -M -S {host},{port} -c {SESSIONS} -C {SESSIONS} -L 20000:5 -p {low}:{high} -f none -O clf:{dir}/transfers.log -g {dir}/pid -Y 1 -2 {both}"
            );
            let arguments = text.split(' ').map(OsString::from).collect();
            (text, arguments)
        }
    };
    fs::write(&file, text)?;
    // proftpd appends to its log but does not make it.
    File::create(home.join("transfers.log"))?;
    Ok(arguments)
}

/// A command in a mount namespace in which the user `ftp` exists and has the served directory as its home.
fn as_user_ftp(home: &Path, root: &Path, program: &Path, arguments: &[OsString]) -> Result<Command> {
    let (passwd, group) = (home.join("passwd"), home.join("group"));
    fs::write(
        &passwd,
        format!(
            "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nftp:x:65533:65533::{}:/bin/false\n",
            root.display()
        ),
    )?;
    fs::write(&group, "root:x:0:\nnogroup:x:65534:\nftp:x:65533:\n")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    // Both exec, so the server is the very process that was started.
    command.arg("mount --bind \"$1\" /etc/passwd && mount --bind \"$2\" /etc/group && shift 2 && exec \"$@\"");
    command.arg("sh").args([passwd.as_os_str(), group.as_os_str(), program.as_os_str()]).args(arguments);
    Ok(command)
}

/// Where the peers are unpacked, if anywhere.
fn peers() -> Option<PathBuf> {
    std::env::var_os("LONGSHORE_PEERS").map(PathBuf::from)
}

/// Where Python finds what was unpacked with the peers.
fn python_packages() -> OsString {
    peers().map(|peers| peers.join("pyftpdlib").into_os_string()).unwrap_or_default()
}

/// The libraries that were unpacked with the peers, and those that were asked for anyway.
fn libraries() -> OsString {
    let mut paths: Vec<PathBuf> = Vec::new();
    for package in peers().and_then(|peers| fs::read_dir(peers).ok()).into_iter().flatten().flatten() {
        let below = fs::read_dir(package.path().join("usr/lib")).into_iter().flatten().flatten();
        paths.extend(
            below.map(|entry| entry.path()).filter(|path| {
                path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with("-linux-gnu"))
            }),
        );
    }
    paths.extend(std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths));
    std::env::join_paths(paths).unwrap_or_default()
}

/// An address of its own for each server, so that none of them searches for ports among the connections that another
/// has left in TIME_WAIT. The port is free now; not one server can be handed an open socket, so this must do.
fn free_address(kind: Kind) -> Result<SocketAddr> {
    let host = Ipv4Addr::new(127, 0, 0, 11 + kind as u8);
    Ok(TcpListener::bind((host, 0)).with_context(|| format!("listen on {host}"))?.local_addr()?)
}
