//! Whether what a lesson needs was seen. Each step remembers what it has seen of itself; nothing looks back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::sessions::{Session, Sessions};
use crate::classroom::Observation;
use crate::classroom::journal::Entry;
use crate::classroom::lesson::{Step, Type, Way};
use crate::sessions::{Family, Mode, Side, TransferOutcome};

/// Sessions in each of which a way is tried, where it has to be done in one. The oldest make way.
const MOST_TRIALS: usize = 16;

/// The pauses that typing takes, in milliseconds.
const TYPING: i64 = 1000;

/// What is known beside an entry while a step looks at it.
pub(super) struct Scene<'a> {
    pub entry: &'a Arc<Entry>,
    pub seen: &'a Observation,
    /// The session, as it is behind this entry; a refused login has none.
    pub session: Option<&'a Session>,
    pub sessions: &'a Sessions,
    /// The digest of a file that the lesson gives to the student: quest folder and name.
    pub given: &'a dyn Fn(&str, &str) -> Option<String>,
}

/// All attempts at one way.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials(Vec<(Option<u64>, Trial)>);

/// An attempt at one way: a state for each step.
#[derive(Debug, Clone)]
pub(super) struct Trial(Vec<Sighting>);

/// What was seen of a step.
#[derive(Debug, Clone, Default)]
struct Sighting {
    /// By file, or by number.
    hits: BTreeMap<String, Hit>,
    /// Something was done that must not be.
    is_spoilt: bool,
    is_complete: bool,
}

/// An entry that counts for a step.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub entry: Arc<Entry>,
    /// How many data connections its session had had.
    pub data_connections: u32,
}

impl Trials {
    /// Looks at an entry, and tells whether an attempt became complete by it.
    pub fn see(&mut self, way: &Way, scene: &Scene<'_>) -> bool {
        let key = if way.one_session { scene.session.map(|session| session.number) } else { None };
        let trial = match self.0.iter().position(|(of, _)| *of == key) {
            Some(at) => &mut self.0[at].1,
            None => {
                if self.0.len() >= MOST_TRIALS {
                    // A complete one may still have to be answered.
                    let at = self.0.iter().position(|(_, trial)| !trial.is_complete()).unwrap_or_default();
                    self.0.remove(at);
                }
                self.0.push((key, Trial(vec![Sighting::default(); way.need.len()])));
                &mut self.0.last_mut().expect("one was just added").1
            }
        };
        trial.see(way, scene)
    }

    /// Those that are complete, the newest first.
    pub fn complete(&self) -> impl Iterator<Item = &Trial> {
        self.0.iter().rev().map(|(_, trial)| trial).filter(|trial| trial.is_complete())
    }

    /// Whether anything was seen; that somebody has logged in is no beginning.
    pub fn has_begun(&self, way: &Way) -> bool {
        let least = |step: &Step| match step {
            Step::Login { refused: false, .. } => usize::MAX,
            Step::Sessions { .. } => 2,
            _ => 1,
        };
        let has_begun =
            |trial: &Trial| way.need.iter().zip(&trial.0).any(|(step, seen)| seen.hits.len() >= least(step));
        self.0.iter().any(|(_, trial)| has_begun(trial))
    }

    /// The first step that is missing in the attempt that is furthest, if there is any attempt.
    pub fn missing(&self) -> usize {
        let first = |trial: &Trial| trial.0.iter().position(|step| !step.is_complete).unwrap_or_default();
        self.0.iter().map(|(_, trial)| first(trial)).max().unwrap_or_default()
    }

    /// Sessions are counted anew, so that none is taken for another.
    pub fn restart(&mut self) {
        self.0.retain(|(session, trial)| session.is_none() || trial.is_complete());
        for (session, _) in &mut self.0 {
            // Complete, and no session's any more.
            *session = session.map(|_| 0);
        }
    }
}

impl Trial {
    /// Of a way that needs nothing but an answer.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    fn see(&mut self, way: &Way, scene: &Scene<'_>) -> bool {
        if self.is_complete() {
            return false;
        }
        for (step, sighting) in way.need.iter().zip(&mut self.0) {
            if sighting.is_complete {
                continue;
            }
            sighting.see(step, scene);
            // What is behind a missing step is not looked at yet, and one entry is no two steps of an order.
            if way.in_order {
                break;
            }
        }
        self.is_complete()
    }

    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|sighting| sighting.is_complete)
    }

    /// What it rests on.
    pub fn evidence(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.hits().map(|hit| &hit.entry)
    }

    /// The entry that counts for a step.
    pub fn of_step(&self, step: usize) -> Option<&Arc<Entry>> {
        self.0.get(step)?.hits.values().next_back().map(|hit| &hit.entry)
    }

    /// How many data connections there were from the first entry of it to the last, and in the session up to there.
    pub fn data_connections(&self) -> Option<(u32, u32)> {
        let counts = || self.hits().map(|hit| hit.data_connections);
        let (first, last) = (counts().min()?, counts().max()?);
        Some((last - first + 1, last))
    }

    fn hits(&self) -> impl Iterator<Item = &Hit> {
        self.0.iter().flat_map(|sighting| sighting.hits.values())
    }
}

impl Sighting {
    /// Looks at an entry that may count for `step`.
    fn see(&mut self, step: &Step, scene: &Scene<'_>) {
        match step {
            Step::Sessions { count, at_once } => return self.see_sessions(*count as usize, *at_once, scene),
            Step::ByHand {} => return self.see_hand(scene),
            Step::Download { files, only: true, .. } => self.see_others(files, scene),
            Step::Delete { keep, .. } => self.is_spoilt |= deleted(scene).is_some_and(|path| keep.contains(path)),
            _ => {}
        }
        if self.is_spoilt {
            self.hits.clear();
            return;
        }
        let Some(name) = matched(step, scene) else { return };
        self.hits.insert(name, scene.hit());
        let (wanted, within) = match step {
            Step::Download { files, within, .. } | Step::Upload { files, within, .. } => (files.len(), *within),
            Step::Delete { files, .. } => (files.len(), None),
            _ => (1, None),
        };
        let times = || self.hits.values().map(|hit| hit.entry.time);
        let took = times().max().zip(times().min()).map_or(0, |(last, first)| (last - first).num_seconds());
        self.is_complete = self.hits.len() == wanted && within.is_none_or(|within| took <= i64::from(within));
    }

    fn see_sessions(&mut self, count: usize, at_once: bool, scene: &Scene<'_>) {
        if !matches!(scene.seen, Observation::Login { .. }) {
            return;
        }
        if at_once {
            self.hits.clear();
            for session in scene.sessions.open() {
                let hit = Hit { entry: Arc::clone(&session.login), data_connections: 0 };
                self.hits.insert(key(&session.login), hit);
            }
        } else {
            self.hits.insert(key(scene.entry), scene.hit());
        }
        self.is_complete = self.hits.len() >= count;
    }

    fn see_hand(&mut self, scene: &Scene<'_>) {
        let Observation::Transfer { verb, outcome: TransferOutcome::Complete, .. } = scene.seen else { return };
        let Some(session) = scene.session.filter(|session| !session.is_a_program && is_listing(verb)) else { return };
        let (Some(offer), Some(data)) = (&session.offer, &session.data) else { return };
        let moments = [&session.login, offer, &data.entry];
        let is_typed = moments.windows(2).all(|two| (two[1].time - two[0].time).num_milliseconds() >= TYPING);
        if is_typed && data.mode == Mode::Passive {
            for entry in [offer, &data.entry, scene.entry] {
                self.hits.insert(key(entry), Hit { entry: Arc::clone(entry), ..scene.hit() });
            }
            self.is_complete = true;
        }
    }

    /// Starts over where something else than `files` comes from their directories.
    fn see_others(&mut self, files: &BTreeSet<String>, scene: &Scene<'_>) {
        let Observation::Transfer { verb, path, .. } = scene.seen else { return };
        let is_beside = |directory: &str| files.iter().any(|file| parent(file) == directory);
        if is_listing(verb) {
            self.is_spoilt &= !is_beside(path) && !is_beside(parent(path));
        } else if verb == "RETR" && !files.contains(path) && is_beside(parent(path)) {
            self.is_spoilt = true;
        }
    }
}

impl Scene<'_> {
    fn hit(&self) -> Hit {
        let data_connections = self.session.map_or(0, |session| session.data_connections);
        Hit { entry: Arc::clone(self.entry), data_connections }
    }

    fn mode_is(&self, wanted: &Option<Mode>) -> bool {
        let mode = self.session.and_then(|session| session.data.as_ref()).map(|data| data.mode);
        wanted.is_none() || *wanted == mode
    }
}

/// What of `step` this entry is, by the name of a file where there are several.
fn matched(step: &Step, scene: &Scene<'_>) -> Option<String> {
    let is_it = match (step, scene.seen) {
        (Step::Login { refused: true, .. }, Observation::Refused { .. }) => true,
        (
            Step::Login { refused: false, tls, family, ftp_exe },
            Observation::Login { client, tls: by_tls, ftp_exe: by_it, .. },
        ) => {
            let own = if client.is_ipv4() { Family::IPv4 } else { Family::IPv6 };
            (!tls || *by_tls) && (!ftp_exe || *by_it) && family.is_none_or(|family| family == own)
        }
        (
            Step::List { path, mode },
            Observation::Transfer { verb, path: listed, outcome: TransferOutcome::Complete, .. },
        ) => {
            let is_there = |path: &String| path == listed || is_pattern(listed) && path == parent(listed);
            is_listing(verb) && path.as_ref().is_none_or(is_there) && scene.mode_is(mode)
        }
        (
            Step::Download { files, r#type, mode, broken, resumed, .. },
            Observation::Transfer { verb, path, r#type: of, bytes, outcome, .. },
        ) => {
            let is_cut = matches!(
                outcome,
                TransferOutcome::Aborted | TransferOutcome::ConnectionLost | TransferOutcome::ControlLost
            );
            let went = if *broken { is_cut && *bytes > 0 } else { *outcome == TransferOutcome::Complete };
            let from = scene.session.is_some_and(|session| session.resumed_from > 0);
            let fits = verb == "RETR" && files.contains(path) && went && (!resumed || from);
            // What begins in the middle is no whole download.
            let is_whole = *resumed || *broken || !from;
            return (fits && is_whole && type_is(*r#type, *of) && scene.mode_is(mode)).then(|| path.clone());
        }
        (
            Step::Upload { files, copy_of, r#type, mode, .. },
            Observation::Transfer { verb, path, r#type: of, bytes, sha256, outcome: TransferOutcome::Complete, .. },
        ) => {
            let path = first_version(path);
            let fits = is_upload(verb) && *bytes > 0 && files.contains(&path);
            if !fits || !type_is(*r#type, *of) || !scene.mode_is(mode) {
                return None;
            }
            let is_equal =
                |folder: &String| (scene.given)(folder, name_of(&path)).is_some_and(|it| Some(it) == *sha256);
            return copy_of.as_ref().is_none_or(is_equal).then_some(path);
        }
        (Step::Delete { files, .. }, _) => {
            return deleted(scene).filter(|path| files.contains(*path)).map(str::to_owned);
        }
        (Step::Command { verb, path, to, exact }, Observation::Command { verb: sent, argument, to: new, code }) => {
            let is_verb = if *exact { verb == sent } else { alike(verb) == alike(sent) };
            let is_about = path.as_ref().is_none_or(|path| path == argument);
            is_verb && (200..400).contains(code) && is_about && (to.is_none() || to == new)
        }
        (Step::Refused { verbs, path, codes }, Observation::Command { verb: sent, argument, code, .. }) => {
            let is_verb = verbs.iter().any(|verb| alike(verb) == alike(sent));
            let is_code = match codes {
                Some(codes) => codes.contains(code),
                None => (400..600).contains(code),
            };
            is_verb && is_code && path.as_ref().is_none_or(|path| argument == path || is_below(argument, path))
        }
        (Step::Data { mode, failed: false }, Observation::DataOpened { mode: of, .. })
        | (Step::Data { mode, failed: true }, Observation::DataFailed { mode: of, .. }) => mode == of,
        (Step::Offer { verb, exact }, Observation::Offered { verb: sent, .. }) => {
            let is_active = |verb: &str| matches!(verb, "PORT" | "EPRT");
            if *exact { verb == sent } else { is_active(verb) == is_active(sent) }
        }
        _ => false,
    };
    is_it.then(String::new)
}

/// The path that this entry deleted.
fn deleted<'a>(scene: &Scene<'a>) -> Option<&'a str> {
    match scene.seen {
        Observation::Command { verb, argument, code: 200..300, .. } if verb == "DELE" => Some(argument),
        _ => None,
    }
}

/// Entries by their number.
fn key(entry: &Entry) -> String {
    format!("{:020}", entry.number)
}

fn type_is(wanted: Option<Type>, found: Type) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// The verb that another one stands for.
fn alike(verb: &str) -> &str {
    match verb {
        "XPWD" => "PWD",
        "XMKD" => "MKD",
        "XRMD" => "RMD",
        "XCWD" | "CDUP" | "XCUP" => "CWD",
        "EPRT" => "PORT",
        "EPSV" => "PASV",
        "NLST" | "MLSD" => "LIST",
        verb => verb,
    }
}

pub(super) fn is_listing(verb: &str) -> bool {
    matches!(verb, "LIST" | "NLST" | "MLSD")
}

pub(super) fn is_upload(verb: &str) -> bool {
    matches!(verb, "STOR" | "STOU" | "APPE")
}

/// The side that a task asks for, as it is answered.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn is_pattern(path: &str) -> bool {
    name_of(path).contains(['*', '?', '['])
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/') || directory == "/")
}

pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The directory of a path.
fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// What was handed in as `/handin/report (2).txt` was sent as `/handin/report.txt`.
fn first_version(path: &str) -> String {
    let version = || {
        let path = path.strip_prefix("/handin/").map(|_| path)?;
        let (before, rest) = path.rsplit_once(" (")?;
        let (number, after) = rest.split_once(')')?;
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let is_end = after.is_empty() || after.starts_with('.');
        (is_number && is_end).then(|| format!("{before}{after}"))
    };
    version().unwrap_or_else(|| path.to_owned())
}
