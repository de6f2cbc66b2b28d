//! The ground that all servers stand on: one directory tree, served by each of them, gone at the end.

use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::Scale;

/// What `rated` is limited to, in MB/s.
pub const RATE: u32 = 50;
/// Into how many parts the large file is cut, for as many clients; each finds a file of its size.
const PARTS: [usize; 2] = [4, 16];
/// Size of a small file.
pub const SMALL: u64 = 10 * 1024;
/// How many different small files there are.
pub const SMALL_FILES: usize = 100;
/// Entries in the directory that is listed.
pub const ENTRIES: usize = 10_000;
/// Room left over for logs and uploads that are written beside the file they replace.
const HEADROOM: u64 = 256 << 20;
/// What `statfs` calls a tmpfs.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// A temporary directory with the files to serve below `root` and room for each server's own files.
pub struct Ground {
    directory: TempDir,
    /// Content of every file, repeated. Its length is a prime, so a lost or doubled piece shows at once.
    pub block: Vec<u8>,
    /// How large the large file is.
    pub large: u64,
}

impl Ground {
    /// Lays the files out in `wanted`, or in memory where that has room, or else on disk.
    pub fn lay(wanted: Option<&Path>, scale: &Scale) -> Result<Self> {
        let need = 2 * scale.large + PARTS.map(|parts| scale.large / parts as u64).iter().sum::<u64>() + HEADROOM;
        let memory = Path::new("/dev/shm");
        let parent = match wanted {
            Some(directory) => directory.to_path_buf(),
            None if free(memory).is_ok_and(|free| free > need) => memory.to_path_buf(),
            None => std::env::temp_dir(),
        };
        let room = free(&parent)?;
        ensure!(room > need, "{} has {} MB free, the files need {} MB", parent.display(), room >> 20, need >> 20);
        let directory = tempfile::Builder::new().prefix("longshore-bench-").tempdir_in(&parent)?;

        let ground = Self { directory, block: noise(1_000_003), large: scale.large };
        // The peers' sessions run as a user of their own, and vsftpd refuses a root that this user may write to.
        for (name, mode) in [("", 0o755), ("root", 0o755), ("root/upload", 0o777), ("root/many", 0o755)] {
            let path = ground.path(name);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        ground.write("root/large", ground.large)?;
        for parts in PARTS {
            ground.write(&format!("root/{}", part_name(parts)), ground.large / parts as u64)?;
        }
        // Two seconds' worth.
        ground.write("root/rated", 2_000_000 * u64::from(RATE))?;
        for number in 0..SMALL_FILES {
            ground.write(&format!("root/{}", small_name(number)), SMALL)?;
        }
        for number in 0..ENTRIES {
            File::create(ground.path(&format!("root/many/measurement-{number:05}.csv")))?;
        }
        ground.make_certificate()?;
        Ok(ground)
    }

    /// One certificate for all servers: on the P-256 curve, as rcgen makes them.
    fn make_certificate(&self) -> Result<()> {
        let [certificate, key, both] = ["certificate.pem", "key.pem", "both.pem"].map(|name| self.path(name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(["tls", "self-signed", "--name", "localhost", "--certificate"]).arg(&certificate);
        let output = command.arg("--key").arg(&key).output().context("make a certificate")?;
        ensure!(output.status.success(), "make a certificate: {}", String::from_utf8_lossy(&output.stderr));
        // Pure-FTPd wants them in one file.
        Ok(fs::write(both, [fs::read(certificate)?, fs::read(key)?].concat())?)
    }

    /// How a client speaks TLS; with `resume` its data connections resume the session of their control connection.
    pub fn tls(&self, resume: bool) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("certificate.pem"))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        if !resume {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }

    /// A path below the temporary directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory that is served.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// Where the files lie, in words.
    pub fn describe(&self) -> String {
        let path = self.directory.path();
        let memory = rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == TMPFS_MAGIC);
        let parent = path.parent().unwrap_or(path).display();
        format!("files in {parent} ({})", if memory { "in memory, tmpfs" } else { "on disk" })
    }

    /// Whether `piece` is what a file holds at `offset`.
    pub fn holds(&self, offset: u64, piece: &[u8]) -> bool {
        let mut at = (offset % self.block.len() as u64) as usize;
        let mut rest = piece;
        while !rest.is_empty() {
            let length = rest.len().min(self.block.len() - at);
            if rest[..length] != self.block[at..at + length] {
                return false;
            }
            (rest, at) = (&rest[length..], 0);
        }
        true
    }

    /// Removes what was uploaded, so that every round begins alike and no server has anything to replace.
    pub fn clear_uploads(&self) -> Result<()> {
        for entry in fs::read_dir(self.path("root/upload"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    fn write(&self, name: &str, size: u64) -> Result<()> {
        let mut file = BufWriter::new(File::create(self.path(name))?);
        let mut left = size;
        while left > 0 {
            let piece = left.min(self.block.len() as u64);
            file.write_all(&self.block[..piece as usize])?;
            left -= piece;
        }
        file.flush().with_context(|| format!("write {name}"))
    }
}

/// The name of one of the small files; any number will do.
pub fn small_name(number: usize) -> String {
    format!("small-{:02}", number % SMALL_FILES)
}

/// The name of a file as large as each of so many parts of the large one.
pub fn part_name(parts: usize) -> String {
    if parts == 1 { "large".into() } else { format!("large-{parts}") }
}

fn free(path: &Path) -> Result<u64> {
    let fs = rustix::fs::statvfs(path).with_context(|| path.display().to_string())?;
    Ok(fs.f_bavail * fs.f_frsize)
}

/// Bytes without a pattern (xorshift), the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}
