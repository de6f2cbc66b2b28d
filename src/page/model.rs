//! What the page knows of the sessions: it follows the events, and asks the table of live sessions for what no event
//! tells, such as the bytes so far.
//!
//! Data connections in a class last milliseconds. So what has ended stays for as long as the kernel would remember it,
//! and a session has one row for its data connection, which goes through LISTEN, ESTABLISHED and TIME_WAIT in its place.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::row::{Kind, Row, RowId, State, milliseconds, remembers_control, remembers_data};
use crate::sessions::{Connection, ConnectionKind, Event, LoginOutcome, Mode, Side, What};

/// For how long Linux keeps a connection in TIME_WAIT (TCP_TIMEWAIT_LEN), and the page what has ended.
pub(super) const TIME_WAIT: Duration = Duration::from_secs(60);

/// Sessions that are shown; those beyond are only counted.
pub(super) const SESSIONS: usize = 2_000;

/// Events that are kept of each session for its ladder.
pub(super) const STEPS: usize = 60;

/// Events that are kept for all ladders; behind that the sessions with the oldest rows lose theirs.
const ALL_STEPS: usize = 40_000;

/// Characters of a path or an argument that are kept.
const SHORT: usize = 256;

/// Ranges of 1,024 ports in which client ports are counted: IANA's borders are borders of these.
pub(super) const BINS: usize = 64;

/// The sessions.
#[derive(Debug)]
pub(super) struct Model {
    sessions: BTreeMap<u64, Session>,
    /// Rows that may have changed since they were last taken.
    touched: BTreeSet<RowId>,
    /// The places of the table, each with its session.
    places: Vec<Option<u64>>,
    /// Where a session may take the place of one that has ended: those of its address.
    ended: HashMap<IpAddr, VecDeque<u64>>,
    steps: usize,
    left_out: BTreeSet<u64>,
    /// How many client ports were seen in each range since the start, control and data.
    pub client_ports: [u32; BINS],
}

impl Default for Model {
    fn default() -> Self {
        Self {
            sessions: BTreeMap::new(),
            touched: BTreeSet::new(),
            places: Vec::new(),
            ended: HashMap::new(),
            steps: 0,
            left_out: BTreeSet::new(),
            client_ports: [0; BINS],
        }
    }
}

#[derive(Debug)]
struct Session {
    control: Row,
    data: Option<Row>,
    steps: VecDeque<Arc<Event>>,
}

impl Model {
    /// Takes over what has just happened.
    pub fn follow(&mut self, event: &Arc<Event>) {
        let now = milliseconds(event.time);
        if let What::SessionOpened { tls, .. } = event.what {
            self.open(event.session, event.ends.server, event.ends.client, tls, now);
        }
        let Some(session) = self.sessions.get_mut(&event.session) else {
            if matches!(event.what, What::SessionClosed { .. }) {
                self.left_out.remove(&event.session);
            }
            return;
        };
        let was_open = session.control.is_open();
        session.follow(event, now);
        session.steps.push_back(kept(event));
        self.steps += 1;
        if session.steps.len() > STEPS {
            session.steps.pop_front();
            self.steps -= 1;
        }
        session.control.steps += 1;
        self.touched.extend([(event.session, Kind::Control), (event.session, Kind::Data)]);
        match event.what {
            What::DataOpened { .. } => self.count_port(event.ends.client),
            What::SessionClosed { .. } if was_open => {
                self.ended.entry(event.ends.client.ip()).or_default().push_back(event.session);
            }
            _ => {}
        }
        if self.steps > ALL_STEPS {
            self.forget_steps();
        }
    }

    /// Takes over what the table of live sessions says and no event does. `missed` says that there were events which
    /// nobody has read: then it decides who is there at all.
    pub fn reconcile(&mut self, live: &[Connection], missed: bool, now: u64) {
        let mut listed: BTreeMap<u64, [Option<&Connection>; 3]> = BTreeMap::new();
        for connection in live {
            let place = match connection.kind {
                ConnectionKind::Listener => continue,
                ConnectionKind::Control => 0,
                ConnectionKind::Passive => 1,
                ConnectionKind::Data => 2,
            };
            if let Some(number) = connection.session {
                listed.entry(number).or_default()[place] = Some(connection);
            }
        }
        if missed {
            self.left_out.retain(|number| listed.contains_key(number));
            for (&number, connections) in &listed {
                if let ([Some(control), ..], false) = (connections, self.sessions.contains_key(&number))
                    && let Some(client) = control.foreign
                {
                    self.open(number, control.local, client, control.tls, now);
                }
            }
        }
        for (&number, session) in &mut self.sessions {
            if !session.control.is_open() {
                continue;
            }
            match listed.get(&number) {
                Some(connections) => session.compare(*connections, now),
                None if missed => {
                    session.end(now, None);
                    self.ended.entry(ip(&session.control)).or_default().push_back(number);
                }
                // Its last event is on its way.
                None => continue,
            }
            self.touched.extend([(number, Kind::Control), (number, Kind::Data)]);
        }
    }

    /// Ends every TIME_WAIT that is over, and forgets the sessions that have ended before that.
    pub fn expire(&mut self, now: u64) {
        let limit = u64::try_from(TIME_WAIT.as_millis()).unwrap_or(u64::MAX);
        let is_over = |row: &Row| row.ended.is_some_and(|ended| ended + limit <= now);
        let mut gone = Vec::new();
        for (&number, session) in &mut self.sessions {
            if is_over(&session.control) {
                gone.push(number);
            }
            if let Some(data) = &mut session.data
                && data.state == State::TimeWait
                && is_over(data)
            {
                data.state = State::Closed;
                self.touched.insert((number, Kind::Data));
            }
        }
        for number in gone {
            self.forget(number);
        }
    }

    /// The rows that may have changed since the last call, as they are now; `None` for those that are gone.
    pub fn take_touched(&mut self) -> Vec<(RowId, Option<&Row>)> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().map(|id| (id, self.row(id))).collect()
    }

    /// What has happened in a session, as far as it is kept.
    pub fn steps(&self, session: u64) -> Vec<Arc<Event>> {
        self.sessions.get(&session).map_or_else(Vec::new, |session| session.steps.iter().cloned().collect())
    }

    /// Sessions that are not shown.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }

    fn row(&self, (number, kind): RowId) -> Option<&Row> {
        let session = self.sessions.get(&number)?;
        match kind {
            Kind::Control => Some(&session.control),
            Kind::Data => session.data.as_ref(),
        }
    }

    fn open(&mut self, number: u64, server: SocketAddr, client: SocketAddr, tls: bool, now: u64) {
        if self.sessions.contains_key(&number) {
            return;
        }
        self.count_port(client);
        // Whoever connects again stays where the class has seen it last.
        let before = self.ended.get_mut(&client.ip()).and_then(VecDeque::pop_front);
        let place = before.and_then(|before| self.forget(before));
        let place = place.or_else(|| self.places.iter().position(Option::is_none));
        let place = match place {
            Some(place) => place,
            None if self.places.len() < SESSIONS => {
                self.places.push(None);
                self.places.len() - 1
            }
            None => {
                self.left_out.insert(number);
                return;
            }
        };
        self.places[place] = Some(number);
        let mut control = Row::new(number, Kind::Control, u32::try_from(place).unwrap_or(u32::MAX), server, now);
        (control.client, control.tls) = (Some(client), tls);
        self.sessions.insert(number, Session { control, data: None, steps: VecDeque::new() });
        self.touched.insert((number, Kind::Control));
    }

    /// Forgets a session and says which place is free now.
    fn forget(&mut self, number: u64) -> Option<usize> {
        let session = self.sessions.remove(&number)?;
        self.steps -= session.steps.len();
        self.touched.extend([(number, Kind::Control), (number, Kind::Data)]);
        let address = ip(&session.control);
        if let Some(ended) = self.ended.get_mut(&address) {
            ended.retain(|other| *other != number);
            if ended.is_empty() {
                self.ended.remove(&address);
            }
        }
        let place = session.control.place as usize;
        self.places[place] = None;
        Some(place)
    }

    fn forget_steps(&mut self) {
        for session in self.sessions.values_mut() {
            self.steps -= session.steps.len();
            session.steps.clear();
            if self.steps <= ALL_STEPS / 2 {
                break;
            }
        }
    }

    fn count_port(&mut self, client: SocketAddr) {
        let count = &mut self.client_ports[usize::from(client.port()) * BINS / 65_536];
        *count = count.saturating_add(1);
    }
}

impl Session {
    fn follow(&mut self, event: &Event, now: u64) {
        match &event.what {
            What::Login { user, outcome: LoginOutcome::Ok, .. } => {
                let user: Arc<str> = user.as_str().into();
                self.data.iter_mut().for_each(|data| data.user = Some(Arc::clone(&user)));
                self.control.user = Some(user);
            }
            What::TlsOpened { .. } if event.ends.client == self.control_client() => self.control.tls = true,
            What::TlsOpened { .. } => self.data.iter_mut().for_each(|data| data.tls = true),
            What::Command { verb, argument, code, .. } => {
                self.control.verb = (*verb).into();
                self.control.argument = short(argument);
                self.control.code = Some(*code).filter(|code| *code != 0);
                if let Some(data) = &mut self.data
                    && *data.verb == **verb
                {
                    data.code = self.control.code;
                }
            }
            What::DataOffered { verb: "PASV" | "EPSV", port, .. } => {
                let data = self.new_data(SocketAddr::new(event.ends.server.ip(), *port), now);
                (data.state, data.mode) = (State::Listen, Some(Mode::Passive));
            }
            What::DataOpened { mode, verb, path, .. } => {
                let data = self.new_data(event.ends.server, now);
                (data.client, data.mode) = (Some(event.ends.client), Some(*mode));
                (data.verb, data.argument, data.code) = ((*verb).into(), short(path), Some(150));
            }
            What::DataFailed { .. } => self.data.iter_mut().filter(|data| data.is_open()).for_each(|data| {
                data.end(now, None);
            }),
            What::Transfer { verb, path, bytes, outcome, closed_first, .. } => {
                if let Some(data) = &mut self.data {
                    (data.verb, data.argument, data.bytes) = ((*verb).into(), short(path), Some(*bytes));
                    data.end(now, remembers_data(verb, *outcome, *closed_first));
                }
            }
            What::SessionClosed { reason, .. } => self.end(now, remembers_control(*reason)),
            _ => {}
        }
    }

    /// A session that the table lists: `[control, passive, data]`.
    fn compare(&mut self, [control, passive, data]: [Option<&Connection>; 3], now: u64) {
        if let Some(control) = control {
            let row = &mut self.control;
            row.tls = control.tls;
            set(&mut row.verb, control.verb.as_deref());
            set(&mut row.argument, control.argument.as_deref());
            row.code = control.code.filter(|code| *code != 0);
            if row.user.as_deref() != control.user.as_deref() {
                row.user = control.user.as_deref().map(Arc::from);
                let user = row.user.clone();
                self.data.iter_mut().for_each(|data| data.user.clone_from(&user));
            }
        }
        if let (Some(row), Some(data)) = (&mut self.data, data)
            && row.state == State::Established
            && row.client == data.foreign
        {
            set(&mut row.verb, data.verb.as_deref());
            set(&mut row.argument, data.argument.as_deref());
            (row.bytes, row.code, row.tls) = (data.bytes, self.control.code, data.tls);
        }
        // What became of it was among the events that nobody has read, or it was offered in vain.
        if let Some(row) = &mut self.data
            && row.is_open()
            && passive.is_none()
            && data.is_none()
        {
            row.end(now, None);
        }
    }

    fn end(&mut self, now: u64, closed_first: Option<Side>) {
        self.control.end(now, closed_first);
        self.data.iter_mut().filter(|data| data.is_open()).for_each(|data| data.end(now, None));
    }

    /// The row of the next data connection, in the place of the last one.
    fn new_data(&mut self, server: SocketAddr, now: u64) -> &mut Row {
        let Row { session, place, .. } = self.control;
        let user = self.control.user.clone();
        self.data.insert(Row { user, ..Row::new(session, Kind::Data, place, server, now) })
    }

    fn control_client(&self) -> SocketAddr {
        self.control.client.unwrap_or(self.control.server)
    }
}

fn ip(control: &Row) -> IpAddr {
    control.client.unwrap_or(control.server).ip()
}

/// Replaces a text only by another one.
fn set(text: &mut Arc<str>, new: Option<&str>) {
    let new = new.unwrap_or_default();
    if **text != *new {
        *text = new.into();
    }
}

/// An event as it is kept: clients may send lines of 4 KiB, and 40,000 of these would be too much.
fn kept(event: &Event) -> Arc<Event> {
    let mut event = event.clone();
    if let What::Command { argument: text, .. }
    | What::DataOpened { path: text, .. }
    | What::Transfer { path: text, .. }
    | What::TlsFailed { reason: text }
    | What::DataFailed { reason: text, .. } = &mut event.what
        && text.len() > SHORT
    {
        *text = short(text).to_string();
    }
    Arc::new(event)
}

/// The table of live sessions keeps as much of it.
fn short(text: &str) -> Arc<str> {
    text.char_indices().nth(SHORT).map_or(text, |(end, _)| &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::sessions::{CloseReason, ConnectionState, Ends, Family, TransferOutcome};

    const SERVER: &str = "192.0.2.1:21";

    fn ends(client: &str, server: &str) -> Ends {
        Ends { client: client.parse().unwrap(), server: server.parse().unwrap() }
    }

    fn event(session: u64, seconds: u64, ends: Ends, what: What) -> Arc<Event> {
        Arc::new(Event { time: UNIX_EPOCH + Duration::from_secs(seconds), session, ends, what })
    }

    fn opened(model: &mut Model, session: u64, seconds: u64, client: &str) {
        let listener = "0.0.0.0:21".parse().unwrap();
        let what = What::SessionOpened { listener, family: Family::IPv4, tls: false };
        model.follow(&event(session, seconds, ends(client, SERVER), what));
    }

    fn closed(model: &mut Model, session: u64, seconds: u64, client: &str) {
        let duration = Duration::ZERO;
        let reason = CloseReason::Quit;
        let what = What::SessionClosed { reason, transfers: 0, bytes_sent: 0, bytes_received: 0, duration };
        model.follow(&event(session, seconds, ends(client, SERVER), what));
    }

    fn places(model: &Model) -> Vec<(u64, u32)> {
        model.sessions.iter().map(|(&number, session)| (number, session.control.place)).collect()
    }

    #[test]
    fn a_data_connection_goes_through_netstat_s_states_in_one_row() {
        let mut model = Model::default();
        let client = "192.0.2.7:51312";
        opened(&mut model, 1, 0, client);
        let offered = What::DataOffered {
            verb: "PASV",
            address: "192.0.2.1".parse().unwrap(),
            port: 61_000,
            port_class: crate::ports::PortClass::Dynamic,
            numbers: String::new(),
        };
        model.follow(&event(1, 1, ends(client, SERVER), offered));
        let row = |model: &Model| model.row((1, Kind::Data)).unwrap().clone();
        assert_eq!((row(&model).state, row(&model).client), (State::Listen, None));
        let data = ends("192.0.2.7:51313", "192.0.2.1:61000");
        let (mode, opened_by, waited) = (Mode::Passive, Side::Client, Duration::ZERO);
        let (verb, path) = ("RETR", "/a".to_owned());
        model.follow(&event(1, 2, data, What::DataOpened { mode, opened_by, waited, verb, path: path.clone() }));
        assert_eq!((row(&model).state, row(&model).client), (State::Established, Some(data.client)));
        let (outcome, closed_first, duration) = (TransferOutcome::Complete, Side::Server, Duration::ZERO);
        let r#type = 'I';
        let transfer = What::Transfer { verb, path, r#type, bytes: 5, sha256: None, outcome, closed_first, duration };
        model.follow(&event(1, 3, data, transfer));
        assert_eq!((row(&model).state, row(&model).bytes), (State::TimeWait, Some(5)));
        model.expire(62_999);
        assert_eq!(row(&model).state, State::TimeWait);
        model.expire(63_000);
        assert_eq!(row(&model).state, State::Closed);
        assert_eq!(model.client_ports[50], 2, "51312 and 51313 lie in 51200-52223");
    }

    #[test]
    fn sessions_keep_their_places_and_who_comes_back_gets_the_old_one() {
        let mut model = Model::default();
        for (session, client) in [(1, "192.0.2.7:1001"), (2, "192.0.2.8:1001"), (3, "192.0.2.9:1001")] {
            opened(&mut model, session, 0, client);
        }
        closed(&mut model, 1, 1, "192.0.2.7:1001");
        closed(&mut model, 2, 1, "192.0.2.8:1001");
        opened(&mut model, 4, 2, "192.0.2.8:1002");
        assert_eq!(places(&model), [(1, 0), (3, 2), (4, 1)]);
        opened(&mut model, 5, 3, "192.0.2.6:1001");
        assert_eq!(places(&model).last(), Some(&(5, 3)), "what has ended a moment ago is still shown");
        model.expire(61_000);
        opened(&mut model, 6, 61, "192.0.2.5:1001");
        assert_eq!(places(&model).last(), Some(&(6, 0)));
        assert!(model.ended.is_empty());
    }

    #[test]
    fn what_was_missed_is_taken_from_the_table() {
        let mut model = Model::default();
        opened(&mut model, 1, 0, "192.0.2.7:1001");
        opened(&mut model, 2, 0, "192.0.2.8:1001");
        let control = |session: u64, client: &str| Connection {
            session: Some(session),
            user: Some("ann".to_owned()),
            state: ConnectionState::Established,
            foreign: Some(client.parse().unwrap()),
            ..Connection::listening(ConnectionKind::Control, SERVER.parse().unwrap())
        };
        let live = [control(2, "192.0.2.8:1001"), control(3, "192.0.2.9:1001")];
        model.reconcile(&live, false, 5);
        assert_eq!(model.sessions.len(), 2, "the event of the third is on its way");
        assert_eq!(model.row((2, Kind::Control)).unwrap().user.as_deref(), Some("ann"));
        model.reconcile(&live, true, 5);
        let states = [1, 2, 3].map(|session| model.row((session, Kind::Control)).unwrap().state);
        assert_eq!(states, [State::Closed, State::Established, State::Established]);
        // The event that says it again changes nothing.
        opened(&mut model, 3, 6, "192.0.2.9:1001");
        closed(&mut model, 1, 6, "192.0.2.7:1001");
        assert_eq!(places(&model), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(model.ended.values().map(VecDeque::len).sum::<usize>(), 1);
    }

    #[test]
    fn so_many_sessions_and_steps_are_kept_and_no_more() {
        let mut model = Model::default();
        let client = |session: u64| format!("10.0.{}.{}:1001", session / 250, session % 250 + 1);
        let sessions = u64::try_from(SESSIONS).unwrap();
        for session in 1..=sessions + 3 {
            opened(&mut model, session, 0, &client(session));
        }
        assert_eq!((model.sessions.len(), model.left_out()), (SESSIONS, 3));
        let command = |model: &mut Model, session: u64| {
            let what = What::Command { verb: "NOOP", argument: String::new(), code: 200, duration: Duration::ZERO };
            model.follow(&event(session, 1, ends(&client(session), SERVER), what));
        };
        (0..2 * STEPS).for_each(|_| command(&mut model, 1));
        assert_eq!(model.steps(1).len(), STEPS);
        let long = What::Command { verb: "CWD", argument: "é".repeat(2_000), code: 550, duration: Duration::ZERO };
        model.follow(&event(1, 1, ends(&client(1), SERVER), long));
        let steps = model.steps(1);
        let What::Command { argument, .. } = &steps.last().unwrap().what else { panic!() };
        assert_eq!(argument.chars().count(), SHORT);
        for session in 1..=sessions {
            (0..STEPS).for_each(|_| command(&mut model, session));
        }
        let kept: usize = model.sessions.values().map(|session| session.steps.len()).sum();
        assert_eq!(kept, model.steps);
        assert!(kept <= ALL_STEPS, "{kept}");
        assert_eq!(model.steps(sessions).len(), STEPS, "the newest are there");
        closed(&mut model, sessions + 1, 2, &client(sessions + 1));
        assert_eq!(model.left_out(), 2);
    }
}
