//! `longshore tls self-signed`: a certificate for a class, a home or a test.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::{DateTime, Datelike, Days, Utc};
use clap::{Args, Subcommand};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::{finish, print};

/// The arguments of `longshore tls`.
#[derive(Debug, Clone, Args)]
pub struct TlsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Make a certificate that no authority has signed, and its key
    ///
    /// Clients must be told to trust it: curl --cacert FILE, or a click in the dialogue that the client shows. Files that
    /// are there already are not replaced.
    SelfSigned(SelfSigned),
}

#[derive(Debug, Clone, Args)]
struct SelfSigned {
    /// A host name or an address by which clients reach the server; can be given several times
    #[arg(long = "name", value_name = "NAME", required = true, num_args = 1..)]
    names: Vec<String>,
    /// Write the certificate to this file
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Write the private key to this file, which nobody else may read
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// For how many days it holds
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
}

/// `longshore tls`.
pub fn tls(args: &TlsArgs) -> ExitCode {
    let Command::SelfSigned(args) = &args.command;
    finish(self_signed(args))
}

fn self_signed(args: &SelfSigned) -> anyhow::Result<()> {
    for file in [&args.certificate, &args.key] {
        if file.symlink_metadata().is_ok() {
            bail!("{} is there already; name another file, or remove it first", file.display());
        }
    }
    let today = Utc::now();
    let day = |time: DateTime<Utc>| {
        let (month, day) = (time.month().try_into().unwrap_or(1), time.day().try_into().unwrap_or(1));
        date_time_ymd(time.year(), month, day)
    };
    let mut parameters = CertificateParams::new(args.names.clone())
        .with_context(|| format!("one of the names {} cannot stand in a certificate", args.names.join(", ")))?;
    // A client's clock may be behind.
    parameters.not_before = day(today - Days::new(1));
    let end = today + Days::new(args.days);
    parameters.not_after = day(end);
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, args.names[0].as_str());
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().context("making a key")?;
    let certificate = parameters.self_signed(&key).context("signing the certificate")?;
    write_new(&args.key, &key.serialize_pem(), 0o600)?;
    if let Err(error) = write_new(&args.certificate, &certificate.pem(), 0o644) {
        // A key alone is of no use, and would be in the way of the next try.
        let _ = fs::remove_file(&args.key);
        return Err(error);
    }
    let (certificate, key) = (args.certificate.display(), args.key.display());
    print(&format!(
        "{certificate} is the certificate of {}, until {}.\n{key} is its key. Name both in the settings:\n\n\
         [tls]\ncertificate = {:?}\nkey = {:?}\n",
        args.names.join(", "),
        end.format("%Y-%m-%d"),
        args.certificate,
        args.key
    ))
}

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("writing {}", path.display()))
}
