//! How much of the server one client, one address or everybody may have.
//!
//! The decisions are pure: values and a moment go in, an answer comes out. What is counted is given back by guards when
//! they are dropped, however a session ends. Nothing in here grows with the number of clients that were ever seen: what
//! is remembered of addresses and of failed logins is bounded by [`REMEMBERED`] each.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

mod addresses;
mod failures;
pub(crate) mod files;
mod rate;
mod remembered;
mod throttle;

use tokio_util::sync::CancellationToken;

use addresses::{Origin, admission};
pub(crate) use failures::Failures;
pub use failures::RememberedFailures;
pub(crate) use failures::Wait;
use rate::Rates;
pub use throttle::ByteRates;
pub(crate) use throttle::{Slots, Throttles, Way};

use crate::sessions::RefusedBecause;
use crate::settings::LimitSettings;
use crate::storage::{VirtualPath, longest};

/// How many addresses, and how many failed logins, are remembered at most; the oldest are forgotten first.
pub const REMEMBERED: usize = 10_000;

/// The limits of one server, and what is taken of them.
#[derive(Debug)]
pub(crate) struct Limits {
    settings: ArcSwap<LimitSettings>,
    taken: Mutex<Taken>,
    rates: Mutex<Rates>,
    failures: Mutex<Failures>,
    /// The throttle for everybody.
    throttles: Mutex<Slots>,
    users_throttles: Mutex<throttle::OfUsers>,
}

#[derive(Debug, Default)]
struct Taken {
    sessions: u32,
    /// Those without a login, the oldest first.
    strangers: BTreeMap<u64, Stranger>,
    /// How many of them there ever were.
    numbered: u64,
    by_origin: HashMap<Origin, u32>,
    by_user: HashMap<String, u32>,
}

/// A session in which nobody has logged in.
#[derive(Debug)]
struct Stranger {
    origin: Origin,
    make_way: CancellationToken,
}

impl Limits {
    pub fn new(settings: LimitSettings) -> Arc<Self> {
        let rates = Mutex::new(Rates::new(settings.accept_rate));
        let failures = Mutex::new(Failures::new(
            settings.login_failures,
            settings.login_delay_max,
            settings.login_failures_forget,
        ));
        let settings = ArcSwap::from_pointee(settings);
        let (throttles, users_throttles) = Default::default();
        Arc::new(Self { settings, taken: Mutex::default(), rates, failures, throttles, users_throttles })
    }

    /// Has these limits hold for whoever comes next. What is taken stays counted, even where it is too much now.
    pub fn change(&self, settings: LimitSettings) {
        whole(&self.rates).change(settings.accept_rate);
        let (longest, forget) = (settings.login_delay_max, settings.login_failures_forget);
        whole(&self.failures).change(settings.login_failures, longest, forget);
        self.settings.store(Arc::new(settings));
    }

    /// A place for a control connection, or why there is none.
    pub fn admit(self: &Arc<Self>, client: IpAddr, now: Instant) -> Result<SessionPermit, RefusedBecause> {
        let settings = self.settings.load();
        admission(client, &settings.allow, &settings.deny)?;
        let origin = Origin::of(client);
        if !whole(&self.rates).take(origin, now) {
            return Err(RefusedBecause::AcceptRate);
        }
        let mut taken = whole(&self.taken);
        let of_origin = taken.by_origin.get(&origin).copied().unwrap_or(0);
        // The narrowest reason first: it is the one that the client can do something about.
        if is_reached(settings.max_sessions_per_ip, of_origin) {
            return Err(RefusedBecause::MaxSessionsPerIp);
        }
        if is_reached(settings.max_sessions, taken.sessions) {
            return Err(RefusedBecause::MaxSessions);
        }
        let strangers = u32::try_from(taken.strangers.len()).unwrap_or(u32::MAX);
        if is_reached(settings.max_unauthenticated, strangers) && !taken.make_way_for(origin) {
            return Err(RefusedBecause::MaxUnauthenticated);
        }
        taken.sessions += 1;
        *taken.by_origin.entry(origin).or_default() += 1;
        let stranger = Some(taken.add_stranger(origin));
        Ok(SessionPermit { limits: Arc::clone(self), origin, stranger })
    }

    /// A place among a user's sessions, if there are fewer than `limit`; 0 means that any number may be.
    pub fn enter(self: &Arc<Self>, user: &str, limit: u32) -> Option<UserPermit> {
        let mut taken = whole(&self.taken);
        let of_user = taken.by_user.entry(user.to_owned()).or_default();
        if is_reached(limit, *of_user) {
            return None;
        }
        *of_user += 1;
        Some(UserPermit { limits: Arc::clone(self), user: user.to_owned() })
    }

    /// What throttles all sessions of this user.
    pub fn throttles_of(&self, user: &str, now: Instant) -> Arc<Mutex<Slots>> {
        whole(&self.users_throttles).share(user, now)
    }

    /// What throttles the next transfer that goes this `way`: everybody's throttle, the session's, the user's and one for
    /// its path, each where it has a rate.
    pub fn throttles(
        &self,
        way: Way,
        path: &VirtualPath,
        session: &mut Slots,
        user: Option<(&Mutex<Slots>, ByteRates)>,
        now: Instant,
    ) -> Throttles {
        let settings = self.settings.load();
        let everybody = whole(&self.throttles).at(way, settings.rates, now);
        let session = session.at(way, settings.session_rates, now);
        let user = user.and_then(|(slots, rates)| whole(slots).at(way, rates, now));
        let paths = match way {
            Way::Download => &settings.path_download_rates,
            Way::Upload => &settings.path_upload_rates,
        };
        // 0 of two equally long ones is no rate, and so the faster.
        let slower = |one: u64, other: u64| if one == 0 || other == 0 { one.max(other) } else { one.min(other) };
        let own = longest(paths, path, slower).unwrap_or(0);
        Throttles::new([everybody, session, user], own, now)
    }

    /// How long a login has to wait for its turn because others like it have failed.
    pub fn login_wait(&self, user: &[u8], client: IpAddr, now: Instant) -> Option<Wait> {
        whole(&self.failures).wait(user, client, now)
    }

    /// A login has failed; `shown` is the user's name as it may be put on record.
    pub fn login_failed(&self, user: &[u8], shown: &str, client: IpAddr, now: Instant) {
        whole(&self.failures).failed(user, shown, client, now);
    }

    /// A login has succeeded: what failed before it is forgotten.
    pub fn login_succeeded(&self, user: &[u8], client: IpAddr) {
        whole(&self.failures).succeeded(user, client);
    }

    /// Failed logins that slow the next ones down.
    pub fn failures(&self, now: Instant) -> Vec<RememberedFailures> {
        whole(&self.failures).list(now)
    }

    /// Forgets the failed logins of a user, an address, both or all, and says how many entries that were.
    pub fn clear_failures(&self, user: Option<&str>, client: Option<IpAddr>) -> usize {
        whole(&self.failures).clear(user.map(str::as_bytes), client)
    }
}

impl Taken {
    /// Counts a session without a login, and says what takes it out again and what tells it to leave.
    fn add_stranger(&mut self, origin: Origin) -> (u64, CancellationToken) {
        self.numbered += 1;
        let make_way = CancellationToken::new();
        self.strangers.insert(self.numbered, Stranger { origin, make_way: make_way.clone() });
        (self.numbered, make_way)
    }

    /// Tells the oldest stranger of the address that has most of them to leave, if that has more than `origin` will have.
    /// Few addresses could keep everybody else out otherwise, with connections that say nothing.
    fn make_way_for(&mut self, origin: Origin) -> bool {
        let mut counts: HashMap<Origin, u32> = HashMap::new();
        for stranger in self.strangers.values() {
            *counts.entry(stranger.origin).or_default() += 1;
        }
        let own = counts.get(&origin).copied().unwrap_or(0);
        let most = counts.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count > own + 1);
        let oldest = most.and_then(|(most, _)| self.strangers.iter().find(|(_, stranger)| stranger.origin == most));
        let Some(stranger) = oldest.map(|(number, _)| *number).and_then(|number| self.strangers.remove(&number)) else {
            return false;
        };
        stranger.make_way.cancel();
        true
    }
}

/// Whether a limit is used up; 0 is none.
fn is_reached(limit: u32, taken: u32) -> bool {
    limit != 0 && taken >= limit
}

/// Numbers are whole at every moment, whoever panicked.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one from a count, and the count away when nothing is left of it.
fn give_back<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A session's place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct SessionPermit {
    limits: Arc<Limits>,
    origin: Origin,
    /// The number among those without a login, and what tells it to leave; `None` when somebody is logged in.
    stranger: Option<(u64, CancellationToken)>,
}

impl SessionPermit {
    /// Says whether somebody is logged in now. After REIN nobody is; the place is kept even when that is one too many.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        let mut taken = whole(&self.limits.taken);
        match (&self.stranger, authenticated) {
            (Some((number, _)), true) => {
                taken.strangers.remove(number);
                self.stranger = None;
            }
            (None, false) => self.stranger = Some(taken.add_stranger(self.origin)),
            _ => {}
        }
    }

    /// Waits until this session has to leave for another one, as long as nobody is logged in.
    pub fn must_make_way(&self) -> impl Future<Output = ()> + use<> {
        let make_way = self.stranger.as_ref().map(|(_, make_way)| make_way.clone());
        async move {
            match make_way {
                Some(make_way) => make_way.cancelled().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Whether it has to.
    pub fn makes_way(&self) -> bool {
        self.stranger.as_ref().is_some_and(|(_, make_way)| make_way.is_cancelled())
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        let mut taken = whole(&self.limits.taken);
        taken.sessions -= 1;
        if let Some((number, _)) = &self.stranger {
            taken.strangers.remove(number);
        }
        give_back(&mut taken.by_origin, &self.origin);
    }
}

/// A place among a user's sessions. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct UserPermit {
    limits: Arc<Limits>,
    user: String,
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        give_back(&mut whole(&self.limits.taken).by_user, &self.user);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(set: impl FnOnce(&mut LimitSettings)) -> Arc<Limits> {
        let mut settings = LimitSettings::default();
        set(&mut settings);
        Limits::new(settings)
    }

    #[test]
    fn changed_limits_count_what_there_is() {
        let limits = limits(|it| it.accept_rate = 0);
        let (client, now) = (ip("192.0.2.1"), Instant::now());
        let places: Vec<_> = (0..3).map(|_| limits.admit(client, now).unwrap()).collect();
        limits.login_failed(b"ann", "ann", client, now);
        let change = |per_ip, delay| {
            limits.change(LimitSettings {
                max_sessions_per_ip: per_ip,
                login_delay_max: Duration::from_secs(delay),
                ..LimitSettings::default()
            });
        };
        change(2, 0);
        assert_eq!(limits.admit(client, now).err(), Some(RefusedBecause::MaxSessionsPerIp));
        assert_eq!(limits.login_wait(b"ann", client, now), None);
        change(4, 30);
        assert_eq!(limits.login_wait(b"ann", client, now).map(|wait| wait.failures), Some(1), "it is not forgotten");
        let fourth = limits.admit(client, now).unwrap();
        assert!(limits.admit(client, now).is_err());
        drop((places, fourth));
        assert_eq!(whole(&limits.taken).sessions, 0);
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_come_back_however_a_session_ends() {
        let limits = limits(|it| (it.max_sessions, it.max_sessions_per_ip) = (2, 1));
        let admit = |client: &str| limits.admit(ip(client), Instant::now());
        let first = admit("192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").unwrap_err(), RefusedBecause::MaxSessionsPerIp);
        let mut second = admit("192.0.2.2").unwrap();
        assert_eq!(admit("192.0.2.3").unwrap_err(), RefusedBecause::MaxSessions);
        second.set_authenticated(true);
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _second = second;
            panic!("a session that panics");
        }));
        assert!(unwound.is_err());
        let third = admit("192.0.2.3").unwrap();
        drop((first, third));
        let taken = whole(&limits.taken);
        assert_eq!((taken.sessions, taken.strangers.len(), taken.by_origin.len()), (0, 0, 0));
    }

    #[test]
    fn who_has_logged_in_makes_room_for_others_and_takes_it_back() {
        let limits = limits(|it| it.max_unauthenticated = 1);
        let admit = || limits.admit(ip("192.0.2.1"), Instant::now());
        let mut first = admit().unwrap();
        assert_eq!(admit().unwrap_err(), RefusedBecause::MaxUnauthenticated);
        first.set_authenticated(true);
        first.set_authenticated(true);
        drop(admit().unwrap());
        first.set_authenticated(false);
        assert!(admit().is_err());
    }

    #[test]
    fn the_address_with_most_strangers_makes_way_and_never_in_turns() {
        let limits = limits(|it| it.max_unauthenticated = 4);
        let admit = |client: &str| limits.admit(ip(client), Instant::now());
        let leaves = |permit: &SessionPermit| permit.stranger.as_ref().unwrap().1.is_cancelled();
        let first: Vec<_> = (0..4).map(|_| admit("192.0.2.1").unwrap()).collect();
        assert!(admit("192.0.2.1").is_err(), "not for its own");
        let second: Vec<_> = (0..2).map(|_| admit("192.0.2.2").unwrap()).collect();
        assert_eq!(first.iter().map(leaves).collect::<Vec<_>>(), [true, true, false, false]);
        assert!(admit("192.0.2.2").is_err() && admit("192.0.2.1").is_err(), "both have as many");
        let third = admit("192.0.2.3").unwrap();
        assert_eq!(first.iter().chain(&second).map(leaves).filter(|leaves| *leaves).count(), 3);
        drop((first, second, third));
        let taken = whole(&limits.taken);
        assert_eq!((taken.strangers.len(), taken.sessions), (0, 0));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let limits = limits(|it| it.max_sessions_per_ip = 1);
        let _first = limits.admit(ip("2001:db8::1"), Instant::now()).unwrap();
        assert!(limits.admit(ip("2001:db8::2"), Instant::now()).is_err());
        assert!(limits.admit(ip("2001:db8:0:1::1"), Instant::now()).is_ok());
    }

    #[test]
    fn a_user_s_places_are_counted_by_name() {
        let limits = limits(|_| {});
        let ann = limits.enter("ann", 1);
        assert!(ann.is_some() && limits.enter("ann", 1).is_none() && limits.enter("bob", 1).is_some());
        drop(ann);
        assert!(limits.enter("ann", 1).is_some());
        assert!(whole(&limits.taken).by_user.is_empty());
        assert_eq!((0..50).filter_map(|_| limits.enter("ann", 0)).collect::<Vec<_>>().len(), 50);
    }
}
