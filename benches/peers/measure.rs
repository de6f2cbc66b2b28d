//! How one sample of a measurement is taken.

use std::iter::zip;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Scale;
use crate::client::{Session, go_on};
use crate::ground::{ENTRIES, Ground, SMALL, part_name, small_name};
use crate::servers::Server;
use crate::what::{Figure, Terms, Way, What};

/// How long it may take until all idle sessions are there; a server that needs longer takes no part.
const ALL_IDLE: Duration = Duration::from_secs(60);

/// Clients that open idle sessions side by side.
const OPENERS: usize = 8;

/// One sample: the figure in the measurement's unit, and what CPU time the server spent on each amount of it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub figure: f64,
    pub cpu: Option<f64>,
}

/// How much was done, in how many seconds; or how many bytes, of which amount.
type Done = (f64, f64);

impl Terms {
    /// How many times as good `ours` is as `theirs`.
    pub fn ratio(&self, ours: f64, theirs: f64) -> f64 {
        if self.scale == Figure::Rate { ours / theirs } else { theirs / ours }
    }

    fn figure(&self, (amount, spent): Done) -> f64 {
        match self.scale {
            Figure::Rate => amount / spent,
            Figure::Cost(in_one) => spent / amount * in_one,
        }
    }
}

impl What {
    /// Takes one sample. Whatever the server then still has to do is not our business.
    pub fn sample(self, server: &Server, ground: &Ground, scale: &Scale) -> Result<Sample> {
        let terms = self.terms(scale);
        let idle = match self {
            Self::Beside(sessions) => open_idle(sessions, server)?,
            _ => Vec::new(),
        };
        let before = server.cpu_seconds();
        let done = self.run(server, ground, scale).with_context(|| terms.name.clone())?;
        let after = server.cpu_seconds();
        drop(idle);
        ground.clear_uploads()?;
        let cpu = before.zip(after).map(|(before, after)| (after - before) / done.0 * terms.cpu.1);
        // Those are in a server of their own.
        let cpu = cpu.filter(|_| !matches!(self, Self::Idle(_)));
        Ok(Sample { figure: terms.figure(done), cpu })
    }

    fn run(self, server: &Server, ground: &Ground, scale: &Scale) -> Result<Done> {
        let (resuming, anew) = (ground.tls(true)?, ground.tls(false)?);
        let login = |tls: bool| Session::login_over(server.address, tls.then_some(&resuming));
        match self {
            Self::Large { way, clients, tls } => {
                let sessions = (0..clients).map(|_| login(tls)).collect::<Result<Vec<_>>>()?;
                large(way, sessions, ground)
            }
            Self::Beside(_) => {
                let downloads = (0..scale.rounds).map(|_| large(Way::Down, vec![login(false)?], ground));
                let downloads = downloads.collect::<Result<Vec<_>>>()?;
                Ok(downloads.into_iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
            }
            Self::Rated => {
                let mut session = login(false)?;
                let start = Instant::now();
                let got = session.discard("rated")?;
                let seconds = start.elapsed().as_secs_f64();
                session.quit()?;
                Ok((got as f64 / 1e6, seconds))
            }
            Self::Small { way, clients, logins, tls } => {
                let sessions = (0..clients).map(|_| if logins { Ok(None) } else { login(tls).map(Some) });
                small(way, sessions.collect::<Result<_>>()?, || login(tls), ground, scale)
            }
            Self::Listing(verb) => listing(verb, login(false)?, scale),
            Self::Noop => {
                let mut session = login(false)?;
                let done = repeat(scale.span / 4, |_| session.ask("NOOP", 200))?;
                session.quit()?;
                Ok(done)
            }
            Self::Login { tls } => {
                repeat(scale.span / 2, |_| Session::login_over(server.address, tls.then_some(&anew))?.quit())
            }
            Self::Idle(sessions) => {
                // A fresh one: what has served before has freed memory at hand.
                let server = Server::start(server.kind, ground)?.context("it is gone")?;
                let before = server.memory().context("the system tells no memory")?;
                let idle = open_idle(sessions, &server)?;
                let after = server.memory().context("the system tells no memory")?;
                Ok((idle.len() as f64, after - before))
            }
        }
    }
}

/// Each session carries its part of the large file.
fn large(way: Way, sessions: Vec<Session>, ground: &Ground) -> Result<Done> {
    let clients = sessions.len();
    let part = ground.large / clients as u64;
    let start = Instant::now();
    let sessions = at_once(sessions, |number, mut session| {
        let got = match way {
            Way::Down => session.discard(&part_name(clients))?,
            Way::Up => {
                let name = format!("upload/{number}");
                session.store(&name, &ground.block, part)?;
                std::fs::metadata(ground.path("root").join(name))?.len()
            }
        };
        ensure!(got == part, "{got} bytes came instead of {part}");
        Ok(session)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    sessions.into_iter().try_for_each(Session::quit)?;
    Ok(((part * clients as u64) as f64 / 1e6, seconds))
}

/// Each client carries small files for a while, in its session or, if it has none, in a new one for each file.
fn small(
    way: Way,
    sessions: Vec<Option<Session>>,
    login: impl Fn() -> Result<Session> + Sync,
    ground: &Ground,
    scale: &Scale,
) -> Result<Done> {
    let one = |session: &mut Session, client: usize, number: usize| match way {
        Way::Down => {
            let got = session.discard(&small_name(number))?;
            ensure!(got == SMALL, "{got} bytes came instead of {SMALL}");
            Ok(())
        }
        Way::Up => session.store(&format!("upload/{client}-{number}"), &ground.block[..SMALL as usize], SMALL),
    };
    let start = Instant::now();
    let counts = at_once(sessions, |client, mut own| {
        let (count, _) = repeat(scale.span, |number| match &mut own {
            Some(session) => one(session, client, number),
            None => {
                let mut session = login()?;
                one(&mut session, client, number)?;
                session.quit()
            }
        })?;
        own.map_or(Ok(()), Session::quit)?;
        Ok(count)
    })?;
    let (count, seconds) = (counts.into_iter().sum(), start.elapsed().as_secs_f64());
    let arrived = std::fs::read_dir(ground.path("root/upload"))?.count() as f64;
    ensure!(way == Way::Down || arrived == count, "{count} uploads were confirmed, {arrived} files arrived");
    Ok((count, seconds))
}

fn listing(verb: &str, mut session: Session, scale: &Scale) -> Result<Done> {
    session.ask("CWD many", 250)?;
    let done = repeat(scale.span / 2, |_| {
        let mut lines = 0;
        session.read(verb, |piece| {
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

/// Sessions that are logged in and then do nothing.
fn open_idle(sessions: usize, server: &Server) -> Result<Vec<Session>> {
    let deadline = Instant::now() + ALL_IDLE;
    let shares = (0..OPENERS).map(|opener| sessions / OPENERS + usize::from(opener < sessions % OPENERS));
    let open = at_once(shares.collect(), |_, share| {
        let one = |_| {
            go_on()?;
            ensure!(Instant::now() < deadline, "fewer than {sessions} logins in {} s", ALL_IDLE.as_secs());
            Session::login(server.address)
        };
        (0..share).map(one).collect::<Result<Vec<_>>>()
    })?;
    Ok(open.into_iter().flatten().collect())
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

/// Does `work` for each of these at the same time.
fn at_once<S: Send, T: Send>(those: Vec<S>, work: impl Fn(usize, S) -> Result<T> + Sync) -> Result<Vec<T>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = zip(0.., those).map(|(number, one)| scope.spawn(move || work(number, one))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client's thread does not panic")).collect()
    })
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
