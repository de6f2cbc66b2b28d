//! Python's ftplib, and with it whatever scripts are written in.

use std::net::SocketAddr;

use super::{PASSWORD, USER, client, core_done, data_mode_was, globs_done, local_tree, server};
use crate::fixture::no_ipv6;

/// Each statement raises, and so fails the run, when the server refuses.
const PROGRAM: &str = r#"
import ftplib, glob, os, sys
host, port, mode, user, password = sys.argv[1:]
ftp = ftplib.FTP(timeout=10, encoding="utf-8")
ftp.set_debuglevel(1)
ftp.connect(host, int(port))
ftp.login(user, password)
ftp.set_pasv(mode == "passive")
listing = []
ftp.dir(listing.append)
open("listing.txt", "w").write("\n".join(listing))
assert sorted(ftp.nlst("many")) == sorted(["many/one.txt", "many/two.txt", "many/and three.txt"]), ftp.nlst("many")
facts = dict(ftp.mlsd("", ["type", "size"]))
assert facts["big.bin"] == {"type": "file", "size": "700001"}, facts
assert facts["many"]["type"] == "dir", facts
def get(name, to):
    with open(to, "wb") as file:
        ftp.retrbinary("RETR " + name, file.write)
def put(name, to):
    with open(name, "rb") as file:
        ftp.storbinary("STOR " + to, file)
get("big.bin", "big.bin")
get("two words.txt", "two words.txt")
put("up.bin", "up.bin")
put("local words.txt", "remote words.txt")
assert ftp.size("up.bin") == 300001
assert ftp.mkd("made") == "/made"
ftp.mkd("not for long")
ftp.rmd("not for long")
ftp.rename("old.txt", "new name.txt")
for name in ftp.nlst("many/*"):
    get(name, "down/" + os.path.basename(name))
ftp.cwd("incoming")
assert ftp.pwd() == "/incoming"
for name in glob.glob("up/*"):
    put(name, os.path.basename(name))
ftp.cwd("/doomed")
for name in ftp.nlst("*"):
    ftp.delete(name)
# Resume both ways.
ftp.cwd("/")
with open("big.bin", "rb") as file:
    whole = file.read()
part = []
ftp.retrbinary("RETR big.bin", part.append, rest=250000)
assert b"".join(part) == whole[250000:]
with open("tail", "wb") as file:
    file.write(whole[400000:])
with open("head", "wb") as file:
    file.write(whole[:400000])
put("head", "resumed.bin")
with open("tail", "rb") as file:
    ftp.storbinary("STOR resumed.bin", file, rest=400000)
assert ftp.size("resumed.bin") == len(whole)
# Text, line by line.
put("local words.txt", "text.txt")
lines = []
ftp.retrlines("RETR text.txt", lines.append)
assert lines == ["sent with a space"], lines
# An abort in the middle of a download, and the session goes on.
ftp.voidcmd("TYPE I")
conn = ftp.transfercmd("RETR endless.bin")
conn.recv(1)
assert ftp.abort().startswith("426")
conn.close()
ftp.voidresp()
ftp.voidcmd("NOOP")
assert ftp.pwd() == "/"
print(ftp.quit())
"#;

fn core(mode: &str, address: impl Fn(&crate::fixture::Server) -> SocketAddr) {
    let Some(client) = client("python3") else { return };
    let (server, tree) = server();
    local_tree(&client, &tree);
    client.write("program.py", PROGRAM);
    server.write_sparse("endless.bin", 1 << 40);
    let address = address(&server);
    client.run(
        client
            .command()
            .args(["program.py", &address.ip().to_string(), &address.port().to_string()])
            .args([mode, USER, PASSWORD]),
        "",
    );
    let listing = String::from_utf8(client.read("listing.txt")).unwrap();
    core_done(&client, &server, &tree, &listing);
    globs_done(&client, &server);
    assert!(server.read("resumed.bin") == tree.big);
    data_mode_was(&server, mode);
}

#[test]
fn ftplib_passive() {
    core("passive", |server| server.address());
}

#[test]
fn ftplib_active() {
    core("active", |server| server.address());
}

#[test]
fn ftplib_passive_ipv6() {
    if no_ipv6() {
        return;
    }
    core("passive", |server| server.address_v6());
}

#[test]
fn ftplib_active_ipv6() {
    if no_ipv6() {
        return;
    }
    core("active", |server| server.address_v6());
}
