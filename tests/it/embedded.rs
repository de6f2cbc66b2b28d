//! The library in an application of its own: no binary, no process, no log file.

use std::time::Duration;

use longshore::Server;
use longshore::limits::RememberedFailures;
use longshore::sessions::What;
use longshore::settings::Settings;
use suppaftp::FtpStream;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

#[test]
fn an_application_can_serve_watch_and_stop() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("x"), "contents").unwrap();
    let mut settings = Settings::default();
    settings.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.storage.root = root.path().to_owned();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(settings).await.unwrap();
        let mut events = server.events().subscribe();
        let address = server.addresses()[0];
        let client = spawn_blocking(move || {
            let mut ftp = FtpStream::connect(address).unwrap();
            let port = ftp.get_ref().local_addr().unwrap().port();
            ftp.login("anonymous", "x").unwrap();
            let contents = ftp.retr_as_buffer("x").unwrap().into_inner();
            ftp.quit().unwrap();
            (port, contents)
        });
        let (port, contents) = timeout(Duration::from_secs(10), client).await.unwrap().unwrap();
        assert_eq!(contents, b"contents");
        let opened = events.try_recv().unwrap();
        assert!(matches!(opened.what, What::SessionOpened { .. }));
        assert_eq!((opened.ends.client.port(), opened.ends.server), (port, address));
        timeout(Duration::from_secs(10), server.shut_down()).await.unwrap();
    });
}

#[test]
fn an_application_sees_failed_logins_and_forgets_them() {
    let root = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.storage.root = root.path().to_owned();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start(settings).await.unwrap();
        let address = server.addresses()[0];
        let client = spawn_blocking(move || FtpStream::connect(address).unwrap().login("nobody", "x").is_err());
        assert!(timeout(Duration::from_secs(10), client).await.unwrap().unwrap());
        let expected = RememberedFailures {
            user: Some("(unknown)".to_owned()),
            address: Some(address.ip()),
            failures: 1,
            wait: Duration::from_secs(1),
        };
        assert_eq!(server.login_failures(), [expected]);
        assert_eq!(server.clear_login_failures(Some("somebody"), None), 0);
        assert_eq!(server.clear_login_failures(Some("nobody"), Some(address.ip())), 1);
        assert_eq!(server.login_failures(), []);
        timeout(Duration::from_secs(10), server.shut_down()).await.unwrap();
    });
}
