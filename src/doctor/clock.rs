//! The clock: logs, times of files and certificates rest on it.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::{Finding, Level};

/// How far a program's file may lie in the future: it may come from a machine with another idea of the time.
const TOLERANCE: Duration = Duration::from_secs(24 * 3600);

const ABOUT: &str = "clock";
const CURE: &str = "set it, and keep it right with timedatectl set-ntp true or chrony";

pub(super) fn examine() -> Finding {
    let made = env::current_exe().and_then(|program| fs::metadata(program)?.modified()).ok();
    judge(SystemTime::now(), made, is_synchronised())
}

fn judge(now: SystemTime, made: Option<SystemTime>, synchronised: Option<bool>) -> Finding {
    let shown = |time: SystemTime| DateTime::<Utc>::from(time).format("%F %T UTC").to_string();
    if let Some(made) = made.filter(|made| *made > now + TOLERANCE) {
        let text = format!("it says {}, and this program was made at {}; {CURE}", shown(now), shown(made));
        return Finding::new(Level::Warning, ABOUT, text);
    }
    let now = shown(now);
    match synchronised {
        Some(true) => Finding::new(Level::Good, ABOUT, format!("it says {now}, and is synchronised")),
        Some(false) => Finding::new(Level::Warning, ABOUT, format!("it says {now}, and is not synchronised; {CURE}")),
        None => {
            let text = format!(
                "it says {now}; whether it is synchronised cannot be seen from here (timedatectl says nothing)"
            );
            Finding::new(Level::Note, ABOUT, text)
        }
    }
}

/// What the kernel was told by whoever keeps its clock: systemd-timesyncd, chrony, ntpd.
fn is_synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null());
    match command.output().ok()?.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_before_the_program_was_made_and_doubtful_without_a_keeper() {
        let day = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 3600);
        for (now, made, synchronised, level, part) in [
            (
                0,
                Some(20_000),
                Some(true),
                Level::Warning,
                "says 1970-01-01 00:00:00 UTC, and this program was made at 2024-",
            ),
            (20_000, Some(20_001), Some(true), Level::Good, "2024-10-04 00:00:00 UTC, and is synchronised"),
            (
                20_000,
                None,
                Some(false),
                Level::Warning,
                "is not synchronised; set it, and keep it right with timedatectl",
            ),
            (20_000, None, None, Level::Note, "whether it is synchronised cannot be seen"),
        ] {
            let found = judge(day(now), made.map(day), synchronised);
            assert!(found.level == level && found.text.contains(part), "{found:?}");
        }
    }
}
