//! Who is let in: the teacher by the token of the page's link, students by alias and PIN. Both get a cookie for it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use super::view::Face;
use crate::limits::Failures;
use crate::settings::LoginFailures;

/// How long a cookie is good for: a school day.
pub(super) const COOKIE_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Cookies that are good at the same time; for one more the oldest is no longer.
const COOKIES: usize = 1024;

/// The teacher's of them, and each student's; for one more the oldest of the same face is no longer, so that nobody signs
/// others out by signing in.
const TEACHERS: usize = 16;
const OF_A_STUDENT: usize = 4;

/// The longest wait behind wrong PINs for one student at one address, and for one address, which may be a whole class.
const WAITS: [(LoginFailures, Duration); 2] =
    [(LoginFailures::UserAndAddress, Duration::from_secs(30)), (LoginFailures::Address, Duration::from_secs(2))];

/// When wrong PINs are forgotten.
const FORGET: Duration = Duration::from_secs(600);

/// What a wrong token counts for; no student has this name.
const TEACHER: &[u8] = b"\0teacher";

/// Whether a secret is the right one.
pub(super) type Check<'a> = &'a dyn Fn() -> bool;

/// The door of one page.
#[derive(Debug)]
pub(super) struct Door {
    token: Secret,
    cookies: Mutex<Cookies>,
    failures: Mutex<[Failures; 2]>,
}

/// 128 bits at random, in hexadecimal.
pub(super) struct Secret(String);

#[derive(Debug, Default)]
struct Cookies {
    /// By the hash of what the browser has, so that finding one tells nothing of the others.
    known: HashMap<[u8; 32], Admitted>,
    by_age: VecDeque<[u8; 32]>,
}

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    pub face: Face,
    until: Instant,
    /// Cancelled when the cookie is no longer good.
    pub signed_out: CancellationToken,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    fn new() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes.map(|byte| format!("{byte:02x}")).concat()))
    }

    /// In clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn is(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Door {
    pub fn new() -> io::Result<Self> {
        let failures = WAITS.map(|(policy, longest)| Failures::new(policy, longest, FORGET));
        Ok(Self { token: Secret::new()?, cookies: Mutex::default(), failures: Mutex::new(failures) })
    }

    /// The teacher's token.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// A cookie for whoever shows the teacher's token.
    pub fn admit_teacher(&self, token: &str, from: IpAddr) -> Result<Secret, Refused> {
        self.admit(Face::Teacher, TEACHER, from, &|| self.token.is(token))
    }

    /// A cookie for a student with the right PIN.
    pub fn admit_student(&self, user: &str, from: IpAddr, check: Check<'_>) -> Result<Secret, Refused> {
        self.admit(Face::Student(user.into()), user.as_bytes(), from, check)
    }

    /// The check runs under the lock, so that nobody gets more guesses by trying many at once.
    fn admit(&self, face: Face, who: &[u8], from: IpAddr, check: Check<'_>) -> Result<Secret, Refused> {
        let now = Instant::now();
        {
            let mut failures = whole(&self.failures);
            if let Some(wait) = failures.iter_mut().filter_map(|it| it.remaining(who, from, now)).max() {
                return Err(Refused::Wait(wait));
            }
            if !check() {
                failures.iter_mut().for_each(|it| it.failed(who, "", from, now));
                return Err(Refused::Wrong);
            }
            failures[0].succeeded(who, from);
        }
        let cookie = Secret::new().map_err(Refused::System)?;
        let admitted = Admitted { face, until: now + COOKIE_LIFE, signed_out: CancellationToken::new() };
        whole(&self.cookies).add(hash(cookie.reveal()), admitted);
        Ok(cookie)
    }

    /// Whom a cookie was given to.
    pub fn known(&self, cookie: &str) -> Option<Admitted> {
        let cookies = whole(&self.cookies);
        cookies.known.get(&hash(cookie)).filter(|admitted| admitted.until > Instant::now()).cloned()
    }

    /// From now on the cookie lets nobody in, and what is read with it ends.
    pub fn sign_out(&self, cookie: &str) {
        whole(&self.cookies).remove(hash(cookie));
    }
}

impl Cookies {
    fn add(&mut self, hash: [u8; 32], admitted: Admitted) {
        let most = if admitted.face == Face::Teacher { TEACHERS } else { OF_A_STUDENT };
        let is_same = |other: &&[u8; 32]| self.known.get(*other).is_some_and(|other| other.face == admitted.face);
        let same: Vec<[u8; 32]> = self.by_age.iter().filter(is_same).copied().collect();
        let in_the_way =
            if same.len() < most { self.by_age.front().filter(|_| self.by_age.len() >= COOKIES) } else { same.first() };
        if let Some(&oldest) = in_the_way {
            self.remove(oldest);
        }
        self.known.insert(hash, admitted);
        self.by_age.push_back(hash);
    }

    fn remove(&mut self, hash: [u8; 32]) {
        if let Some(admitted) = self.known.remove(&hash) {
            self.by_age.retain(|other| *other != hash);
            admitted.signed_out.cancel();
        }
    }
}

/// Why somebody was not let in.
#[derive(Debug)]
pub(super) enum Refused {
    /// The secret is wrong.
    Wrong,
    /// There were wrong ones before; nothing was looked at.
    Wait(Duration),
    System(io::Error),
}

fn hash(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

/// Each change of what is locked here is whole by itself.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 8));

    #[test]
    fn the_token_lets_the_teacher_in_until_signing_out() {
        let door = Door::new().unwrap();
        let token = door.token().reveal().to_owned();
        let cookie = door.admit_teacher(&token, HERE).unwrap();
        let admitted = door.known(cookie.reveal()).unwrap();
        assert_eq!(admitted.face, Face::Teacher);
        assert!(door.known(&token).is_none(), "the token is no cookie");
        door.sign_out(cookie.reveal());
        assert!(door.known(cookie.reveal()).is_none() && admitted.signed_out.is_cancelled());
        assert!(matches!(door.admit_teacher(&token[..31], HERE), Err(Refused::Wrong)));
    }

    #[test]
    fn behind_a_wrong_pin_not_even_the_right_one_is_looked_at_for_a_moment() {
        let door = Door::new().unwrap();
        assert!(matches!(door.admit_student("otter", HERE, &|| false), Err(Refused::Wrong)));
        let wait = |door: &Door, user: &str, from| match door.admit_student(user, from, &|| true) {
            Ok(_) => Duration::ZERO,
            Err(Refused::Wait(wait)) => wait,
            Err(other) => panic!("{other:?}"),
        };
        assert!(wait(&door, "otter", HERE) > Duration::from_millis(900));
        assert!(wait(&door, "maple", HERE) > Duration::from_millis(900), "nor another student's from the same address");
        assert_eq!(wait(&door, "otter", ELSEWHERE), Duration::ZERO);
    }

    #[test]
    fn so_many_cookies_are_good_and_no_more() {
        let door = Door::new().unwrap();
        let signs_in = |number: usize| door.admit_student(&format!("student{number}"), HERE, &|| true).unwrap();
        let cookies: Vec<Secret> = (0..=COOKIES).map(signs_in).collect();
        assert!(door.known(cookies[0].reveal()).is_none());
        assert!(door.known(cookies[1].reveal()).is_some());
        assert_eq!(whole(&door.cookies).known.len(), COOKIES);
    }

    #[test]
    fn nobody_signs_others_out_by_signing_in_or_out() {
        let door = Door::new().unwrap();
        let teacher = door.admit_teacher(door.token().reveal(), HERE).unwrap();
        let maple = door.admit_student("maple", HERE, &|| true).unwrap();
        let otters: Vec<Secret> =
            (0..2 * COOKIES).map(|_| door.admit_student("otter", HERE, &|| true).unwrap()).collect();
        for _ in 0..2 * COOKIES {
            door.sign_out(door.admit_student("otter", HERE, &|| true).unwrap().reveal());
        }
        assert!([&teacher, &maple].iter().all(|cookie| door.known(cookie.reveal()).is_some()));
        let known = otters.iter().filter(|cookie| door.known(cookie.reveal()).is_some()).count();
        assert_eq!(known, OF_A_STUDENT - 1, "the newest, one of which made way for those who have signed out since");
        let cookies = whole(&door.cookies);
        assert_eq!((cookies.known.len(), cookies.by_age.len()), (2 + known, 2 + known));
    }
}
