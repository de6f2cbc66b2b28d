//! Clocks that jump: what waits goes by another one, which does not.

use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::clients::client;
use crate::fixture::{Server, poll};
use crate::ftp::Ftp;

/// The idle timeout.
const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_clock_that_jumps_ends_nothing_and_puts_nothing_off() {
    if client("faketime").is_none() {
        return;
    }
    let builder = Server::builder().account_with("ann", "pw", "expires = \"2200-01-01\"");
    let now = builder.beside("now");
    let set = |to: &str| {
        // In one step: half of it is another time.
        fs::write(now.with_extension("next"), to).unwrap();
        fs::rename(now.with_extension("next"), &now).unwrap();
    };
    set("+0");
    let builder = builder.server(&format!("idle_timeout = {0}\ndata_timeout = {0}", LIMIT.as_secs()));
    // The loader knows what $LIB is here.
    let server = builder
        .environment(&[
            "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1",
            &format!("FAKETIME_TIMESTAMP_FILE={}", now.display()),
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        ])
        .file("x", "x")
        .start();
    server.write_sparse("endless", 1 << 40);
    let (mut idle, mut loading) = (Ftp::anonymous(&server), Ftp::anonymous(&server));
    let mut data = loading.open("RETR endless");
    for (to, year, ann) in
        [("@2300-01-01 00:00:00", "2300", 530), ("@1980-01-01 00:00:00", "1980", 230), ("+0", "20", 230)]
    {
        set(to);
        let jumped = Instant::now();
        data.read_exact(&mut [0; 1_000_000]).unwrap();
        loading.expect(200, "NOOP");
        idle.lives();
        let mut ftp = Ftp::connect(server.address());
        ftp.expect(331, "USER ann");
        ftp.expect(ann, "PASS pw");
        drop(ftp);
        let mut ftp = Ftp::anonymous(&server);
        ftp.put("STOR new", b"new");
        assert_eq!(ftp.get("RETR x"), b"x");
        // MLSD tells of the directory itself, too.
        for (line, count) in [("LIST", 3), ("MLSD", 4)] {
            assert_eq!(ftp.list(line).len(), count, "{line}");
        }
        let took = jumped.elapsed().as_secs_f64() * 1e3;
        let is_now = |event: &serde_json::Value| event["time"].as_str().unwrap().starts_with(year);
        let upload = server.event_where("transfer", |event| event["verb"] == "STOR" && is_now(event));
        assert!(upload["milliseconds"].as_f64().unwrap() < took, "{upload}");
    }
    let since = Instant::now();
    idle.lives();
    let told = poll(|| idle.stream().peek(&mut [0]).is_ok().then_some(()));
    assert!(told.is_some() && since.elapsed() > LIMIT - Duration::from_millis(100), "{:?}", since.elapsed());
    idle.read(421);
    loading.wait_for(2 * LIMIT + Duration::from_secs(5));
    loading.read(426);
}
