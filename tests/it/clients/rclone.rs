//! rclone: syncs both ways, with times.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use super::{Client, PASSWORD, USER, age, client, is_aged, local_tree, server};
use crate::fixture::{no_ipv6, noise};

/// The remote `server:` by environment, so that no configuration file is needed.
fn rclone(client: &Client, address: SocketAddr) -> Command {
    let obscured = client.run(client.command().args(["obscure", PASSWORD]), "");
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let mut command = client.command();
    command
        .env("RCLONE_CONFIG", client.path("none.conf"))
        .env("RCLONE_CONFIG_SERVER_TYPE", "ftp")
        .env("RCLONE_CONFIG_SERVER_HOST", host)
        .env("RCLONE_CONFIG_SERVER_PORT", address.port().to_string())
        .env("RCLONE_CONFIG_SERVER_USER", USER)
        .env("RCLONE_CONFIG_SERVER_PASS", obscured.trim())
        .args(["--retries", "1", "--low-level-retries", "1", "--timeout", "10s", "--dump", "headers"]);
    command
}

fn core(address: impl Fn(&crate::fixture::Server) -> SocketAddr) {
    let Some(client) = client("rclone") else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    let run = |args: &[&str]| client.run(rclone(&client, address(&server)).args(args), "");
    let listing = run(&["lsf", "server:"]);
    for name in ["big.bin", "two words.txt", "many/"] {
        assert!(listing.contains(name), "{listing}");
    }
    run(&["copyto", "server:big.bin", "big.bin"]);
    assert!(client.read("big.bin") == tree.big);
    run(&["copy", "up.bin", "server:"]);
    assert!(server.read("up.bin") == tree.up);
    run(&["copyto", "local words.txt", "server:remote words.txt"]);
    assert_eq!(server.read("remote words.txt"), b"sent with a space\n");
    run(&["moveto", "server:old.txt", "server:new name.txt"]);
    assert_eq!(server.read("new name.txt"), b"to be renamed\n");
    assert!(!server.has("old.txt"));
    run(&["mkdir", "server:made/deeper"]);
    assert!(server.path("made/deeper").is_dir());
    run(&["rmdir", "server:made/deeper"]);
    assert!(!server.has("made/deeper"));
    run(&["copy", "server:many", "down"]);
    assert_eq!(client.read("down/and three.txt"), b"333\n");
    run(&["purge", "server:doomed"]);
    assert!(!server.has("doomed"));
}

#[test]
fn rclone_ipv4() {
    core(|server| server.address());
}

#[test]
fn rclone_ipv6() {
    if no_ipv6() {
        return;
    }
    core(|server| server.address_v6());
}

#[test]
fn rclone_syncs_down_with_times() {
    let Some(client) = client("rclone") else { return };
    let (server, _) = server();
    server.write("tree/deep/er/file.bin", noise(5_000, 3));
    server.write("tree/a b.txt", "x");
    age(&server.path("tree/deep/er/file.bin"));
    age(&server.path("tree/a b.txt"));
    client.run(rclone(&client, server.address()).args(["sync", "server:tree", "copy"]), "");
    assert_eq!(client.read("copy/deep/er/file.bin"), noise(5_000, 3));
    is_aged(&client.path("copy/deep/er/file.bin"));
    is_aged(&client.path("copy/a b.txt"));
    client.run(rclone(&client, server.address()).args(["check", "--download", "server:tree", "copy"]), "");
}

#[test]
fn rclone_syncs_up_with_times() {
    let Some(client) = client("rclone") else { return };
    let (server, _) = server();
    client.write("tree/deep/er/file.bin", noise(5_000, 3));
    client.write("tree/a b.txt", "x");
    age(&client.path("tree/deep/er/file.bin"));
    age(&client.path("tree/a b.txt"));
    server.write("copy/to be gone.txt", "old");
    let sync = || client.run(rclone(&client, server.address()).args(["sync", "tree", "server:copy"]), "");
    sync();
    assert_eq!(server.read("copy/deep/er/file.bin"), noise(5_000, 3));
    is_aged(&server.path("copy/deep/er/file.bin"));
    is_aged(&server.path("copy/a b.txt"));
    assert!(!server.has("copy/to be gone.txt"));
    // Nothing has changed, so nothing is sent again; a changed file is.
    sync();
    let stored = || {
        let events = server.events_of_ended();
        events.iter().filter(|event| event["event"] == "transfer" && event["verb"] == "STOR").count()
    };
    assert_eq!(stored(), 2);
    fs::write(client.path("tree/a b.txt"), "y").unwrap();
    sync();
    assert_eq!(stored(), 3);
    assert_eq!(server.read("copy/a b.txt"), b"y");
}
