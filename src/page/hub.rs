//! The hub: it follows the sessions, works out four times a second what has changed, and tells every face at once.
//!
//! Whoever looks gets a snapshot first and then the changes. The changes are one broadcast that holds [`HELD`]: a reader
//! that falls further behind gets a fresh snapshot, and nobody waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;
use super::history::History;
use super::model::{BINS, Model};
use super::row::{Kind, Row, RowId, milliseconds};
use super::view::{Face, Names, Rules, Switches, id};
use crate::ports::Ephemeral;
use crate::server::Server;

/// How often changes are told.
const TICK: Duration = Duration::from_millis(250);

/// Changes that are kept for a slow reader: eight seconds' worth.
pub(super) const HELD: usize = 32;

/// The table's rows as they were told last.
pub(super) type Rows = BTreeMap<RowId, Arc<Row>>;

/// The hub of one page.
pub(super) struct Hub {
    server: Server,
    names: Arc<Names>,
    /// The range of the server's own kernel.
    kernel_range: [u16; 2],
    state: Mutex<Hubbed>,
    changes: broadcast::Sender<Arc<Change>>,
}

struct Hubbed {
    model: Model,
    /// The number of the last change.
    number: u64,
    rows: Rows,
    facts: Arc<Facts>,
    histogram: Arc<[u32; BINS]>,
    board: Option<Arc<Board>>,
    rules: Arc<Rules>,
    history: History,
}

/// What is true of the server as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Facts {
    listeners: Vec<String>,
    passive_range: [u16; 2],
    passive_used: usize,
    passive_all: usize,
    kernel_range: [u16; 2],
    left_out: usize,
    switches: Switches,
}

/// What has changed at one moment.
pub(super) struct Change {
    pub number: u64,
    /// Everything may be another than before: a snapshot says it.
    pub afresh: bool,
    now: u64,
    news: News,
    rules: Arc<Rules>,
    /// The same for all who look at these faces, so written once.
    projector: OnceLock<Option<Arc<str>>>,
    teacher: OnceLock<Option<Arc<str>>>,
}

#[derive(Default)]
struct News {
    rows: Vec<Arc<Row>>,
    gone: Vec<RowId>,
    /// Rows that are somebody else's now, and so gone for a student.
    handed_on: Vec<RowId>,
    facts: Option<Arc<Facts>>,
    histogram: Option<Arc<[u32; BINS]>>,
    board: Option<Arc<Board>>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("readers", &self.changes.receiver_count()).finish_non_exhaustive()
    }
}

impl Hub {
    pub fn new(server: &Server, names: Arc<Names>, switches: Switches) -> Self {
        let rules = Arc::new(Rules { switches, names: Arc::clone(&names) });
        let kernel = Ephemeral::now().range;
        let kernel_range = [*kernel.start(), *kernel.end()];
        let state = Hubbed {
            model: Model::default(),
            number: 0,
            rows: Rows::new(),
            facts: Arc::new(Facts::of(server, kernel_range, 0, switches)),
            histogram: Arc::new([0; BINS]),
            board: None,
            rules,
            history: History::default(),
        };
        Self {
            server: server.clone(),
            names,
            kernel_range,
            state: Mutex::new(state),
            changes: broadcast::Sender::new(HELD),
        }
    }

    /// Follows the events for as long as it is polled.
    pub async fn follow(&self) {
        let mut events = self.server.events().subscribe();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What there was before anybody listened.
        let mut missed = true;
        loop {
            ticks.tick().await;
            // The table is newer than the events that wait: they come first. Those of a busy moment have an end.
            for _ in 0..=events.len() {
                match events.try_recv() {
                    Ok(event) => self.state().model.follow(&event),
                    Err(TryRecvError::Lagged(_)) => missed = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            self.tell(std::mem::take(&mut missed));
        }
    }

    /// Tells what has changed, if anything has.
    fn tell(&self, missed: bool) {
        let live = self.server.connections();
        let now = milliseconds(SystemTime::now());
        let mut state = self.state();
        let Hubbed { model, rows, .. } = &mut *state;
        model.reconcile(&live, missed, now);
        model.expire(now);
        let mut news = News::default();
        for (id, row) in model.take_touched() {
            let before = rows.get(&id);
            match row {
                Some(row) if before.is_some_and(|before| **before == *row) => {}
                Some(row) => {
                    if before.is_some_and(|before| before.user.is_some() && before.user != row.user) {
                        news.handed_on.push(id);
                    }
                    let row = Arc::new(row.clone());
                    rows.insert(id, Arc::clone(&row));
                    news.rows.push(row);
                }
                None if rows.remove(&id).is_some() => news.gone.push(id),
                None => {}
            }
        }
        let facts = Facts::of(&self.server, self.kernel_range, state.model.left_out(), state.rules.switches);
        if *state.facts != facts {
            state.facts = Arc::new(facts);
            news.facts = Some(Arc::clone(&state.facts));
        }
        if *state.histogram != state.model.client_ports {
            state.histogram = Arc::new(state.model.client_ports);
            news.histogram = Some(Arc::clone(&state.histogram));
        }
        if !news.is_empty() {
            state.history.push(now, &news.rows, &news.gone);
            self.send(&mut state, now, false, news);
        }
    }

    /// Tells how the class stands.
    pub fn tell_board(&self, board: Arc<Board>) {
        let mut state = self.state();
        state.board = Some(Arc::clone(&board));
        let news = News { board: Some(board), ..News::default() };
        self.send(&mut state, milliseconds(SystemTime::now()), false, news);
    }

    /// Other switches from now on.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        let mut state = self.state();
        let mut switches = state.rules.switches;
        change(&mut switches);
        if switches == state.rules.switches {
            return;
        }
        state.rules = Arc::new(Rules { switches, names: Arc::clone(&self.names) });
        state.facts = Arc::new(Facts { switches, ..(*state.facts).clone() });
        self.send(&mut state, milliseconds(SystemTime::now()), true, News::default());
    }

    fn send(&self, state: &mut Hubbed, now: u64, afresh: bool, news: News) {
        state.number += 1;
        // An error only says that nobody looks.
        let _ = self.changes.send(Arc::new(state.change(now, afresh, news)));
    }

    /// All changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }

    /// Everything as `face` sees it now, and the number of the last change that is in it.
    pub fn snapshot(&self, face: &Face) -> (u64, String) {
        let change = {
            let state = self.state();
            let news = News {
                rows: state.rows.values().cloned().collect(),
                facts: Some(Arc::clone(&state.facts)),
                histogram: Some(Arc::clone(&state.histogram)),
                board: state.board.clone(),
                ..News::default()
            };
            state.change(milliseconds(SystemTime::now()), true, news)
        };
        (change.number, change.write(face).unwrap_or_default())
    }

    /// The last minutes as `face` sees them: what there was at their beginning, and the changes since.
    pub fn replay(&self, face: &Face) -> String {
        let (history, rules) = {
            let state = self.state();
            (state.history.clone(), Arc::clone(&state.rules))
        };
        history.write(face, &rules)
    }

    /// The table's rows as they are now, and the rules for them.
    pub fn rows(&self) -> (Rows, Arc<Facts>, Arc<Rules>) {
        let state = self.state();
        (state.rows.clone(), Arc::clone(&state.facts), Arc::clone(&state.rules))
    }

    /// A session's events as `face` sees them; `None` where it sees no such session, and in an exam none at all.
    pub fn ladder(&self, face: &Face, session: u64) -> Option<Vec<Value>> {
        let (steps, rules) = {
            let state = self.state();
            let control = state.rows.get(&(session, Kind::Control))?;
            if !face.sees(control.user.as_deref()) || state.rules.hides_ports(face) {
                return None;
            }
            (state.model.steps(session), Arc::clone(&state.rules))
        };
        Some(steps.iter().map(|event| rules.step(face, event)).collect())
    }

    fn state(&self) -> MutexGuard<'_, Hubbed> {
        // What is locked here is only shown: a half-made change is mended by the next.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hubbed {
    fn change(&self, now: u64, afresh: bool, news: News) -> Change {
        let (number, rules) = (self.number, Arc::clone(&self.rules));
        Change { number, afresh, now, news, rules, projector: OnceLock::new(), teacher: OnceLock::new() }
    }
}

impl News {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.gone.is_empty() && self.facts.is_none() && self.histogram.is_none()
    }
}

impl Facts {
    /// Where control connections arrive.
    pub fn listeners(&self) -> &[String] {
        &self.listeners
    }

    /// Sessions that are not shown.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    fn of(server: &Server, kernel_range: [u16; 2], left_out: usize, switches: Switches) -> Self {
        let settings = server.settings();
        let passive = &settings.server.passive_ports;
        let (passive_used, passive_all) = server.passive_ports();
        Self {
            listeners: server.addresses().iter().map(ToString::to_string).collect(),
            passive_range: [*passive.start(), *passive.end()],
            passive_used,
            passive_all,
            kernel_range,
            left_out,
            switches,
        }
    }
}

impl Change {
    /// It as `face` sees it; `None` where there is nothing to see.
    pub fn text(&self, face: &Face) -> Option<Arc<str>> {
        let written = || self.write(face).map(Arc::from);
        match face {
            Face::Projector => self.projector.get_or_init(written).clone(),
            Face::Teacher => self.teacher.get_or_init(written).clone(),
            Face::Student(_) => written(),
        }
    }

    fn write(&self, face: &Face) -> Option<String> {
        let News { rows, gone, handed_on, facts, histogram, board } = &self.news;
        let rows: Vec<String> = rows.iter().filter_map(|row| self.rules.row(face, row)).collect();
        let is_student = matches!(face, Face::Student(_));
        let handed_on = handed_on.iter().filter(|_| is_student);
        // That others go is nothing new to a student's page, and does no harm.
        let gone: Vec<String> = gone.iter().chain(handed_on).map(|&row| format!("\"{}\"", id(row))).collect();
        let board = board.as_ref().and_then(|board| board.write(face, self.rules.switches, self.afresh));
        let has_facts = !is_student && (facts.is_some() || histogram.is_some());
        if rows.is_empty() && gone.is_empty() && board.is_none() && !has_facts && !self.afresh {
            return None;
        }
        let mut text = format!("{{\"now\":{},\"afresh\":{},\"rows\":[{}]", self.now, self.afresh, rows.join(","));
        text += &format!(",\"gone\":[{}]", gone.join(","));
        // Numbers and strings always become JSON.
        if let Some(Ok(facts)) = facts.as_ref().map(|facts| serde_json::to_string(&**facts)) {
            text += &format!(",\"facts\":{facts}");
        }
        if let (Some(counts), false) = (histogram, is_student || self.rules.hides_ports(face)) {
            text += &format!(",\"histogram\":{:?}", &counts[..]);
        }
        if let Some(board) = board {
            text += &format!(",\"board\":{board}");
        }
        text.push('}');
        Some(text)
    }
}
