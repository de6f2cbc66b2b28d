//! Transfers as wu-ftpd wrote them (xferlog(5)), for programs that analyse such logs.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Local, TimeZone};
use tokio::sync::broadcast::Receiver;

use super::gathered::{Gathered, Next};
use super::log::Complaint;
use super::{Event, LoginOutcome, TransferOutcome, What};
use crate::accounts::is_anonymous;
use crate::server::Part;
use crate::settings::Faults;

/// The log, whose file reloads open anew.
#[derive(Debug, Clone)]
pub struct Xferlog(Arc<Mutex<Option<File>>>, Arc<Complaint>);

impl Xferlog {
    /// Opens the file, if there is to be one; the part has it follow reloads.
    pub fn open(path: Option<&Path>) -> io::Result<(Self, Part)> {
        let complaint = Arc::new(Complaint::about("xferlog"));
        let log = Self(Arc::new(Mutex::new(path.map(append_to).transpose()?)), complaint);
        let reopened = log.clone();
        let part: Part = Box::new(move |settings| {
            let file = settings.log.xferlog.as_deref().map(append_to).transpose();
            let file =
                file.map_err(|error| Faults::one("log.xferlog", format!("the file cannot be opened: {error}")))?;
            let log = reopened.clone();
            Ok(Box::new(move || *log.0.lock().unwrap_or_else(PoisonError::into_inner) = file))
        });
        Ok((log, part))
    }

    /// Writes the transfers of files until the last session and the server are gone. It blocks its thread.
    pub fn follow(self, events: Receiver<Arc<Event>>) {
        let mut users: HashMap<u64, String> = HashMap::new();
        let mut events = Gathered::from(events);
        while let Some(next) = events.next(|| ()) {
            let event = match next {
                Next::Event(event) => event,
                Next::Missed(missed) => {
                    tracing::error!(missed, "xferlog is too slow for the traffic: transfers may be missing");
                    continue;
                }
            };
            match &event.what {
                What::Login { user, outcome: LoginOutcome::Ok, .. } => drop(users.insert(event.session, user.clone())),
                What::SessionClosed { .. } => drop(users.remove(&event.session)),
                What::Transfer { .. } => self.write(&event, users.get(&event.session)),
                _ => {}
            }
        }
    }

    fn write(&self, event: &Event, user: Option<&String>) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file.as_mut() else { return };
        if let Some(line) = line(event, user.map_or("?", |user| user), &Local) {
            // A part of the line before may be there.
            let begin = if self.1.is_made() { "\n" } else { "" };
            let written = file.write_all([begin, &*line].concat().as_bytes());
            self.1.follow(&written);
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// The line of a file's transfer; listings have none. What would tear a line or a field apart becomes `_`.
fn line<Zone: TimeZone<Offset: std::fmt::Display>>(event: &Event, user: &str, zone: &Zone) -> Option<String> {
    let What::Transfer { verb, path, r#type, bytes, outcome, duration, .. } = &event.what else { return None };
    let direction = match *verb {
        "RETR" => 'o',
        "STOR" | "APPE" | "STOU" => 'i',
        _ => return None,
    };
    let field = |text: &str| text.replace(|char: char| char.is_whitespace() || char.is_control(), "_");
    let time = DateTime::<chrono::Utc>::from(event.time).with_timezone(zone).format("%a %b %e %H:%M:%S %Y");
    let (seconds, host, path) = (duration.as_secs(), event.ends.client.ip(), field(path));
    let r#type = if *r#type == 'A' { 'a' } else { 'b' };
    let mode = if is_anonymous(user) { 'a' } else { 'r' };
    let status = if *outcome == TransferOutcome::Complete { 'c' } else { 'i' };
    let user = field(user);
    Some(format!("{time} {seconds} {host} {bytes} {path} {type} _ {direction} {mode} {user} ftp 0 * {status}\n"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::sessions::{Ends, Side};

    fn transfer(verb: &'static str, path: &str, r#type: char, outcome: TransferOutcome) -> Event {
        let ends = Ends { client: "192.0.2.7:51312".parse().unwrap(), server: "192.0.2.1:50000".parse().unwrap() };
        let (path, duration) = (path.to_owned(), Duration::from_millis(2999));
        let closed_first = Side::Server;
        let what = What::Transfer { verb, path, r#type, bytes: 1204, sha256: None, outcome, closed_first, duration };
        Event { time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_599), session: 1, ends, what }
    }

    #[test]
    fn lines_have_wu_ftpd_s_fields() {
        let line_of = |event: &Event, user: &str| line(event, user, &chrono::Utc);
        assert_eq!(
            line_of(&transfer("RETR", "/pub/a b.iso", 'I', TransferOutcome::Complete), "ann").unwrap(),
            "Thu Dec 31 23:59:59 2026 2 192.0.2.7 1204 /pub/a_b.iso b _ o r ann ftp 0 * c\n"
        );
        assert_eq!(
            line_of(&transfer("STOR", "/x\ny\u{85}", 'A', TransferOutcome::Aborted), "anonymous").unwrap(),
            "Thu Dec 31 23:59:59 2026 2 192.0.2.7 1204 /x_y_ a _ i a anonymous ftp 0 * i\n"
        );
        assert_eq!(line_of(&transfer("LIST", "/", 'A', TransferOutcome::Complete), "ann"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_one_field_of_one_line(path in any::<String>(), user in "\\PC{1,20}") {
            let line = line(&transfer("RETR", &format!("/{path}"), 'I', TransferOutcome::Complete), &user, &chrono::Utc).unwrap();
            prop_assert_eq!(line.split_whitespace().count(), 18, "{}", line);
            prop_assert!(line.ends_with(" c\n") && !line[..line.len() - 1].chars().any(char::is_control));
        }
    }
}
