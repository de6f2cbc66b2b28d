//! What is measured, and how one sample of it is taken.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Scale;
use crate::client::{Session, go_on};
use crate::ground::{ENTRIES, Ground, SMALL, small_name};
use crate::servers::{Kind, Server};

/// Sessions at once in the measurement of parallel downloads.
const PARALLEL: usize = 4;

/// What `rated` is limited to, in MB/s.
pub const RATE: u32 = 50;

/// One thing to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Download,
    RatedDownload,
    Upload,
    SmallDownloads,
    ParallelDownloads,
    SmallUploads,
    List,
    Noop,
    Login,
    TlsDownload,
    TlsUpload,
    TlsSmallDownloads,
    TlsLogin,
}

/// How a measurement is written down.
pub struct Terms {
    pub name: &'static str,
    pub title: String,
    pub unit: &'static str,
    /// Amounts per second if true, otherwise `unit`s of time per amount.
    pub more_is_better: bool,
    /// What a second is in `unit`s when time is what is measured.
    pub seconds: f64,
    /// Name of the CPU figure and how many amounts it covers, in its own units of time.
    pub cpu: (&'static str, f64),
}

/// One sample: how much was done, in what time, for what CPU time of the server.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub amount: f64,
    pub seconds: f64,
    pub cpu_seconds: Option<f64>,
}

impl What {
    pub const ALL: [Self; 13] = [
        Self::Download,
        Self::RatedDownload,
        Self::Upload,
        Self::SmallDownloads,
        Self::ParallelDownloads,
        Self::SmallUploads,
        Self::List,
        Self::Noop,
        Self::Login,
        Self::TlsDownload,
        Self::TlsUpload,
        Self::TlsSmallDownloads,
        Self::TlsLogin,
    ];

    pub fn terms(self, scale: &Scale) -> Terms {
        let megabytes = scale.large / 1_000_000;
        let size = if megabytes < 1000 { format!("{megabytes} MB") } else { format!("{} GB", megabytes / 1000) };
        let rate =
            |name, title: String, unit, cpu| Terms { name, title, unit, more_is_better: true, seconds: 1.0, cpu };
        let time =
            |name, title: String, unit, seconds, cpu| Terms { name, title, unit, more_is_better: false, seconds, cpu };
        let (per_gb, per_1000) = (("CPU s/GB", 1000.0), ("CPU s/1,000", 1000.0));
        match self {
            Self::Download => rate("download", format!("download of {size}"), "MB/s", per_gb),
            Self::RatedDownload => rate("rated-download", format!("at {RATE} MB/s"), "MB/s", per_gb),
            Self::Upload => rate("upload", format!("upload of {size}"), "MB/s", per_gb),
            Self::SmallDownloads => rate("small-downloads", "10 KB downloads, one session".into(), "files/s", per_1000),
            Self::ParallelDownloads => {
                rate("parallel-downloads", format!("10 KB downloads, {PARALLEL} sessions"), "files/s", per_1000)
            }
            Self::SmallUploads => rate("small-uploads", "10 KB uploads, one session".into(), "files/s", per_1000),
            Self::List => time("list", format!("LIST of {ENTRIES} entries"), "ms", 1e3, ("CPU ms each", 1e3)),
            Self::Noop => time("noop", "NOOP round trip".into(), "us", 1e6, ("CPU us each", 1e6)),
            Self::Login => rate("login", "connect, login, quit".into(), "a second", per_1000),
            Self::TlsDownload => rate("tls-download", format!("TLS: download of {size}"), "MB/s", per_gb),
            Self::TlsUpload => rate("tls-upload", format!("TLS: upload of {size}"), "MB/s", per_gb),
            Self::TlsSmallDownloads => {
                rate("tls-small-downloads", "TLS: 10 KB downloads, one session".into(), "files/s", per_1000)
            }
            Self::TlsLogin => rate("tls-login", "TLS: connect, log in, quit".into(), "a second", per_1000),
        }
    }

    /// Whether a server takes part: a rate by path is longshore's own.
    pub fn concerns(self, kind: Kind) -> bool {
        self != Self::RatedDownload || kind == Kind::Longshore
    }

    /// Takes one sample. Whatever the server then still has to do is not our business.
    pub fn sample(self, server: &Server, ground: &Ground, scale: &Scale) -> Result<Sample> {
        let before = server.cpu_seconds();
        let (amount, seconds) = self.run(server, ground, scale).with_context(|| format!("{self:?}"))?;
        let after = server.cpu_seconds();
        ground.clear_uploads()?;
        let cpu_seconds = before.zip(after).map(|(before, after)| after - before);
        Ok(Sample { amount, seconds, cpu_seconds })
    }

    fn run(self, server: &Server, ground: &Ground, scale: &Scale) -> Result<(f64, f64)> {
        let (resuming, anew) = (ground.tls(true)?, ground.tls(false)?);
        let login = || match self {
            Self::TlsDownload | Self::TlsUpload | Self::TlsSmallDownloads => {
                Session::login_over(server.address, Some(&resuming))
            }
            Self::TlsLogin => Session::login_over(server.address, Some(&anew)),
            _ => Session::login(server.address),
        };
        match self {
            Self::Download | Self::TlsDownload => {
                let mut session = login()?;
                let start = Instant::now();
                let got = session.discard("large")?;
                let seconds = start.elapsed().as_secs_f64();
                ensure!(got == ground.large, "{got} bytes came instead of {}", ground.large);
                session.quit()?;
                Ok((got as f64 / 1e6, seconds))
            }
            Self::RatedDownload => {
                let mut session = login()?;
                let start = Instant::now();
                let got = session.discard("rated")?;
                let seconds = start.elapsed().as_secs_f64();
                session.quit()?;
                Ok((got as f64 / 1e6, seconds))
            }
            Self::Upload | Self::TlsUpload => {
                let mut session = login()?;
                let start = Instant::now();
                session.store("upload/large", &ground.block, ground.large)?;
                let seconds = start.elapsed().as_secs_f64();
                let got = std::fs::metadata(ground.path("root/upload/large"))?.len();
                ensure!(got == ground.large, "{got} bytes arrived instead of {}", ground.large);
                session.quit()?;
                Ok((got as f64 / 1e6, seconds))
            }
            Self::SmallDownloads | Self::TlsSmallDownloads => {
                let mut session = login()?;
                let done = repeat(scale.span, |number| download_small(&mut session, number))?;
                session.quit()?;
                Ok(done)
            }
            Self::ParallelDownloads => {
                let sessions: Vec<Session> = (0..PARALLEL).map(|_| login()).collect::<Result<_>>()?;
                let start = Instant::now();
                let counts: Vec<Result<f64>> = std::thread::scope(|scope| {
                    let work = |mut session: Session| {
                        let (count, _) = repeat(scale.span, |number| download_small(&mut session, number))?;
                        session.quit()?;
                        Ok(count)
                    };
                    let threads: Vec<_> =
                        sessions.into_iter().map(|session| scope.spawn(move || work(session))).collect();
                    threads
                        .into_iter()
                        .map(|thread| thread.join().expect("a session's thread does not panic"))
                        .collect()
                });
                let seconds = start.elapsed().as_secs_f64();
                Ok((counts.into_iter().sum::<Result<f64>>()?, seconds))
            }
            Self::SmallUploads => {
                let mut session = login()?;
                let content = &ground.block[..SMALL as usize];
                let done = repeat(scale.span, |number| session.store(&format!("upload/{number}"), content, SMALL))?;
                session.quit()?;
                let arrived = std::fs::read_dir(ground.path("root/upload"))?.count();
                ensure!(arrived as f64 == done.0, "{} uploads were confirmed, {arrived} files arrived", done.0);
                Ok(done)
            }
            Self::List => {
                let mut session = login()?;
                session.ask("CWD many", 250)?;
                let done = repeat(scale.span / 2, |_| {
                    let mut lines = 0;
                    session.read("LIST", |piece| {
                        lines += piece.iter().filter(|&&byte| byte == b'\n').count();
                        Ok(())
                    })?;
                    // A line or two more may be `.` and `..` or a total.
                    ensure!((ENTRIES..ENTRIES + 4).contains(&lines), "{lines} lines came for {ENTRIES} entries");
                    Ok(())
                })?;
                session.quit()?;
                Ok(done)
            }
            Self::Noop => {
                let mut session = login()?;
                let done = repeat(scale.span / 4, |_| session.ask("NOOP", 200))?;
                session.quit()?;
                Ok(done)
            }
            Self::Login | Self::TlsLogin => repeat(scale.span / 2, |_| login()?.quit()),
        }
    }
}

impl Terms {
    /// A sample in this measurement's unit.
    pub fn value(&self, sample: &Sample) -> f64 {
        if self.more_is_better { sample.amount / sample.seconds } else { sample.seconds / sample.amount * self.seconds }
    }

    /// A sample's CPU time, per amount.
    pub fn cpu_value(&self, sample: &Sample) -> Option<f64> {
        sample.cpu_seconds.map(|seconds| seconds / sample.amount * self.cpu.1)
    }

    /// How many times as fast `ours` is as `theirs`; above 1 is faster.
    pub fn ratio(&self, ours: f64, theirs: f64) -> f64 {
        if self.more_is_better { ours / theirs } else { theirs / ours }
    }
}

/// Fetches and sends both kinds of file once and compares every byte.
pub fn check_bytes(server: &Server, ground: &Ground) -> Result<()> {
    let mut session = Session::login(server.address)?;
    for (name, size) in [("large", ground.large), (&*small_name(7), SMALL)] {
        let mut at = 0;
        let got = session.read(&format!("RETR {name}"), |piece| {
            ensure!(ground.holds(at, piece), "{name} came with wrong bytes after {at}");
            at += piece.len() as u64;
            Ok(())
        })?;
        ensure!(got == size, "{name} came with {got} bytes instead of {size}");

        session.store("upload/check", &ground.block, size)?;
        let path = ground.path("root/upload/check");
        let mut file = std::fs::File::open(&path)?;
        let mut at = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            go_on()?;
            let count = std::io::Read::read(&mut file, &mut buffer)?;
            if count == 0 {
                break;
            }
            ensure!(ground.holds(at, &buffer[..count]), "an upload arrived with wrong bytes after {at}");
            at += count as u64;
        }
        ensure!(at == size, "an upload of {size} bytes arrived with {at}");
        ground.clear_uploads()?;
    }
    session.quit()
}

fn download_small(session: &mut Session, number: usize) -> Result<()> {
    let got = session.discard(&small_name(number))?;
    ensure!(got == SMALL, "{got} bytes came instead of {SMALL}");
    Ok(())
}

/// Does `step` over and over for `span`, at least once: how often, and in how many seconds.
fn repeat(span: Duration, mut step: impl FnMut(usize) -> Result<()>) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut count = 0;
    while count == 0 || start.elapsed() < span {
        go_on()?;
        step(count)?;
        count += 1;
    }
    Ok((count as f64, start.elapsed().as_secs_f64()))
}
