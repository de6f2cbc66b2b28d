//! Ctrl-C in a classic client: it sends ABOR behind Telnet's IP and DM, and the session must outlive it.

use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;

use super::{PASSWORD, USER, client, installed, server};
use crate::fixture::poll;

/// Types into the client on a terminal that `script` makes.
fn ctrl_c(name: &str, mode: &str) {
    let Some(client) = client(name) else { return };
    if installed("script").is_none() {
        println!("script (util-linux) is not installed: nothing was shown");
        return;
    }
    let (server, tree) = server();
    server.write_sparse("endless.bin", 1 << 40);
    let output = File::create(client.path(".transcript")).unwrap();
    let said = || String::from_utf8_lossy(&fs::read(client.path(".transcript")).unwrap()).into_owned();
    let ftp =
        format!("{} -n -i -v {mode} {} {}", client.program.display(), server.address().ip(), server.address().port());
    let mut child = client
        .sibling("script")
        .args(["--quiet", "--return", "--flush", "--command", &ftp, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::from(output.try_clone().unwrap()))
        .stderr(Stdio::from(output))
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut step = |text: &str, until: &dyn Fn() -> bool, what: &str| {
        keys.write_all(text.as_bytes()).unwrap();
        if poll(|| until().then_some(())).is_none() {
            let _ = child.kill();
            child.wait().unwrap();
            panic!("{name}: {what} did not happen\n--- transcript\n{}", said());
        }
    };
    let prompts = |count: usize| move || said().matches("ftp> ").count() >= count;
    step("", &prompts(1), "the first prompt");
    step(&format!("user {USER} {PASSWORD}\n"), &prompts(2), "the login");
    step("binary\n", &prompts(3), "TYPE I");
    let arriving = || ["\n150 ", "\n125 "].iter().any(|reply| said().contains(reply));
    step("get endless.bin /dev/null\n", &arriving, "the download's start");
    step("\x03", &prompts(4), "the prompt after Ctrl-C");
    let got = || fs::read(client.path("big.bin")).is_ok_and(|bytes| bytes == tree.big);
    step("get big.bin\n", &got, "the download after Ctrl-C");
    step("bye\n", &|| said().contains("221"), "the goodbye");
    drop(keys);
    child.wait().unwrap();
    assert_eq!(said().matches("Connected to").count(), 1, "{}", said());
    let sessions = server.events_of_ended().iter().filter(|event| event["event"] == "session_opened").count();
    assert_eq!(sessions, 1, "it had to connect again:\n{}", said());
}

#[test]
fn tnftp_ctrl_c_ends_the_download_only() {
    ctrl_c("tnftp", "-p");
}

#[test]
fn tnftp_active_ctrl_c_ends_the_download_only() {
    ctrl_c("tnftp", "-A");
}

#[test]
fn inetutils_ctrl_c_ends_the_download_only() {
    ctrl_c("inetutils-ftp", "-p");
}

#[test]
fn ftp_ssl_ctrl_c_ends_the_download_only() {
    ctrl_c("ftp-ssl", "-p");
}
