//! What can be asked for, and who may.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Router, middleware, routing};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use super::feed::{KEEP_ALIVE, feed};
use super::files::file;
use super::guard::guard;
use super::row::milliseconds;
use super::sign_in::Viewer;
use super::{Page, actions, sign_in, text};
use crate::classroom::Classroom;

/// The most bytes that a browser may send.
const BODY: usize = 16 << 10;

/// Replays that are written at the same time; each may take 20 MB.
const REPLAYS: usize = 2;

/// Why something is not done.
pub(super) type Refusal = (StatusCode, String);

/// The router of a page.
pub(super) fn router(page: &Page) -> Router {
    let replays = Arc::new(Semaphore::new(REPLAYS));
    Router::new()
        .route("/", routing::get(|| async { page_of("page.html") }))
        .route("/student", routing::get(|| async { page_of("page.html") }))
        .route("/teacher", routing::get(|| async { page_of("page.html") }))
        .route("/projector", routing::get(|| async { Redirect::permanent("/") }))
        .route("/favicon.ico", routing::get(|| async { page_of("icon.svg") }))
        .route("/sessions.txt", routing::get(sessions_text))
        .route("/web/{file}", routing::get(|Path(name): Path<String>| async move { page_of(&name) }))
        .route("/{face}/feed", routing::get(events))
        .route("/{face}/replay", routing::get(replay).layer(Extension(replays)))
        .route("/{face}/ladder/{session}", routing::get(ladder))
        .route("/{face}/sign-out", routing::post(sign_in::sign_out))
        .route("/teacher/sign-in", routing::post(sign_in::teacher_signs_in))
        .route("/student/sign-in", routing::post(sign_in::student_signs_in))
        .route("/teacher/switch", routing::post(actions::switch))
        .route("/teacher/kick", routing::post(actions::kick))
        .route("/teacher/decide", routing::post(actions::decide))
        .route("/teacher/reset", routing::post(actions::reset))
        .route("/teacher/marks/{user}", routing::get(actions::marks_of))
        .route("/teacher/export/{format}", routing::get(actions::exported))
        .route("/student/answer", routing::post(actions::answer))
        .route("/student/hint", routing::post(actions::hint))
        .route("/student/restore", routing::post(actions::restore))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&page.0.hosts), guard))
        .with_state(page.clone())
}

/// One of the page's own files. Browsers ask each time whether theirs is still the one.
fn page_of(name: &str) -> Response {
    match file(name) {
        Some((kind, text)) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn events(State(page): State<Page>, Viewer { face, signed_out }: Viewer) -> impl IntoResponse {
    let events = feed(&page.0.hub, &page.0.readers, face, signed_out);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn replay(
    State(page): State<Page>,
    Extension(replays): Extension<Arc<Semaphore>>,
    Viewer { face, .. }: Viewer,
) -> Response {
    let Ok(_place) = replays.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
    };
    match spawn_blocking(move || page.0.hub.replay(&face)).await {
        Ok(text) => json_text(text),
        Err(error) => broke_off(error).into_response(),
    }
}

async fn ladder(
    State(page): State<Page>,
    Viewer { face, .. }: Viewer,
    Path((_, session)): Path<(String, u64)>,
) -> Response {
    match page.0.hub.ladder(&face, session) {
        Some(steps) => json_text(json!(steps).to_string()),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn sessions_text(State(page): State<Page>) -> String {
    let (rows, facts, rules) = page.0.hub.rows();
    text::sessions(&rows, &facts, &rules, milliseconds(SystemTime::now()))
}

/// What a browser has asked for in JSON.
pub(super) fn asked<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))
}

pub(super) fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// A task of ours that has panicked, which is in the log.
pub(super) fn broke_off(error: JoinError) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("it broke off: {error}\n"))
}

impl Page {
    /// The class, for what has to do with it.
    pub(super) fn class(&self) -> Result<Arc<Classroom>, Refusal> {
        self.0.class.clone().ok_or((StatusCode::NOT_FOUND, "there is no class here\n".to_owned()))
    }
}
