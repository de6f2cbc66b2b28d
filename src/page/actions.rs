//! What the teacher and the students can do on the page.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::Page;
use super::routes::{Refusal, asked, broke_off, json_text};
use super::sign_in::{Student, Teacher};
use crate::classroom::export::{Format, Options, export};
use crate::classroom::journal::Via;
use crate::classroom::term;
use crate::sessions::Whose;

/// Does what may wait for the disk, and says what came of it: a sentence, or why it was not done.
async fn told(work: impl FnOnce() -> Result<String, String> + Send + 'static) -> Result<Response, Refusal> {
    let said = spawn_blocking(work).await.map_err(broke_off)?;
    let (done, text) = said.map_or_else(|why| (false, why), |text| (true, text));
    Ok(json_text(json!({ "done": done, "text": text }).to_string()))
}

/// A switch that the teacher has moved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switched {
    files: Option<bool>,
    grid: Option<bool>,
}

pub(super) async fn switch(_: Teacher, State(page): State<Page>, body: Bytes) -> Result<Response, Refusal> {
    let Switched { files, grid } = asked(&body)?;
    page.0.hub.switch(|switches| {
        switches.files = files.unwrap_or(switches.files);
        switches.grid = grid.unwrap_or(switches.grid);
    });
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kicked {
    session: u64,
}

pub(super) async fn kick(_: Teacher, State(page): State<Page>, body: Bytes) -> Result<Response, Refusal> {
    let Kicked { session } = asked(&body)?;
    let kicked = page.0.server.kick(&Whose::Session(session));
    tracing::info!(session, sessions = kicked.len(), "a session was ended on the page");
    Ok(json_text(json!({ "ended": kicked.len() }).to_string()))
}

/// A mark that the teacher decides about; no points take a decision back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    user: String,
    task: String,
    points: Option<u32>,
    reason: String,
}

pub(super) async fn decide(_: Teacher, State(page): State<Page>, body: Bytes) -> Result<Response, Refusal> {
    let (Decision { user, task, points, reason }, class) = (asked(&body)?, page.class()?);
    told(move || class.override_mark(&user, &task, points, &reason)).await
}

/// What is to be as it was given: the folder of a task, or the student's whole home.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    user: String,
    task: Option<String>,
}

pub(super) async fn reset(_: Teacher, State(page): State<Page>, body: Bytes) -> Result<Response, Refusal> {
    let (Reset { user, task }, class) = (asked(&body)?, page.class()?);
    told(move || match task {
        Some(task) => class.reset(&user, &task),
        None => match term::reset(class.directory(), Some(&user), true) {
            Ok(moved) => Ok(match moved.place {
                Some(place) => format!("The home of {user} is made anew; the old one is in {}.", place.display()),
                None => format!("There was nothing to move in the home of {user}."),
            }),
            Err(error) => Err(format!("{error:#}")),
        },
    })
    .await
}

/// A student's marks with all that they rest on.
pub(super) async fn marks_of(
    _: Teacher,
    State(page): State<Page>,
    Path(user): Path<String>,
) -> Result<Response, Refusal> {
    let class = page.class()?;
    let marks = spawn_blocking(move || class.marks_of(&user)).await.map_err(broke_off)?;
    let marks = marks.ok_or((StatusCode::NOT_FOUND, "there is no such student\n".to_owned()))?;
    Ok(json_text(json!(marks).to_string()))
}

/// How an export is wanted.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    by_task: bool,
    #[serde(default)]
    bom: bool,
}

pub(super) async fn exported(
    _: Teacher,
    State(page): State<Page>,
    Path(format): Path<String>,
    Query(Wanted { by_task, bom }): Query<Wanted>,
) -> Result<Response, Refusal> {
    let class = page.class()?;
    let format: Format = format.parse().map_err(|why| (StatusCode::NOT_FOUND, format!("{why}\n")))?;
    let write = move || export(format, &class.lesson(), &class.marks(), Options { by_task, bom });
    let bytes = spawn_blocking(write).await.map_err(broke_off)?;
    let bytes = bytes.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")))?;
    // A page of the report's would be this page's to the browser, so it is never shown in place.
    let disposition = format!("attachment; filename=\"{}\"", format.file_name());
    let headers = [(header::CONTENT_TYPE, format.media_type().to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, bytes).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    task: String,
    text: String,
}

pub(super) async fn answer(Student(user): Student, State(page): State<Page>, body: Bytes) -> Result<Response, Refusal> {
    let (Answered { task, text }, class) = (asked(&body)?, page.class()?);
    told(move || {
        let verdict = class.answer(&user, &task, &text, Via::Page);
        if verdict.correct { Ok(verdict.text) } else { Err(verdict.text) }
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTask {
    task: String,
}

pub(super) async fn hint(Student(user): Student, State(page): State<Page>, body: Bytes) -> Result<Response, Refusal> {
    let (OfTask { task }, class) = (asked(&body)?, page.class()?);
    told(move || class.hint(&user, &task)).await
}

pub(super) async fn restore(
    Student(user): Student,
    State(page): State<Page>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (OfTask { task }, class) = (asked(&body)?, page.class()?);
    told(move || class.reset(&user, &task)).await
}
