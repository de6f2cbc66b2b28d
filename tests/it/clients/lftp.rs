//! lftp: scripts, mirrors, many connections.

use std::fs;
use std::net::SocketAddr;

use super::{
    Client, PASSWORD, USER, age, client, core_done, data_mode_was, globs_done, is_aged, left_out, local_tree, server,
};
use crate::fixture::{no_ipv6, noise};

/// Fails at the first error instead of trying again for minutes.
fn script(address: SocketAddr, mode: &str, commands: &str) -> String {
    format!(
        "set cmd:fail-exit yes\n\
         set net:max-retries 3\n\
         set net:reconnect-interval-base 1\n\
         set net:timeout 10\n\
         set ftp:passive-mode {passive}\n\
         open -u {USER},{PASSWORD} -p {port} {ip}\n\
         {commands}\n\
         bye\n",
        passive = if mode == "passive" { "on" } else { "off" },
        port = address.port(),
        ip = address.ip(),
    )
}

fn run(client: &Client, address: SocketAddr, mode: &str, commands: &str) -> String {
    client.run(client.command().args(["-f", ".script"]), &script(address, mode, commands))
}

fn core(mode: &str) {
    let Some(client) = client("lftp") else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    run(
        &client,
        server.address(),
        mode,
        "ls > listing.txt\n\
         get big.bin\n\
         get \"two words.txt\"\n\
         put up.bin\n\
         put \"local words.txt\" -o \"remote words.txt\"\n\
         mkdir made\n\
         mkdir \"not for long\"\n\
         rmdir \"not for long\"\n\
         mv old.txt \"new name.txt\"\n\
         mget -O down many/*\n\
         mput -O incoming up/*\n\
         mrm doomed/*",
    );
    let listing = String::from_utf8(client.read("listing.txt")).unwrap();
    core_done(&client, &server, &tree, &listing);
    globs_done(&client, &server);
    data_mode_was(&server, mode);
}

#[test]
fn lftp_passive() {
    core("passive");
}

#[test]
fn lftp_active() {
    core("active");
}

/// lftp 4.9 asks for active mode over IPv6 with `EPRT |2|::|port|`, which can only mean itself.
#[test]
fn lftp_ipv6() {
    for mode in ["passive", "active"] {
        let Some(client) = client("lftp") else { return };
        if no_ipv6() {
            return;
        }
        let (server, tree) = server();
        let open = format!("debug 9; open -p {} ::1; close", server.address_v6().port());
        let (_, transcript) = client.attempt(client.command().args(["-c", &open]), "");
        if transcript.contains("IPv6 is not supported or configured") {
            left_out("lftp knows of no IPv6 where only the loopback interface has it; its test was left out");
            return;
        }
        local_tree(&client, &tree);
        run(&client, server.address_v6(), mode, "get big.bin\nput up.bin\nmget -O down many/*");
        assert!(client.read("big.bin") == tree.big);
        assert!(server.read("up.bin") == tree.up);
        assert_eq!(client.read("down/and three.txt"), b"333\n");
        data_mode_was(&server, mode);
    }
}

#[test]
fn lftp_resumes_both_ways() {
    let Some(client) = client("lftp") else { return };
    let (server, tree) = server();
    client.write("big.bin", &tree.big[..250_000]);
    let upload = noise(400_003, 9);
    client.write("upload.bin", &upload);
    server.write("upload.bin", &upload[..150_000]);
    run(&client, server.address(), "passive", "get -c big.bin\nput -c upload.bin");
    assert!(client.read("big.bin") == tree.big);
    assert!(server.read("upload.bin") == upload);
    let got = server.event_where("transfer", |event| event["verb"] == "RETR");
    assert_eq!(got["bytes"], 700_001 - 250_000, "get -c asked for the whole file");
    let stored = server.event_where("transfer", |event| event["verb"] == "STOR" || event["verb"] == "APPE");
    assert_eq!(stored["bytes"], 400_003 - 150_000, "put -c sent the whole file");
}

/// Several connections that each fetch a part of one file.
#[test]
fn lftp_pget_fetches_in_parts() {
    let Some(client) = client("lftp") else { return };
    let (server, _) = server();
    let huge = noise(6_000_000, 12);
    server.write("huge.bin", &huge);
    run(&client, server.address(), "passive", "set pget:min-chunk-size 1000000\npget -n 4 huge.bin");
    assert!(client.read("huge.bin") == huge);
}

#[test]
fn lftp_mirrors_a_tree_down_with_times() {
    let Some(client) = client("lftp") else { return };
    let (server, _) = server();
    server.write("tree/deep/er/file.bin", noise(5_000, 3));
    server.write("tree/a b.txt", "x");
    age(&server.path("tree/deep/er/file.bin"));
    age(&server.path("tree/a b.txt"));
    run(&client, server.address(), "passive", "mirror tree copy");
    assert_eq!(client.read("copy/deep/er/file.bin"), noise(5_000, 3));
    assert_eq!(client.read("copy/a b.txt"), b"x");
    is_aged(&client.path("copy/deep/er/file.bin"));
    is_aged(&client.path("copy/a b.txt"));
}

#[test]
fn lftp_mirrors_a_tree_up_with_times_and_permissions() {
    use std::os::unix::fs::PermissionsExt;

    let Some(client) = client("lftp") else { return };
    let (server, _) = server();
    client.write("tree/deep/er/file.bin", noise(5_000, 3));
    client.write("tree/a b.txt", "x");
    age(&client.path("tree/deep/er/file.bin"));
    age(&client.path("tree/a b.txt"));
    fs::set_permissions(client.path("tree/a b.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    run(&client, server.address(), "passive", "mirror -R tree copy");
    assert_eq!(server.read("copy/deep/er/file.bin"), noise(5_000, 3));
    assert_eq!(server.read("copy/a b.txt"), b"x");
    is_aged(&server.path("copy/deep/er/file.bin"));
    is_aged(&server.path("copy/a b.txt"));
    let mode = fs::metadata(server.path("copy/a b.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    // Nothing has changed, so nothing is sent again.
    run(&client, server.address(), "passive", "mirror -R tree copy");
    let stored = server.events_of_ended().iter().filter(|e| e["event"] == "transfer" && e["verb"] == "STOR").count();
    assert_eq!(stored, 2);
}
