//! The three command-line clients that all call themselves `ftp`: tnftp, inetutils-ftp and netkit's ftp-ssl.

use std::net::SocketAddr;
use std::process::Command;

use super::{Client, PASSWORD, USER, client, core_done, data_mode_was, globs_done, local_tree, server};
use crate::fixture::{no_ipv6, noise};

/// The options that make one of them quiet, verbose and passive or active.
fn ftp(client: &Client, mode: &str, address: SocketAddr) -> Command {
    let mut command = client.command();
    command.args(["-n", "-i", "-v"]);
    match (client.name.as_str(), mode) {
        (_, "passive") => command.arg("-p"),
        ("ftp-ssl", _) => &mut command,
        _ => command.arg("-A"),
    };
    command.arg(address.ip().to_string()).arg(address.port().to_string());
    command
}

fn core(name: &str, mode: &str) {
    let Some(client) = client(name) else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    client.run(
        &mut ftp(&client, mode, server.address()),
        &format!(
            "user {USER} {PASSWORD}\n\
             binary\n\
             ls . listing.txt\n\
             get big.bin\n\
             get \"two words.txt\"\n\
             put up.bin\n\
             put \"local words.txt\" \"remote words.txt\"\n\
             mkdir made\n\
             mkdir \"not for long\"\n\
             rmdir \"not for long\"\n\
             rename old.txt \"new name.txt\"\n\
             cd many\n\
             lcd down\n\
             mget *\n\
             cd ..\n\
             cd incoming\n\
             lcd ../up\n\
             mput *\n\
             cd /doomed\n\
             mdelete *\n\
             bye\n"
        ),
    );
    let listing = String::from_utf8(client.read("listing.txt")).unwrap();
    core_done(&client, &server, &tree, &listing);
    globs_done(&client, &server);
    data_mode_was(&server, mode);
}

#[test]
fn tnftp_passive() {
    core("tnftp", "passive");
}

#[test]
fn tnftp_active() {
    core("tnftp", "active");
}

#[test]
fn inetutils_passive() {
    core("inetutils-ftp", "passive");
}

#[test]
fn inetutils_active() {
    core("inetutils-ftp", "active");
}

#[test]
fn ftp_ssl_passive() {
    core("ftp-ssl", "passive");
}

#[test]
fn ftp_ssl_active() {
    core("ftp-ssl", "active");
}

fn ipv6(name: &str, mode: &str) {
    if no_ipv6() {
        return;
    }
    let Some(client) = client(name) else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    client.run(
        &mut ftp(&client, mode, server.address_v6()),
        &format!("user {USER} {PASSWORD}\nbinary\nget big.bin\nput up.bin\ncd many\nlcd down\nmget *\nbye\n"),
    );
    assert!(client.read("big.bin") == tree.big);
    assert!(server.read("up.bin") == tree.up);
    assert_eq!(client.read("down/and three.txt"), b"333\n");
    data_mode_was(&server, mode);
}

#[test]
fn tnftp_passive_ipv6() {
    ipv6("tnftp", "passive");
}

#[test]
fn tnftp_active_ipv6() {
    ipv6("tnftp", "active");
}

#[test]
fn inetutils_passive_ipv6() {
    ipv6("inetutils-ftp", "passive");
}

#[test]
fn inetutils_active_ipv6() {
    ipv6("inetutils-ftp", "active");
}

#[test]
fn ftp_ssl_passive_ipv6() {
    ipv6("ftp-ssl", "passive");
}

#[test]
fn ftp_ssl_active_ipv6() {
    ipv6("ftp-ssl", "active");
}

/// A download that was cut goes on where it stopped, and so does an upload.
fn resume(name: &str) {
    let Some(client) = client(name) else { return };
    let (server, tree) = server();
    client.write("big.bin", &tree.big[..250_000]);
    let upload = noise(400_003, 9);
    client.write("upload.bin", &upload);
    server.write("upload.bin", &upload[..150_000]);
    client.run(
        &mut ftp(&client, "passive", server.address()),
        &format!("user {USER} {PASSWORD}\nbinary\nreget big.bin\nrestart 150000\nput upload.bin\nbye\n"),
    );
    assert!(client.read("big.bin") == tree.big, "reget");
    assert!(server.read("upload.bin") == upload, "restart and put");
    let got = server.event_where("transfer", |event| event["verb"] == "RETR");
    assert_eq!(got["bytes"], 700_001 - 250_000, "reget asked for the whole file");
}

#[test]
fn tnftp_resumes() {
    resume("tnftp");
}

#[test]
fn inetutils_resumes() {
    resume("inetutils-ftp");
}

#[test]
fn ftp_ssl_resumes() {
    resume("ftp-ssl");
}

/// In their default type, a text file arrives with this machine's line ends.
fn ascii(name: &str) {
    let Some(client) = client(name) else { return };
    let (server, _) = server();
    server.write("poem.txt", "one\ntwo\n");
    client.write("answer.txt", "three\nfour\n");
    client.run(
        &mut ftp(&client, "passive", server.address()),
        &format!("user {USER} {PASSWORD}\nascii\nget poem.txt\nput answer.txt\nbye\n"),
    );
    assert_eq!(client.read("poem.txt"), b"one\ntwo\n");
    assert_eq!(server.read("answer.txt"), b"three\nfour\n");
}

#[test]
fn tnftp_converts_line_ends() {
    ascii("tnftp");
}

#[test]
fn inetutils_converts_line_ends() {
    ascii("inetutils-ftp");
}

#[test]
fn ftp_ssl_converts_line_ends() {
    ascii("ftp-ssl");
}
