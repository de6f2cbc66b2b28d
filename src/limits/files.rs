//! Whether the limits fit into the limit of open files.

use rustix::process::{Resource, getrlimit};

use crate::http;
use crate::settings::Settings;

/// Descriptors of the process itself: standard streams, the session log, the reactor, the root, the accounts file.
const ITSELF: u64 = 32;

/// Descriptors of one session at its busiest, counted in `/proc`: the control connection and the home; besides, three of
/// the engine and a passive port, or the data connection, the file, its directory and the upload beside it.
const OF_A_SESSION: u64 = 6;

/// What to change so that all sessions and HTTP connections fit into the descriptors that this process may have, or `None`
/// when they do. Every other limit of sessions is within `max_sessions`. The soft limit is what counts, unless it will be
/// `raised` to the hard one.
pub(crate) fn advice(settings: &Settings, listeners: usize, raised: bool) -> Option<String> {
    within(settings, listeners, if raised { hard_limit() } else { getrlimit(Resource::Nofile).current })
}

/// How many descriptors this process may have when it has raised the soft limit; `None` for any number.
pub(crate) fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// The same advice for a process with this limit.
pub(crate) fn within(settings: &Settings, listeners: usize, limit: Option<u64>) -> Option<String> {
    let http = (settings.metrics.listen.len() + settings.page.listen.len()) * (1 + http::CONNECTIONS);
    too_few(settings.limits.max_sessions, listeners + http, limit)
}

fn too_few(max_sessions: u32, others: usize, limit: Option<u64>) -> Option<String> {
    // No limit at all.
    let limit = limit?;
    let fixed = ITSELF + others as u64;
    let fitting = limit.saturating_sub(fixed) / OF_A_SESSION;
    let cure = "raise it (LimitNOFILE= of a systemd unit, docker run --ulimit nofile=N, ulimit -n N)";
    let needed = u64::from(max_sessions) * OF_A_SESSION + fixed;
    (needed > limit).then(|| {
        format!(
            "limits.max_sessions = {max_sessions} may need {needed} open files, and the limit is {limit}; {cure}, or set \
             limits.max_sessions = {}",
            fitting.max(1)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_what_is_needed_and_what_would_fit() {
        assert_eq!(too_few(1000, 2, Some(6034)), None);
        assert_eq!(too_few(1000, 2, None), None);
        let advice = too_few(1000, 2, Some(4096)).unwrap();
        assert!(advice.contains("may need 6034 open files, and the limit is 4096"), "{advice}");
        assert!(advice.ends_with("set limits.max_sessions = 677"), "{advice}");
        assert_eq!(too_few(677, 2, Some(4096)), None);
        assert!(too_few(678, 2, Some(4096)).is_some());
        assert!(too_few(1, 2, Some(10)).unwrap().ends_with("= 1"));
    }
}
