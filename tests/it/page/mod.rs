//! The live page: who is let in, what is told, and what a real browser makes of it.

mod browser;
mod class;
mod faces;
mod guard;
mod http;

use std::net::SocketAddr;

use crate::fixture::Server;

/// Who asks from the page itself.
fn own(page: SocketAddr) -> String {
    format!("http://{page}")
}

/// The token in the link that `longshore page` prints.
fn token(server: &Server) -> String {
    let links = server.ask_json(&["page"]);
    let link = links["teacher"][0].as_str().unwrap();
    let (page, token) = link.split_once("/teacher#").unwrap();
    assert_eq!(page, own(server.page()));
    token.to_owned()
}

/// The cookie of somebody who was let in with `secret` in JSON, as a Cookie header has it.
fn cookie(page: SocketAddr, face: &str, secret: &str) -> String {
    let path = format!("/{face}/sign-in");
    let answer = http::ask(page, "POST", &path, &[("Origin", &own(page))], Some(secret));
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.header("set-cookie").unwrap().split_once(';').unwrap().0.to_owned()
}

fn teachers_cookie(server: &Server) -> String {
    cookie(server.page(), "teacher", &format!("{{\"token\":\"{}\"}}", token(server)))
}
