//! Lines as `ls -l` prints them, which is what clients without MLSD understand.

use std::time::{Duration, SystemTime};

use chrono::Datelike;

use super::facts::{Facts, Kind, push_clock, push_name, push_number};

/// From this age on `ls -l` and the servers that imitate it print the year in place of the time.
const RECENT: Duration = Duration::from_secs(182 * 24 * 60 * 60);

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Appends one line of a long listing, without its end. `target` is where a symbolic link leads. Times are UTC.
pub(super) fn push_long_line(out: &mut Vec<u8>, facts: &Facts, now: SystemTime, name: &[u8], target: Option<&[u8]>) {
    push_mode(out, facts);
    out.push(b' ');
    push_number(out, facts.links, 4, b' ');
    push_left(out, facts.uid);
    push_left(out, facts.gid);
    out.push(b' ');
    push_number(out, facts.size, 8, b' ');
    out.push(b' ');
    push_date(out, facts, now);
    out.push(b' ');
    push_name(out, name);
    if let Some(target) = target {
        out.extend_from_slice(b" -> ");
        push_name(out, target);
    }
}

fn push_mode(out: &mut Vec<u8>, facts: &Facts) {
    out.push(match facts.kind {
        Kind::File => b'-',
        Kind::Directory => b'd',
        Kind::Link => b'l',
        Kind::Other => match facts.mode & 0o170_000 {
            0o010_000 => b'p',
            0o140_000 => b's',
            0o060_000 => b'b',
            _ => b'c',
        },
    });
    for (shift, special, letter) in [(6, 0o4000, b's'), (3, 0o2000, b's'), (0, 0o1000, b't')] {
        let bits = facts.mode >> shift;
        out.push(if bits & 4 != 0 { b'r' } else { b'-' });
        out.push(if bits & 2 != 0 { b'w' } else { b'-' });
        out.push(match (facts.mode & special != 0, bits & 1 != 0) {
            (false, false) => b'-',
            (false, true) => b'x',
            (true, false) => letter.to_ascii_uppercase(),
            (true, true) => letter,
        });
    }
}

/// A blank and the number of an owner or a group, filled on the right to eight characters.
fn push_left(out: &mut Vec<u8>, number: u32) {
    out.push(b' ');
    let end = out.len() + 8;
    push_number(out, number.into(), 1, b' ');
    out.resize(end.max(out.len()), b' ');
}

fn push_date(out: &mut Vec<u8>, facts: &Facts, now: SystemTime) {
    let date = facts.modified_utc();
    out.extend_from_slice(MONTHS[date.month0() as usize]);
    out.push(b' ');
    push_number(out, date.day().into(), 2, b'0');
    out.push(b' ');
    if now.duration_since(facts.modified).is_ok_and(|age| age <= RECENT) {
        push_clock(out, &date, b":");
    } else {
        push_number(out, u64::try_from(date.year()).unwrap_or(0), 5, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02 03:04:05 UTC.
    fn new_year() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
    }

    fn line(mode: u32, kind: Kind, now: SystemTime, name: &[u8], target: Option<&[u8]>) -> String {
        let facts =
            Facts { kind, size: 1234, modified: new_year(), mode, device: 1, inode: 2, links: 1, uid: 1000, gid: 1000 };
        let mut out = Vec::new();
        push_long_line(&mut out, &facts, now, name, target);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn recent_files_show_their_time() {
        let now = new_year() + Duration::from_secs(60);
        assert_eq!(
            line(0o100_644, Kind::File, now, b"a b", None),
            "-rw-r--r--    1 1000     1000         1234 Jan 02 03:04 a b"
        );
    }

    #[test]
    fn old_and_future_files_show_their_year() {
        for now in [new_year() + RECENT + Duration::from_secs(1), new_year() - Duration::from_secs(1)] {
            assert_eq!(
                line(0o041_777, Kind::Directory, now, b"tmp", None),
                "drwxrwxrwt    1 1000     1000         1234 Jan 02  2026 tmp"
            );
        }
    }

    #[test]
    fn no_name_and_no_target_forges_a_line() {
        assert_eq!(
            line(0o120_777, Kind::Link, new_year(), b"a\r\nb", Some(b"c\nd")),
            "lrwxrwxrwx    1 1000     1000         1234 Jan 02 03:04 a??b -> c?d"
        );
    }

    #[test]
    fn special_bits_and_special_files_have_their_letters() {
        assert!(line(0o106_640, Kind::File, new_year(), b"x", None).starts_with("-rwSr-S--- "));
        assert!(line(0o010_600, Kind::Other, new_year(), b"x", None).starts_with("prw------- "));
    }
}
