//! What a class directory has from the beginning.

use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, bail};

use super::lesson::SHIPPED;
use super::{Directory, files};

/// More than fits into the address of a Unix socket.
const LONGEST_SOCKET: usize = 107;

const README: &str = "\
Welcome.

What the teacher gives out is in this directory. You can read it and not change it.
Hand your work in by uploading it to /handin. Each upload is kept; a second one under
the same name becomes `report (2).txt`.
";

/// Makes what is missing of a class directory, and touches nothing that is there. Without a `port` it is 21, or 2121
/// where that is not to be had. Returns what there is to say about it.
pub fn found(directory: &Directory, port: Option<u16>, students: usize) -> anyhow::Result<Option<&'static str>> {
    let attempt = || format!("cannot make the class in {}", directory.path().display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory.path()).with_context(attempt)?;
    for place in [directory.materials(), directory.handin(), directory.root(), directory.archive()] {
        fs::create_dir_all(place).with_context(attempt)?;
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    files::create(&directory.secret(), format!("{secret}\n").as_bytes()).with_context(attempt)?;
    files::create(&directory.lesson(), SHIPPED.as_bytes()).with_context(attempt)?;
    let materials = directory.materials();
    if fs::read_dir(&materials).with_context(attempt)?.next().is_none() {
        // Hard links of it go into every home, so its mode is theirs.
        fs::write(materials.join("readme.txt"), README).with_context(attempt)?;
    }
    if directory.settings().exists() {
        return Ok(None);
    }
    let (port, notice) = match port {
        Some(port) => (port, None),
        None => free_port(),
    };
    let text = settings(&fs::canonicalize(directory.path())?, port, students)?;
    files::create(&directory.settings(), text.as_bytes()).with_context(attempt)?;
    Ok(notice)
}

/// 21, or 2121 with what that means.
fn free_port() -> (u16, Option<&'static str>) {
    match TcpListener::bind("0.0.0.0:21") {
        Ok(_) => (21, None),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            (2121, Some("port 21 is in use on this computer, so the class gets port 2121"))
        }
        Err(_) => (
            2121,
            Some(
                "port 21 needs root or the capability CAP_NET_BIND_SERVICE, so the class gets port 2121; Windows' firewall \
                 may then stop the active transfers of its ftp.exe",
            ),
        ),
    }
}

/// The settings file of a class in `directory`, which is absolute.
fn settings(directory: &Path, port: u16, students: usize) -> anyhow::Result<String> {
    let Some(base) = directory.to_str().filter(|path| !path.contains('\'') && !path.chars().any(char::is_control))
    else {
        bail!("{} has a quote or a byte that is no text in it; choose another directory", directory.display());
    };
    let socket = format!("{base}/admin.sock");
    let socket = if socket.len() > LONGEST_SOCKET { "auto" } else { &socket };
    // One a student, and some for those who come back before the last one is free.
    let last_passive = if students > 100 { 61511 } else { 61255 };
    Ok(format!(
        r#"# The server of this class, an ordinary settings file of longshore. Edit it as you like: it is not written again.

[server]
listen = ["0.0.0.0:{port}", "[::]:{port}"]
greeting = "Practice server. Plain FTP: everybody on this network can read your password. Use it nowhere else."
# Outside of the ports that Linux gives to its own connections. Open them in the firewall, and {port}.
passive_ports = "61000-{last_passive}"
idle_timeout = 600
admin_socket = '{socket}'

[storage]
root = '{base}/root'

[accounts]
file = '{base}/accounts.toml'
anonymous = "off"

[limits]
# A whole class may come from one address, and a client may use two sessions.
max_sessions_per_ip = 0
max_sessions_per_user = 4
# Whoever mistypes the password soon goes on.
login_delay_max = 8
# Slow enough for its data connection to be seen in netstat.
path_download_rates = {{ "/slow.bin" = 20000, "/*/slow.bin" = 20000, "/*/*/slow.bin" = 20000 }}

[transfer]
# Marks and receipts know the file by it.
sha256 = true

[log]
sessions = '{base}/sessions.log'
"#
    ))
}
