//! Failed logins: each makes the next one of its kind wait longer. Nobody is banned, since one address can be a whole
//! class behind a router, and a user's name is known to those who want to keep that user out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::REMEMBERED;
use super::addresses::Origin;
use super::remembered::Remembered;
use crate::settings::LoginFailures;

/// How long a login waits, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Failures that are remembered.
    pub failures: u32,
    pub duration: Duration,
}

/// Failed logins that are remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedFailures {
    /// The user; `(unknown)` when there is no such account, because people type passwords at that prompt. `None` when
    /// users are not told apart.
    pub user: Option<String>,
    /// The address, or the first one of the client's /64. `None` when addresses are not told apart.
    pub address: Option<IpAddr>,
    /// How many.
    pub failures: u32,
    /// How long the next login waits, in seconds where it is written.
    #[serde(rename = "wait_seconds", with = "seconds")]
    pub wait: Duration,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_secs())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

/// Whose failures are counted together. A name is kept as its hash: names are as long as clients like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    user: Option<u64>,
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Entry {
    failures: u32,
    last: Instant,
    shown: String,
    /// The one user whose logins failed; `None` where there were several.
    only: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Failures {
    policy: LoginFailures,
    longest: Duration,
    forget: Duration,
    hasher: RandomState,
    memory: Remembered<Key, Entry>,
}

impl Failures {
    pub fn new(policy: LoginFailures, longest: Duration, forget: Duration) -> Self {
        Self { policy, longest, forget, hasher: RandomState::new(), memory: Remembered::new(REMEMBERED) }
    }

    /// Other rules for the failures that are remembered. Those that were counted together in another way are forgotten.
    pub fn change(&mut self, policy: LoginFailures, longest: Duration, forget: Duration) {
        if policy != self.policy {
            self.memory.remove_where(|_| true);
        }
        (self.policy, self.longest, self.forget) = (policy, longest, forget);
    }

    /// How long this login waits.
    pub fn wait(&mut self, user: &[u8], client: IpAddr, now: Instant) -> Option<Wait> {
        let key = self.key(user, client)?;
        self.forget_old(now);
        let failures = self.memory.get(&key)?.failures;
        let duration = growing(failures, self.longest);
        (!duration.is_zero()).then_some(Wait { failures, duration })
    }

    /// How much of that wait is left, for those who are not made to wait but told to come again.
    pub fn remaining(&mut self, user: &[u8], client: IpAddr, now: Instant) -> Option<Duration> {
        let wait = self.wait(user, client, now)?.duration;
        let last = self.memory.get(&self.key(user, client)?)?.last;
        wait.checked_sub(now.saturating_duration_since(last)).filter(|left| !left.is_zero())
    }

    pub fn failed(&mut self, user: &[u8], shown: &str, client: IpAddr, now: Instant) {
        let Some(key) = self.key(user, client) else { return };
        self.forget_old(now);
        let user = Some(self.hasher.hash_one(user));
        let entry = self.memory.touch(key, || Entry { failures: 0, last: now, shown: shown.to_owned(), only: user });
        entry.only = entry.only.filter(|_| entry.only == user);
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
    }

    /// Forgets the failures of this user. Those of others at the same address stay: whoever guesses at them may have an
    /// account, too.
    pub fn succeeded(&mut self, user: &[u8], client: IpAddr) {
        let Some(key) = self.key(user, client) else { return };
        let user = self.hasher.hash_one(user);
        if self.memory.get(&key).is_some_and(|entry| entry.only == Some(user)) {
            self.memory.remove(&key);
        }
    }

    pub fn list(&mut self, now: Instant) -> Vec<RememberedFailures> {
        self.forget_old(now);
        let entry = |(key, entry): (&Key, &Entry)| RememberedFailures {
            user: key.user.map(|_| entry.shown.clone()),
            address: key.origin.map(Origin::address),
            failures: entry.failures,
            wait: growing(entry.failures, self.longest),
        };
        self.memory.iter().map(entry).collect()
    }

    /// Forgets what has to do with this user and this address; `None` stands for any.
    pub fn clear(&mut self, user: Option<&[u8]>, client: Option<IpAddr>) -> usize {
        let user = user.map(|user| self.hasher.hash_one(user));
        let origin = client.map(Origin::of);
        self.memory.remove_where(|key| {
            user.is_none_or(|user| key.user == Some(user)) && origin.is_none_or(|origin| key.origin == Some(origin))
        })
    }

    fn key(&self, user: &[u8], client: IpAddr) -> Option<Key> {
        let user = || Some(self.hasher.hash_one(user));
        let origin = || Some(Origin::of(client));
        match self.policy {
            LoginFailures::UserAndAddress => Some(Key { user: user(), origin: origin() }),
            LoginFailures::Address => Some(Key { user: None, origin: origin() }),
            LoginFailures::User => Some(Key { user: user(), origin: None }),
            LoginFailures::Off => None,
        }
    }

    /// A failure touches its entry, so the oldest entry is the one that failed longest ago.
    fn forget_old(&mut self, now: Instant) {
        self.memory.forget_while(|entry| now.saturating_duration_since(entry.last) >= self.forget);
    }
}

/// 0, 1, 2, 4, 8 ... seconds for so many failures before, and never more than `longest`.
fn growing(failures: u32, longest: Duration) -> Duration {
    let seconds = match failures {
        0 => 0,
        _ => 1u64.checked_shl(failures - 1).unwrap_or(u64::MAX),
    };
    Duration::from_secs(seconds).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);
    const FORGET: Duration = Duration::from_secs(600);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let seconds: Vec<u64> = (0..8).map(|failures| growing(failures, LONGEST).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(growing(u32::MAX, LONGEST), LONGEST);
        assert_eq!(growing(5, Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_policy_says_whose_failures_count_together() {
        // Who waits after ann has failed at .1: ann at .1, ann at .2, bob at .1, bob at .2.
        for (policy, expected) in [
            (LoginFailures::UserAndAddress, [true, false, false, false]),
            (LoginFailures::Address, [true, false, true, false]),
            (LoginFailures::User, [true, true, false, false]),
            (LoginFailures::Off, [false; 4]),
        ] {
            let (mut failures, now) = (Failures::new(policy, LONGEST, FORGET), Instant::now());
            failures.failed(b"ann", "ann", ip("192.0.2.1"), now);
            let others = [("ann", "192.0.2.1"), ("ann", "192.0.2.2"), ("bob", "192.0.2.1"), ("bob", "192.0.2.2")];
            let waits = others.map(|(user, client)| failures.wait(user.as_bytes(), ip(client), now).is_some());
            assert_eq!(waits, expected, "{policy:?}");
        }
    }

    #[test]
    fn failures_are_forgotten_by_success_by_time_and_on_request() {
        let (mut failures, now) = (Failures::new(LoginFailures::UserAndAddress, LONGEST, FORGET), Instant::now());
        let client = ip("192.0.2.1");
        let fail = |failures: &mut Failures, user: &str, seconds| {
            failures.failed(user.as_bytes(), user, client, now + Duration::from_secs(seconds));
        };
        fail(&mut failures, "ann", 0);
        fail(&mut failures, "ann", 1);
        fail(&mut failures, "bob", 2);
        fail(&mut failures, "eve", 3);
        let (ann, bob) = (Wait { failures: 2, duration: Duration::from_secs(2) }, Duration::from_secs(1));
        assert_eq!(failures.wait(b"ann", client, now), Some(ann));
        let listed: Vec<_> = failures.list(now).into_iter().map(|entry| (entry.user, entry.wait)).collect();
        assert_eq!(listed[..2], [(Some("ann".to_owned()), ann.duration), (Some("bob".to_owned()), bob)]);
        failures.succeeded(b"bob", client);
        assert_eq!(failures.wait(b"bob", client, now), None);
        assert_eq!(failures.clear(Some(b"eve"), Some(ip("192.0.2.9"))), 0);
        assert_eq!(failures.clear(Some(b"eve"), None), 1);
        assert!(failures.wait(b"ann", client, now + FORGET).is_some(), "the last failure counts");
        assert_eq!(failures.wait(b"ann", client, now + FORGET + Duration::from_secs(1)), None);
        fail(&mut failures, "ann", 5);
        assert_eq!(failures.clear(None, None), 1);
    }

    /// Or somebody with an account could guess at others', and log in as themselves in between.
    #[test]
    fn a_success_forgets_the_failures_of_its_own_user_only() {
        let (mut failures, now) = (Failures::new(LoginFailures::Address, LONGEST, FORGET), Instant::now());
        let client = ip("192.0.2.1");
        let waits = |failures: &mut Failures| failures.wait(b"ann", client, now).map(|wait| wait.failures);
        failures.failed(b"ann", "ann", client, now);
        failures.succeeded(b"eve", client);
        assert_eq!(waits(&mut failures), Some(1));
        failures.succeeded(b"ann", client);
        assert_eq!(waits(&mut failures), None);
        for user in ["eve", "ann", "eve"] {
            failures.failed(user.as_bytes(), user, client, now);
        }
        failures.succeeded(b"eve", client);
        assert_eq!(waits(&mut failures), Some(3));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let (mut failures, now) = (Failures::new(LoginFailures::User, LONGEST, FORGET), Instant::now());
        for user in 0..=REMEMBERED {
            failures.failed(user.to_string().as_bytes(), "(unknown)", ip("192.0.2.1"), now);
        }
        assert_eq!(failures.list(now).len(), REMEMBERED);
        assert_eq!(failures.wait(b"0", ip("192.0.2.1"), now), None);
        assert!(failures.wait(b"1", ip("192.0.2.1"), now).is_some());
    }
}
