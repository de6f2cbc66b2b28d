//! Signing in and out over HTTP, and who asks by the cookie.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::Page;
use super::door::{Admitted, COOKIE_LIFE, Refused, Secret};
use super::routes::{Refusal, asked, broke_off};
use super::view::Face;
use crate::classroom::{self, Classroom};

/// Who asks, by the face in the path and the cookie for it.
pub(super) struct Viewer {
    pub face: Face,
    pub signed_out: CancellationToken,
}

impl FromRequestParts<Page> for Viewer {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, StatusCode> {
        let name = parts.uri.path().split('/').nth(1).unwrap_or_default();
        if name == "projector" {
            return Ok(Self { face: Face::Projector, signed_out: CancellationToken::new() });
        }
        if name != "teacher" && name != "student" {
            return Err(StatusCode::NOT_FOUND);
        }
        let cookie = cookie(&parts.headers, name).ok_or(StatusCode::UNAUTHORIZED)?;
        let Admitted { face, signed_out, .. } = page.0.door.known(&cookie).ok_or(StatusCode::UNAUTHORIZED)?;
        // A student's cookie under the teacher's name is no teacher's.
        if (name == "teacher") != (face == Face::Teacher) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        Ok(Self { face, signed_out })
    }
}

/// The teacher, who may do everything.
pub(super) struct Teacher;

impl FromRequestParts<Page> for Teacher {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, StatusCode> {
        match Viewer::from_request_parts(parts, page).await?.face {
            Face::Teacher => Ok(Self),
            Face::Projector | Face::Student(_) => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

/// A student, by the user name.
pub(super) struct Student(pub String);

impl FromRequestParts<Page> for Student {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, StatusCode> {
        match Viewer::from_request_parts(parts, page).await?.face {
            Face::Student(user) => Ok(Self(user.to_string())),
            Face::Projector | Face::Teacher => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

/// Whether this is the PIN on the student's card. It reads files, and takes as long for a user that does not exist.
fn is_pin(class: &Classroom, user: &str, pin: &str) -> bool {
    match classroom::pin(class.directory(), user) {
        Ok(right) => right.is_some_and(|right| right.as_bytes().ct_eq(pin.as_bytes()).into()),
        Err(error) => {
            tracing::warn!("nobody can sign in to the page: {error:#}");
            false
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

pub(super) async fn teacher_signs_in(
    State(page): State<Page>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Token { token } = asked(&body)?;
    let admitted = page.0.door.admit_teacher(&token, client.ip().to_canonical());
    Ok(with_cookie(&headers, "teacher", admitted))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    alias: String,
    pin: String,
}

pub(super) async fn student_signs_in(
    State(page): State<Page>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Card { alias, pin } = asked(&body)?;
    let class = page.class()?;
    // Phones like to begin with a capital.
    let user = alias.trim().to_lowercase();
    let check = move || {
        let is_right = || is_pin(&class, &user, pin.trim()) && class.student(&user).is_some();
        page.0.door.admit_student(&user, client.ip().to_canonical(), &is_right)
    };
    let admitted = spawn_blocking(check).await.map_err(broke_off)?;
    Ok(with_cookie(&headers, "student", admitted))
}

pub(super) async fn sign_out(State(page): State<Page>, Path(face): Path<String>, headers: HeaderMap) -> Response {
    if let Some(cookie) = cookie(&headers, &face) {
        page.0.door.sign_out(&cookie);
    }
    StatusCode::NO_CONTENT.into_response()
}

/// The cookie for a face, or why there is none.
fn with_cookie(headers: &HeaderMap, face: &str, admitted: Result<Secret, Refused>) -> Response {
    let cookie = match admitted {
        Ok(cookie) => cookie,
        Err(Refused::Wrong) => return StatusCode::FORBIDDEN.into_response(),
        Err(Refused::Wait(wait)) => {
            let seconds = wait.as_millis().div_ceil(1000).to_string();
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)]).into_response();
        }
        Err(Refused::System(error)) => {
            tracing::warn!(%error, "nobody can be let in to the page");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let value = format!(
        "{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}",
        cookie_name(headers, face),
        cookie.reveal(),
        COOKIE_LIFE.as_secs()
    );
    match HeaderValue::try_from(value) {
        Ok(value) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, value)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Browsers keep one jar for all ports of a machine, so the port is part of the name.
fn cookie_name(headers: &HeaderMap, face: &str) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    format!("longshore-{face}-{}", if port.bytes().all(|byte| byte.is_ascii_digit()) { port } else { "" })
}

fn cookie(headers: &HeaderMap, face: &str) -> Option<String> {
    let name = cookie_name(headers, face);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}
