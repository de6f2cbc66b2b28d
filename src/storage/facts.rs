//! What is known about a file without opening it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, Timelike, Utc};
use rustix::fs::{FileType, Stat, fstat};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link that was not followed.
    Link,
    /// A FIFO, socket or device: nothing for FTP.
    Other,
}

/// Which file or directory it is, whatever its name. The number of one that is gone is given away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    /// Which one `file` is.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(&fstat(file)?))
    }
}

impl From<&Stat> for FileId {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl From<&Facts> for FileId {
    fn from(facts: &Facts) -> Self {
        Self { device: facts.device, inode: facts.inode }
    }
}

/// What is known about a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// When its contents changed last.
    pub modified: SystemTime,
    /// `st_mode`: the type of file and the permission bits; see [`Facts::permissions`].
    pub mode: u32,
    /// The device that it is on.
    pub device: u64,
    /// Its inode, unique on its device.
    pub inode: u64,
    /// How many names it has.
    pub links: u64,
    /// The number of its owner.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

impl Facts {
    /// The permission bits, setuid, setgid and sticky included.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// When its contents changed last, in UTC, for formatting.
    pub(super) fn modified_utc(&self) -> DateTime<Utc> {
        utc(self.modified)
    }
}

// st_nlink is 64 bits wide on some architectures and 32 on others.
#[allow(clippy::useless_conversion)]
impl From<&Stat> for Facts {
    fn from(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        Self {
            kind,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: system_time(stat),
            mode: stat.st_mode,
            device: stat.st_dev,
            inode: stat.st_ino,
            links: stat.st_nlink.into(),
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }
}

fn system_time(stat: &Stat) -> SystemTime {
    let whole = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let seconds = match stat.st_mtime {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    seconds.unwrap_or(SystemTime::UNIX_EPOCH) + Duration::from_nanos(stat.st_mtime_nsec)
}

/// chrono's own conversion panics on years that it does not know; a file's time comes from whoever set it.
fn utc(time: SystemTime) -> DateTime<Utc> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs_f64().ceil() as u64).ok().map(|seconds| -seconds),
    };
    let date = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or(DateTime::UNIX_EPOCH);
    // Both line formats have room for four digits.
    if (0..=9999).contains(&date.year()) { date } else { DateTime::UNIX_EPOCH }
}

/// Appends `number` in decimal, at least `width` characters wide, filled on the left with `fill`.
///
/// `write!` takes three times as long, and a listing writes some ten numbers a line.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64, width: usize, fill: u8) {
    let mut digits = [fill; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

/// Appends the hour and minute of `time`, and the seconds where a format has them.
pub(super) fn push_clock(out: &mut Vec<u8>, time: &DateTime<Utc>, separator: &[u8]) {
    push_number(out, time.hour().into(), 2, b'0');
    out.extend_from_slice(separator);
    push_number(out, time.minute().into(), 2, b'0');
}

/// Appends a name as a line may carry it: CR and LF would forge another line, all other bytes stay what they are.
pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    out.extend(name.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b'?' } else { byte }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u64, width: usize, fill: u8) -> String {
        let mut out = Vec::new();
        push_number(&mut out, number, width, fill);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_filled_but_never_cut() {
        assert_eq!(number(0, 1, b' '), "0");
        assert_eq!(number(7, 4, b' '), "   7");
        assert_eq!(number(12345, 4, b'0'), "12345");
        assert_eq!(number(u64::MAX, 8, b' '), u64::MAX.to_string());
    }

    #[test]
    fn times_that_no_calendar_knows_become_the_epoch() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert_eq!(utc(far), DateTime::UNIX_EPOCH);
        assert_eq!(utc(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).year(), 1969);
    }
}
