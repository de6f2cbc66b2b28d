//! Names and what is known of them: PWD, CWD, MKD, RMD, DELE, RNFR, RNTO, SIZE, MDTM, MFMT, MLST, SITE.
//!
//! What changes the namespace goes through the engine; what only looks, or changes attributes, asks the storage.

use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;

use super::parameters::number;
use super::practice::Asker;
use super::reply::Reply;
use super::session::Session;
use crate::blocking::briefly;
use crate::engine::Request;
use crate::storage::{Fault, FaultKind, Kind, Storage, VirtualPath, machine_line, modification_time};

impl Session {
    pub(super) fn print_directory(&self) -> Reply {
        Reply::directory(self.directory.as_bytes(), "is the working directory.")
    }

    pub(super) async fn change_directory(&mut self, argument: &[u8]) -> Result<Reply, Fault> {
        self.directory = self.request(argument, Request::Enter).await?;
        Ok(Reply::new(250, format!("The working directory is {}.", self.directory)))
    }

    pub(super) async fn make_directory(&mut self, argument: &[u8]) -> Result<Reply, Fault> {
        let path = self.request(argument, Request::MakeDirectory).await?;
        Ok(Reply::directory(path.as_bytes(), "was made."))
    }

    pub(super) async fn remove_directory(&mut self, argument: &[u8]) -> Result<Reply, Fault> {
        let path = self.request(argument, Request::RemoveDirectory).await?;
        Ok(Reply::new(250, format!("The directory {path} is removed.")))
    }

    pub(super) async fn delete(&mut self, argument: &[u8]) -> Result<Reply, Fault> {
        let path = self.request(argument, Request::Delete).await?;
        Ok(Reply::new(250, format!("{path} is deleted.")))
    }

    pub(super) async fn rename_from(&mut self, argument: &[u8]) -> Result<Reply, Fault> {
        self.rename_from = None;
        let path = self.request(argument, Request::Find).await?;
        let text = format!("{path} is there. Now the new name, with RNTO.");
        self.rename_from = Some(path);
        Ok(Reply::new(350, text))
    }

    pub(super) async fn rename_to(&mut self, argument: &[u8]) -> Result<Reply, Fault> {
        let Some(from) = self.rename_from.take() else {
            return Ok(Reply::new(503, "Send RNFR with the old name first."));
        };
        let to = self.request(argument, Request::RenameFrom(&from)).await?;
        Ok(Reply::new(250, format!("{from} is now {to}.")))
    }

    /// Has the engine do something with the path that `argument` means.
    async fn request(&mut self, argument: &[u8], request: Request<'_>) -> Result<VirtualPath, Fault> {
        let path = self.directory.resolve(argument)?;
        self.engine.request(request, &path).await?;
        Ok(path)
    }

    pub(super) fn size(&self, argument: &[u8]) -> Reply {
        if self.converts() {
            return Reply::new(550, "The size of a text depends on its line ends. Send TYPE I (binary) first.");
        }
        self.look(argument, |storage, path| {
            let facts = storage.stat(path)?;
            match facts.kind {
                Kind::File => Ok(Reply::new(213, facts.size.to_string())),
                _ => Err(Fault::new(FaultKind::NotAFile, format!("{path} is not a regular file, so it has no size."))),
            }
        })
    }

    pub(super) fn modification_time(&self, argument: &[u8]) -> Reply {
        self.look(argument, |storage, path| Ok(Reply::new(213, modification_time(&storage.stat(path)?))))
    }

    /// MFMT (draft-somers-ftp-mfxx): `MFMT YYYYMMDDhhmmss path`.
    pub(super) fn set_modification_time(&self, argument: &[u8]) -> Reply {
        let (stamp, path) = split_word(argument);
        let Some(modified) = timestamp(stamp).filter(|_| !path.is_empty()) else {
            return Reply::new(501, "MFMT needs a time as YYYYMMDDhhmmss (UTC) and a path.");
        };
        self.look(path, |storage, path| {
            storage.set_modified(path, modified)?;
            let stamp = String::from_utf8_lossy(stamp).into_owned();
            Ok(Reply::new(213, [format!("Modify={stamp}; ").as_bytes(), path.as_bytes()].concat()))
        })
    }

    /// MLST (RFC 3659, 7): the facts of one file over the control connection.
    pub(super) fn facts_of(&self, argument: &[u8]) -> Reply {
        self.look(argument, |storage, path| {
            let facts = storage.stat_or_link(path)?;
            let line = machine_line(&facts, storage.words(path), &self.parameters.facts, path.as_bytes());
            Ok(Reply::long(250, format!("Facts of {path}:"), vec![[b" ", line.as_slice()].concat()], "End."))
        })
    }

    pub(super) fn site(&self, argument: &[u8]) -> Reply {
        let (name, argument) = split_word(argument);
        match name.to_ascii_uppercase().as_slice() {
            b"CHMOD" => self.change_mode(argument),
            b"UTIME" => self.set_times(argument),
            b"QUOTA" => self.site_quota(),
            b"HELP" => self.site_help(),
            name => self
                .practise(name, argument)
                .unwrap_or_else(|| Reply::new(501, "This SITE command is not served; SITE HELP lists those that are.")),
        }
    }

    fn site_help(&self) -> Reply {
        let own = [
            "SITE CHMOD mode path (mode is octal: 644)",
            "SITE UTIME YYYYMMDDhhmm[ss] path",
            "SITE UTIME path accessed modified created UTC (each YYYYMMDDhhmmss)",
            "SITE QUOTA",
        ];
        let lessons = self.shared.practice.get().map(|practice| practice.help()).unwrap_or_default();
        let lines = own.into_iter().map(str::to_owned).chain(lessons);
        Reply::long(214, "SITE commands:", lines.map(|line| format!(" {line}").into_bytes()).collect(), "End.")
    }

    /// What a lesson answers, where one is given and knows the word.
    fn practise(&self, word: &[u8], argument: &[u8]) -> Option<Reply> {
        let (practice, login) = (self.shared.practice.get()?, self.login.as_ref()?);
        let (session, ends) = (self.recorder.session(), self.recorder.ends());
        let asker = Asker { session, user: &login.account.name, ends };
        let (word, argument) = (str::from_utf8(word).ok()?, String::from_utf8_lossy(argument));
        // It may wait for its store.
        let lines = tokio::task::block_in_place(|| practice.site(asker, word, &argument))?;
        Some(Reply::lines(200, lines))
    }

    fn change_mode(&self, argument: &[u8]) -> Reply {
        let (mode, path) = split_word(argument);
        let octal = (1..=4).contains(&mode.len()) && mode.iter().all(|digit| (b'0'..=b'7').contains(digit));
        let mode = mode.iter().fold(0, |mode, digit| mode * 8 + u32::from(digit.wrapping_sub(b'0')));
        if !octal || path.is_empty() {
            return Reply::new(501, "SITE CHMOD needs an octal mode and a path: SITE CHMOD 644 name");
        }
        self.look(path, |storage, path| {
            storage.set_mode(path, mode)?;
            Ok(Reply::new(200, format!("The mode of {path} is {mode:03o}.")))
        })
    }

    /// Both forms that clients send: `time path`, and ncftp's `path accessed modified created UTC`.
    fn set_times(&self, argument: &[u8]) -> Reply {
        let (first, rest) = split_word(argument);
        let words: Vec<&[u8]> = argument.rsplitn(5, |&byte| byte == b' ').collect();
        let (modified, path) = match words.as_slice() {
            [zone, created, modified, accessed, path]
                if zone.eq_ignore_ascii_case(b"UTC")
                    && timestamp(created).is_some()
                    && timestamp(accessed).is_some() =>
            {
                (timestamp(modified), *path)
            }
            _ => (timestamp(first), rest),
        };
        let Some(modified) = modified.filter(|_| !path.is_empty()) else {
            return Reply::new(501, "SITE UTIME needs a time as YYYYMMDDhhmmss (UTC) and a path.");
        };
        self.look(path, |storage, path| {
            storage.set_modified(path, modified)?;
            Ok(Reply::new(200, format!("The time of {path} is set.")))
        })
    }

    /// Asks the storage of who is logged in about a path as the client wrote it.
    fn look(&self, argument: &[u8], ask: impl FnOnce(&Storage, &VirtualPath) -> Result<Reply, Fault>) -> Reply {
        let ask = |storage| ask(storage, &self.directory.resolve(argument)?);
        briefly(|| self.storage().and_then(ask)).into()
    }

    /// The storage of who is logged in. The table of verbs lets nobody else come here.
    pub(super) fn storage(&self) -> Result<&Storage, Fault> {
        let login = self.login.as_ref();
        login.map(|login| &login.storage).ok_or_else(|| Fault::new(FaultKind::Permission, "Log in first."))
    }
}

/// The first word, and everything behind the one space that follows it.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, &[]),
    }
}

/// `YYYYMMDDhhmmss`, its seconds optional and a fraction ignored (RFC 3659, 2.3), in UTC.
fn timestamp(text: &[u8]) -> Option<SystemTime> {
    let digits = text.split(|&byte| byte == b'.').next()?;
    number(digits)?;
    let format = match digits.len() {
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        _ => return None,
    };
    let seconds = NaiveDateTime::parse_from_str(std::str::from_utf8(digits).ok()?, format).ok()?.and_utc().timestamp();
    // Times before 1970 are a file system's business that none of our clients has.
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        timestamp(text.as_bytes()).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn timestamps_are_utc_and_may_lack_seconds() {
        assert_eq!(seconds("20260102030405"), Some(1_767_323_045));
        assert_eq!(seconds("20260102030405.678"), Some(1_767_323_045));
        assert_eq!(seconds("202601020304"), Some(1_767_323_040));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "20260102", "20261302030405", "+2026010203040", "19691231235959", "2026010203040x"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_moment_from_1970_to_9999_is_read_and_written_alike(at in 0..253_402_300_800u64) {
            let time = chrono::DateTime::from_timestamp(at as i64, 0).unwrap();
            prop_assert_eq!(seconds(&time.format("%Y%m%d%H%M%S").to_string()), Some(at));
        }

        #[test]
        fn any_text_is_a_moment_or_none(text in "[0-9.+ -]{0,20}", bytes in vec(any::<u8>(), 0..40)) {
            for text in [text.as_bytes(), &bytes] {
                if timestamp(text).is_some() {
                    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    prop_assert!(matches!(digits, 12 | 14));
                }
                let (word, rest) = split_word(text);
                prop_assert!(!word.contains(&b' ') && word.len() + rest.len() <= text.len());
            }
        }
    }
}
