//! ncftp and the one-shot programs that come with it.

use super::{PASSWORD, USER, client, core_done, data_mode_was, globs_done, local_tree, server};

fn core(mode: &str) {
    let Some(client) = client("ncftp") else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    let passive = if mode == "passive" { "on" } else { "off" };
    let transcript = client.run(
        client
            .command()
            .args(["-u", USER, "-p", PASSWORD, "-P", &server.address().port().to_string()])
            .arg(server.address().ip().to_string()),
        &format!(
            "set passive {passive}\n\
             set confirm-close no\n\
             ls\n\
             get big.bin\n\
             get \"two words.txt\"\n\
             put up.bin\n\
             put -z \"local words.txt\" \"remote words.txt\"\n\
             mkdir made\n\
             mkdir \"not for long\"\n\
             rmdir \"not for long\"\n\
             rename old.txt \"new name.txt\"\n\
             cd many\n\
             lcd down\n\
             mget *\n\
             cd /incoming\n\
             lcd ../up\n\
             mput *\n\
             cd /doomed\n\
             rm *\n\
             bye\n"
        ),
    );
    core_done(&client, &server, &tree, &transcript);
    globs_done(&client, &server);
    data_mode_was(&server, mode);
}

#[test]
fn ncftp_passive() {
    core("passive");
}

#[test]
fn ncftp_active() {
    core("active");
}

/// `ncftpls`, `ncftpget` and `ncftpput`, each with its own way of asking for active mode.
fn one_shot(flag: &str, mode: &str) {
    let Some(client) = client("ncftp") else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    let port = server.address().port().to_string();
    let login = ["-u", USER, "-p", PASSWORD, "-P", &port, flag];
    let listing =
        client.run(client.sibling("ncftpls").args(login).arg(format!("ftp://{}/", server.address().ip())), "");
    assert!(listing.contains("two words.txt"), "{listing}");
    client.run(client.sibling("ncftpget").args(login).args(["-R", "127.0.0.1", "down", "/many", "/big.bin"]), "");
    assert!(client.read("down/big.bin") == tree.big);
    assert_eq!(client.read("down/many/and three.txt"), b"333\n");
    client
        .run(client.sibling("ncftpput").args(login).args(["-m", "-R", "127.0.0.1", "/made/here", "up", "up.bin"]), "");
    assert!(server.read("made/here/up.bin") == tree.up);
    assert_eq!(server.read("made/here/up/u and 3.txt"), b"u3\n");
    data_mode_was(&server, mode);
}

#[test]
fn ncftp_one_shot_programs_passive() {
    one_shot("-F", "passive");
}

#[test]
fn ncftp_one_shot_programs_active() {
    one_shot("-E", "active");
}

/// Downloads only: ncftpput 3.2.6 sends the whole file behind its REST, to any server.
#[test]
fn ncftpget_resumes() {
    let Some(client) = client("ncftp") else { return };
    let (server, tree) = server();
    client.write("big.bin", &tree.big[..250_000]);
    let port = server.address().port().to_string();
    client.run(
        client.sibling("ncftpget").args(["-u", USER, "-p", PASSWORD, "-P", &port, "-z", "127.0.0.1", ".", "/big.bin"]),
        "",
    );
    assert!(client.read("big.bin") == tree.big);
    let got = server.event_where("transfer", |event| event["verb"] == "RETR");
    assert_eq!(got["bytes"], 700_001 - 250_000, "ncftpget asked for the whole file");
}
