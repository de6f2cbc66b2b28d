//! The two logs: diagnostics on standard error, and the session log, a reader of the events.
//!
//! Both go through `tracing`. The session log has a target and a layer of its own that writes a line as it is: a text
//! of [`Event`]'s `Display`, or one JSON object. Where standard error is systemd's journal, texts go there with fields.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, field};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as format, reload};

use super::Event;
use super::gathered::{Gathered, Next};
use crate::server::Part;
use crate::settings::{Faults, LogFormat, LogLevel, LogSettings};

/// The `tracing` target of the session log. A filter takes targets by how they begin, so none of ours begins like a module.
const SESSION: &str = "longshore::log::session";

/// The target of the session log's events in the journal.
const JOURNAL: &str = "longshore::log::journal";

/// How long one line may take at the end.
const LINE_LIMIT: Duration = Duration::from_secs(1);

/// The session log, ready to be written.
#[derive(Debug)]
pub struct SessionLog {
    sink: Sink,
    form: Arc<Mutex<Form>>,
}

/// How the session log's lines look, and where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    /// To the journal, with fields.
    Journal,
}

impl Form {
    /// That of the diagnostics.
    fn of(settings: &LogSettings, in_journal: bool) -> Self {
        match settings.format {
            LogFormat::Json => Self::Json,
            LogFormat::Text if in_journal => Self::Journal,
            LogFormat::Text => Self::Text,
        }
    }

    /// That of the session log, which may have a file of its own.
    fn of_sessions(settings: &LogSettings, in_journal: bool) -> Self {
        Self::of(settings, in_journal && settings.sessions.is_none())
    }
}

/// Opens the session log and sets up `tracing` for the process. Call it once; it fails when the session log's file
/// cannot be opened. The part has both logs follow reloads, which open the file anew even where nothing has changed: a
/// program such as logrotate may have moved it away.
pub fn init(settings: &LogSettings) -> io::Result<(SessionLog, Part)> {
    let sink = Sink::new(Output::open(settings.sessions.as_deref())?);
    let in_journal = is_in_journal();
    let form = Arc::new(Mutex::new(Form::of_sessions(settings, in_journal)));
    // The format of a layer is part of its type, so there is one for each, and the other's filter lets nothing through.
    let (text_filter, text_handle) = reload::Layer::new(diagnostic_targets(settings, in_journal, Form::Text));
    let (json_filter, json_handle) = reload::Layer::new(diagnostic_targets(settings, in_journal, Form::Json));
    let (journal_filter, journal_handle) = reload::Layer::new(
        diagnostic_targets(settings, in_journal, Form::Journal).with_target(JOURNAL, LevelFilter::INFO),
    );
    // Where standard error is a terminal that was closed, nobody could be told of it: a log must not end the server.
    let diagnostics = || format::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    let text = diagnostics().with_target(false).with_filter(text_filter).boxed();
    let json = diagnostics().json().flatten_event(true).with_filter(json_filter).boxed();
    let lines = format::layer()
        .event_format(Line)
        .with_writer(sink.clone())
        .log_internal_errors(false)
        .with_filter(filter_fn(|metadata| metadata.target() == SESSION));
    let journal = in_journal.then(journal).transpose()?.map(|journal| journal.with_filter(journal_filter).boxed());
    // An error only says that the embedding program has set up `tracing` by itself.
    let _ = tracing_subscriber::registry().with(lines).with(vec![text, json]).with(journal).try_init();
    let log = SessionLog { sink: sink.clone(), form: Arc::clone(&form) };
    let part: Part = Box::new(move |settings| {
        let output = Output::open(settings.log.sessions.as_deref())
            .map_err(|error| Faults::one("log.sessions", format!("the session log cannot be opened: {error}")))?;
        let (sink, form, settings) = (sink.clone(), Arc::clone(&form), settings.log.clone());
        let (text_handle, json_handle, journal_handle) =
            (text_handle.clone(), json_handle.clone(), journal_handle.clone());
        Ok(Box::new(move || {
            sink.replace(output);
            *form.lock().unwrap_or_else(PoisonError::into_inner) = Form::of_sessions(&settings, in_journal);
            // An error only says, as above, that the layers are not in use.
            let targets = |form| diagnostic_targets(&settings, in_journal, form);
            let _ = text_handle.reload(targets(Form::Text));
            let _ = json_handle.reload(targets(Form::Json));
            let _ = journal_handle.reload(targets(Form::Journal).with_target(JOURNAL, LevelFilter::INFO));
        }))
    });
    Ok((log, part))
}

/// What is written in this format: nothing when the settings name the other one.
///
/// The engine's spans print whole contexts and cost 15-25 us a command, so they are off below `trace`.
fn diagnostic_targets(settings: &LogSettings, in_journal: bool, form: Form) -> Targets {
    if Form::of(settings, in_journal) != form {
        return Targets::new();
    }
    let level = match settings.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => {
            let all = Targets::new().with_default(LevelFilter::TRACE);
            return all.with_target(SESSION, LevelFilter::OFF).with_target(JOURNAL, LevelFilter::OFF);
        }
    };
    let ours = Targets::new().with_target("longshore", level);
    ours.with_target(SESSION, LevelFilter::OFF).with_target(JOURNAL, LevelFilter::OFF)
}

/// Whether systemd has connected standard error with its journal: it says which file that is (systemd.exec(5)).
fn is_in_journal() -> bool {
    let is_it = |stream: String| {
        let stat = rustix::fs::fstat(io::stderr()).ok()?;
        Some(stream == format!("{}:{}", stat.st_dev, stat.st_ino))
    };
    std::env::var("JOURNAL_STREAM").ok().and_then(is_it).unwrap_or(false)
}

/// The journal as a layer, with syslog's levels.
fn journal() -> io::Result<tracing_journald::Layer> {
    use tracing_journald::{Priority, PriorityMappings};
    let levels = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let layer = tracing_journald::layer()?.with_field_prefix(None).with_priority_mappings(levels);
    Ok(layer.with_syslog_identifier("longshore".to_owned()))
}

/// An event as an entry of the journal: `journalctl -t longshore CLIENT_PORT=51312` finds the session.
fn to_journal(event: &Event) {
    let details = serde_json::to_value(event).unwrap_or_default();
    let detail = |name: &str| match details.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    // The journal has the time already.
    let text = event.to_string();
    let text = text.split_once(' ').map_or(text.as_str(), |(_time, rest)| rest);
    let client = event.ends.client;
    let server = event.ends.server;
    tracing::info!(
        target: JOURNAL,
        event = event.what.name(),
        session = event.session,
        user = detail("user"),
        client_addr = %client.ip(),
        client_port = client.port(),
        client_port_class = detail("client_port_class"),
        server_addr = %server.ip(),
        server_port = server.port(),
        server_port_class = detail("server_port_class"),
        verb = detail("verb"),
        argument = detail("argument"),
        code = detail("code"),
        path = detail("path"),
        bytes = detail("bytes"),
        outcome = detail("outcome"),
        mode = detail("mode"),
        reason = detail("reason"),
        "{text}"
    );
}

impl SessionLog {
    /// Writes the events on a thread of its own until the last session and the server are gone.
    pub fn follow(self, events: Receiver<Arc<Event>>) -> io::Result<Following> {
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let follow = move || {
            let mut events = Gathered::from(events);
            // Whenever there is nothing more to write for now, what is written goes out.
            while let Some(next) = events.next(|| self.sink.flush()) {
                match next {
                    Next::Event(event) => self.write(&event),
                    Next::Missed(missed) => {
                        tracing::error!(missed, "the session log is too slow for the traffic: events are not in it");
                    }
                }
                counter.fetch_add(1, Ordering::Relaxed);
            }
            self.sink.flush();
        };
        let thread = std::thread::Builder::new().name("session-log".to_owned()).spawn(follow)?;
        Ok(Following { thread, written })
    }

    fn write(&self, event: &Event) {
        let form = *self.form.lock().unwrap_or_else(PoisonError::into_inner);
        match form {
            Form::Journal => to_journal(event),
            Form::Text => tracing::info!(target: SESSION, "{event}"),
            Form::Json => match event.to_json() {
                Ok(json) => tracing::info!(target: SESSION, "{json}"),
                Err(error) => tracing::error!(%error, "an event has no JSON form"),
            },
        }
    }
}

/// The session log while it is written.
#[derive(Debug)]
pub struct Following {
    thread: JoinHandle<()>,
    written: Arc<AtomicU64>,
}

impl Following {
    /// Waits for the last line, as long as lines are taken: a reader of standard output may have stopped reading.
    pub async fn finish(self) {
        let mut end = spawn_blocking(|| self.thread.join());
        let mut written = None;
        while timeout(LINE_LIMIT, &mut end).await.is_err() {
            let now = Some(self.written.load(Ordering::Relaxed));
            if std::mem::replace(&mut written, now) == now {
                return tracing::error!("nobody takes the lines of the session log; its end is lost");
            }
        }
    }
}

/// Says once that a log cannot be written, and once that it can again. It must not end the server.
#[derive(Debug)]
pub(super) struct Complaint {
    log: &'static str,
    made: AtomicBool,
}

impl Complaint {
    pub fn about(log: &'static str) -> Self {
        Self { log, made: AtomicBool::new(false) }
    }

    /// Whether the last attempt failed.
    pub fn is_made(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// What became of an attempt.
    pub fn follow(&self, written: &io::Result<()>) {
        let log = self.log;
        match (self.made.swap(written.is_err(), Ordering::Relaxed), written) {
            (false, Err(error)) => tracing::error!(%error, "{log} cannot be written: what happens now is not in it"),
            (true, Ok(())) => tracing::warn!("{log} is written again"),
            _ => {}
        }
    }
}

/// Where the session log goes, buffered.
#[derive(Debug, Clone)]
struct Sink(Arc<Mutex<BufWriter<Output>>>, Arc<Complaint>);

impl Sink {
    fn new(output: Output) -> Self {
        Self(Arc::new(Mutex::new(BufWriter::new(output))), Arc::new(Complaint::about("the session log")))
    }
}

#[derive(Debug)]
enum Output {
    Stdout(io::Stdout),
    File(File),
}

impl Output {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        Ok(match path {
            None => Self::Stdout(io::stdout()),
            Some(path) => Self::File(OpenOptions::new().create(true).append(true).mode(0o640).open(path)?),
        })
    }
}

impl Sink {
    /// Writes elsewhere from now on. Lines stay whole: each is written while the sink is locked.
    fn replace(&self, output: Output) {
        let mut sink = self.make_writer();
        let _ = sink.flush();
        *sink.0 = BufWriter::new(output);
    }

    fn flush(&self) {
        let written = self.make_writer().flush();
        self.1.follow(&written);
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// The sink while one line is written to it.
struct Locked<'a>(std::sync::MutexGuard<'a, BufWriter<Output>>);

impl Write for Locked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Locked<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Locked(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A format that is the message and nothing else.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        struct Message<'a, 'w>(&'a mut Writer<'w>, fmt::Result);
        impl field::Visit for Message<'_, '_> {
            fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.1 = writeln!(self.0, "{value:?}");
                }
            }
        }
        let mut message = Message(&mut writer, Ok(()));
        event.record(&mut message);
        message.1
    }
}
