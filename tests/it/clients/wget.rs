//! wget: downloads, globs and mirrors.

use std::process::Command;

use super::{Client, age, client, data_mode_was, server, url};
use crate::fixture::{no_ipv6, noise};

fn wget(client: &Client, mode: &str) -> Command {
    let mut command = client.command();
    command.args(["--tries=1", "--timeout=10", "--debug", "--no-verbose"]);
    if mode == "active" {
        command.arg("--no-passive-ftp");
    }
    command
}

fn core(mode: &str) {
    let Some(client) = client("wget") else { return };
    let (server, tree) = server();
    let url = url(server.address());
    let run = |args: &[&str]| client.run(wget(&client, mode).args(args), "");
    run(&["--no-remove-listing", &format!("{url}/")]);
    assert!(String::from_utf8(client.read(".listing")).unwrap().contains("two words.txt"));
    run(&[&format!("{url}/big.bin"), &format!("{url}/two%20words.txt")]);
    assert!(client.read("big.bin") == tree.big);
    assert_eq!(client.read("two words.txt"), b"a name with a space\n");
    run(&["-P", "down", &format!("{url}/many/*")]);
    assert_eq!(client.read("down/one.txt"), b"1\n");
    assert_eq!(client.read("down/two.txt"), b"22\n");
    assert_eq!(client.read("down/and three.txt"), b"333\n");
    data_mode_was(&server, mode);
}

#[test]
fn wget_passive() {
    core("passive");
}

#[test]
fn wget_active() {
    core("active");
}

#[test]
fn wget_ipv6() {
    if no_ipv6() {
        return;
    }
    let Some(client) = client("wget") else { return };
    let (server, tree) = server();
    let url = url(server.address_v6());
    for mode in ["passive", "active"] {
        client.run(wget(&client, mode).args(["-O", mode, &format!("{url}/big.bin")]), "");
        assert!(client.read(mode) == tree.big);
    }
}

#[test]
fn wget_resumes() {
    let Some(client) = client("wget") else { return };
    let (server, tree) = server();
    client.write("big.bin", &tree.big[..250_000]);
    client.run(wget(&client, "passive").args(["-c", &format!("{}/big.bin", url(server.address()))]), "");
    assert!(client.read("big.bin") == tree.big);
    let got = server.event_where("transfer", |event| event["verb"] == "RETR");
    assert_eq!(got["bytes"], 700_001 - 250_000, "-c asked for the whole file");
}

#[test]
fn wget_mirrors_a_tree_with_times() {
    let Some(client) = client("wget") else { return };
    let (server, _) = server();
    server.write("tree/deep/er/file.bin", noise(5_000, 3));
    server.write("tree/a b.txt", "x");
    age(&server.path("tree/deep/er/file.bin"));
    age(&server.path("tree/a b.txt"));
    let mirror = || {
        client.run(wget(&client, "passive").args(["-r", "-N", "-nH", &format!("{}/tree/", url(server.address()))]), "")
    };
    mirror();
    assert_eq!(client.read("tree/deep/er/file.bin"), noise(5_000, 3));
    assert_eq!(client.read("tree/a b.txt"), b"x");
    // wget reads the time from LIST, which gives an old file's day but not its hour.
    mirror();
    let events = server.events_of_ended();
    let got = events.iter().filter(|event| event["event"] == "transfer" && event["verb"] == "RETR").count();
    assert_eq!(got, 2, "the second run fetched files that had not changed");
    is_aged_to_the_day(&client);
}

fn is_aged_to_the_day(client: &Client) {
    let modified = std::fs::metadata(client.path("tree/a b.txt")).unwrap().modified().unwrap();
    let days = modified.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    assert_eq!(days, 1_234_567_890 / 86_400);
}
