//! aria2c: downloads in parts over several connections.

use std::process::Command;

use super::{Client, age, client, data_mode_was, is_aged, server, url};
use crate::fixture::{no_ipv6, noise};

fn aria2c(client: &Client, mode: &str) -> Command {
    let mut command = client.command();
    command.args(["--no-conf", "--max-tries=1", "--connect-timeout=10", "--timeout=10", "--log=.log"]);
    command.args(["--file-allocation=none", "--summary-interval=0", "--remote-time=true"]);
    command.arg(format!("--ftp-pasv={}", mode == "passive"));
    command
}

fn core(mode: &str) {
    let Some(client) = client("aria2c") else { return };
    let (server, tree) = server();
    let url = url(server.address());
    age(&server.path("big.bin"));
    client.run(aria2c(&client, mode).arg(format!("{url}/big.bin")), "");
    assert!(client.read("big.bin") == tree.big);
    is_aged(&client.path("big.bin"));
    client.run(aria2c(&client, mode).arg(format!("{url}/many/and%20three.txt")), "");
    assert_eq!(client.read("and three.txt"), b"333\n");
    data_mode_was(&server, mode);
}

#[test]
fn aria2_passive() {
    core("passive");
}

#[test]
fn aria2_active() {
    core("active");
}

#[test]
fn aria2_ipv6() {
    if no_ipv6() {
        return;
    }
    let Some(client) = client("aria2c") else { return };
    let (server, tree) = server();
    let url = url(server.address_v6());
    client.run(aria2c(&client, "passive").arg(format!("{url}/big.bin")), "");
    assert!(client.read("big.bin") == tree.big);
}

#[test]
fn aria2_resumes() {
    let Some(client) = client("aria2c") else { return };
    let (server, tree) = server();
    client.write("big.bin", &tree.big[..250_000]);
    client.run(aria2c(&client, "passive").args(["-c", &format!("{}/big.bin", url(server.address()))]), "");
    assert!(client.read("big.bin") == tree.big);
}

#[test]
fn aria2_fetches_in_parts() {
    let Some(client) = client("aria2c") else { return };
    let (server, _) = server();
    let huge = noise(8_000_000, 12);
    server.write("huge.bin", &huge);
    client.run(
        aria2c(&client, "passive")
            // Slow enough that the other connections log in before the first has fetched everything.
            .args(["-x4", "-s4", "-k1M", "--max-download-limit=4M"])
            .arg(format!("{}/huge.bin", url(server.address()))),
        "",
    );
    assert!(client.read("huge.bin") == huge);
    let events = server.events_of_ended();
    let parts = events.iter().filter(|event| event["event"] == "transfer" && event["verb"] == "RETR").count();
    assert!(parts > 1, "one connection fetched everything");
}
