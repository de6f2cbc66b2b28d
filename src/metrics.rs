//! Numbers for Prometheus: a reader of the events, and what the server says of itself when it is asked.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{MissedTickBehavior, interval};

use crate::server::Server;
use crate::sessions::{ConnectionKind, Event, What, word};

/// How often events are counted while nobody asks: they must not become too many, and waking a thread for each would cost
/// the sessions.
const TICK: Duration = Duration::from_millis(250);

/// A label and its value. Values are words of ours, never a client's: their number is bounded.
type Labels = Vec<(&'static str, String)>;

/// What is counted from the events.
#[derive(Debug, Default)]
struct Counted {
    sessions: Counter,
    refused: Family<Labels, Counter>,
    logins: Family<Labels, Counter>,
    transfers: Family<Labels, Counter>,
    bytes: Family<Labels, Counter>,
    data_connections: Family<Labels, Counter>,
    data_failures: Family<Labels, Counter>,
    tls_failures: Counter,
    missed: Counter,
}

/// The metrics of one server.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    server: Server,
    events: Mutex<Receiver<Arc<Event>>>,
    registry: Registry,
    counted: Counted,
    session_seconds: Histogram,
    transfer_seconds: Family<Labels, Histogram>,
    sessions: Gauge,
    data_connections: Gauge,
    ports_in_use: Gauge,
    ports_free: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.counted).finish()
    }
}

/// From a millisecond to an hour.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 12))
}

impl Metrics {
    /// Counts from now on, until the server is gone.
    pub fn of(server: &Server) -> Self {
        let (mut registry, counted) = (Registry::with_prefix("longshore"), Counted::default());
        let version = Family::<Labels, Gauge>::default();
        version.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "The version that runs", version);
        let mut counter = |name, help, it: &Counter| registry.register(name, help, it.clone());
        counter("sessions", "Control connections that became sessions", &counted.sessions);
        counter("tls_handshake_failures", "TLS handshakes that failed", &counted.tls_failures);
        counter("events_missed", "Events that are not in these numbers, since they came too fast", &counted.missed);
        let mut family = |name, help, it: &Family<Labels, Counter>| registry.register(name, help, it.clone());
        family("refused_connections", "Control connections that were refused", &counted.refused);
        family("logins", "Logins, by how they went", &counted.logins);
        family("transfers", "Transfers and listings, by how they ended", &counted.transfers);
        family("data_connections", "Data connections that were opened", &counted.data_connections);
        family("data_connection_failures", "Data connections that were not", &counted.data_failures);
        registry.register_with_unit("transfer", "Bytes on data connections", Unit::Bytes, counted.bytes.clone());
        let session_seconds = durations();
        registry.register_with_unit(
            "session_duration",
            "How long sessions lasted",
            Unit::Seconds,
            session_seconds.clone(),
        );
        let transfer_seconds = Family::new_with_constructor(durations as fn() -> Histogram);
        let help = "How long transfers lasted, from the open data connection on";
        registry.register_with_unit("transfer_duration", help, Unit::Seconds, transfer_seconds.clone());
        let gauge = |registry: &mut Registry, name, help| {
            let gauge = Gauge::<i64, std::sync::atomic::AtomicI64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let sessions = gauge(&mut registry, "open_sessions", "Sessions now");
        let data_connections = gauge(&mut registry, "open_data_connections", "Data connections now");
        let ports_in_use = gauge(&mut registry, "passive_ports_in_use", "Passive ports that are offered now");
        let ports_free = gauge(&mut registry, "passive_ports_free", "Passive ports that can still be offered");
        let inner = Inner {
            server: server.clone(),
            events: server.events().subscribe().into(),
            registry,
            counted,
            session_seconds,
            transfer_seconds,
            sessions,
            data_connections,
            ports_in_use,
            ports_free,
        };
        Self(Arc::new(inner))
    }

    /// Follows the events for as long as it is polled.
    pub async fn follow(self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.catch_up();
        }
    }

    /// `/metrics`, `/health` and `/ready`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", routing::get(metrics))
            .route("/health", routing::get(|| async { "alive\n" }))
            .route("/ready", routing::get(ready))
            .with_state(self.clone())
    }
}

impl Inner {
    /// Counts what has been sent by now. What a busy moment sends meanwhile waits.
    fn catch_up(&self) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..=events.len() {
            match events.try_recv() {
                Ok(event) => self.count(&event),
                Err(TryRecvError::Lagged(missed)) => drop(self.counted.missed.inc_by(missed)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn count(&self, event: &Event) {
        let Counted {
            sessions, refused, logins, transfers, bytes, data_connections, data_failures, tls_failures, ..
        } = &self.counted;
        match &event.what {
            What::SessionOpened { .. } => drop(sessions.inc()),
            What::Refused { reason } => drop(refused.get_or_create(&vec![("reason", word(reason))]).inc()),
            What::Login { outcome, .. } => drop(logins.get_or_create(&vec![("outcome", word(outcome))]).inc()),
            What::TlsFailed { .. } => drop(tls_failures.inc()),
            What::DataOpened { mode, .. } => drop(data_connections.get_or_create(&vec![("mode", word(mode))]).inc()),
            What::DataFailed { mode, .. } => drop(data_failures.get_or_create(&vec![("mode", word(mode))]).inc()),
            What::Transfer { verb, outcome, bytes: carried, duration, .. } => {
                let verb = ("verb", (*verb).to_owned());
                let labels = vec![verb.clone(), ("outcome", word(outcome))];
                transfers.get_or_create(&labels).inc();
                bytes.get_or_create(&labels).inc_by(*carried);
                self.transfer_seconds.get_or_create(&vec![verb]).observe(duration.as_secs_f64());
            }
            What::SessionClosed { duration, .. } => self.session_seconds.observe(duration.as_secs_f64()),
            What::TlsOpened { .. } | What::LoginDelayed { .. } | What::Command { .. } | What::DataOffered { .. } => {}
        }
    }

    /// Everything that came before the question is in the answer.
    fn text(&self) -> Result<String, fmt::Error> {
        self.catch_up();
        let connections = self.server.connections();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let count = |kind| number(connections.iter().filter(|connection| connection.kind == kind).count());
        self.sessions.set(count(ConnectionKind::Control));
        self.data_connections.set(count(ConnectionKind::Data));
        let (in_use, all) = self.server.passive_ports();
        self.ports_in_use.set(number(in_use));
        self.ports_free.set(number(all.saturating_sub(in_use)));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

async fn metrics(State(metrics): State<Metrics>) -> Response {
    const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.0.text() {
        Ok(text) => ([(header::CONTENT_TYPE, FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(metrics): State<Metrics>) -> Response {
    match metrics.0.server.is_stopping() {
        false => "ready\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}
