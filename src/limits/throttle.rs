//! How fast bytes may go: a throttle each for everybody, a user, a session and a path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::whole;

/// How much time's worth of bytes goes at once: what a timer that fires late has lost is made up for, and small files
/// wait for none.
const BURST: Duration = Duration::from_millis(50);

/// The least that is carried at once.
const SMALLEST_PIECE: u64 = 512;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// To the client.
    Download,
    /// From the client.
    Upload,
}

/// Bytes a second for each way; 0 for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteRates {
    /// To clients.
    pub download: u64,
    /// From clients.
    pub upload: u64,
}

/// A token bucket: bytes are paid for behind their transfer, and whoever carried them waits until they are.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: u64,
    /// The moment at which everything so far is paid for.
    paid_at: Mutex<Instant>,
}

impl Throttle {
    fn new(rate: u64, now: Instant) -> Arc<Self> {
        Arc::new(Self { rate, paid_at: Mutex::new(now) })
    }

    /// When these bytes are paid for, behind all that came before.
    fn pay(&self, bytes: u64, now: Instant) -> Instant {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut paid_at = whole(&self.paid_at);
        let credit = now.checked_sub(BURST).unwrap_or(now);
        *paid_at = (*paid_at).max(credit) + cost;
        *paid_at
    }
}

/// A throttle that there may be, and that goes on while its rate stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(Option<Arc<Throttle>>);

impl Slot {
    /// The throttle at this rate; none for 0.
    fn at(&mut self, rate: u64, now: Instant) -> Option<Arc<Throttle>> {
        if self.0.as_ref().map_or(0, |throttle| throttle.rate) != rate {
            self.0 = (rate > 0).then(|| Throttle::new(rate, now));
        }
        self.0.clone()
    }
}

/// The throttles that last from one transfer to the next, one for each way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    download: Slot,
    upload: Slot,
}

impl Slots {
    /// The throttle for this way at these rates.
    pub fn at(&mut self, way: Way, rates: ByteRates, now: Instant) -> Option<Arc<Throttle>> {
        match way {
            Way::Download => self.download.at(rates.download, now),
            Way::Upload => self.upload.at(rates.upload, now),
        }
    }

    /// Whether bytes were carried that are not paid for.
    fn owe(&self, now: Instant) -> bool {
        let throttles = [&self.download, &self.upload].into_iter().filter_map(|slot| slot.0.as_ref());
        throttles.into_iter().any(|throttle| *whole(&throttle.paid_at) > now)
    }
}

/// The throttles of users, each for as long as one of the user's sessions holds it, or something is to be paid.
#[derive(Debug, Default)]
pub(super) struct OfUsers(HashMap<String, Arc<Mutex<Slots>>>);

impl OfUsers {
    /// What all sessions of this user share.
    pub fn share(&mut self, user: &str, now: Instant) -> Arc<Mutex<Slots>> {
        if let Some(slots) = self.0.get(user) {
            return Arc::clone(slots);
        }
        // Who leaves before the bytes are paid for, and comes back, would have them for nothing.
        self.0.retain(|_, slots| Arc::strong_count(slots) > 1 || whole(slots).owe(now));
        Arc::clone(self.0.entry(user.to_owned()).or_default())
    }
}

/// All throttles that a transfer has to obey. Without any it costs nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Throttles(Vec<Arc<Throttle>>);

impl Throttles {
    /// These, and one of its own for the transfer's path at `rate`; 0 for none.
    pub fn new(shared: impl IntoIterator<Item = Option<Arc<Throttle>>>, rate: u64, now: Instant) -> Self {
        let own = Slot::default().at(rate, now);
        Self(shared.into_iter().chain([own]).flatten().collect())
    }

    /// The most that may be carried at once, of `wanted`, for the bytes to flow.
    pub fn piece(&self, wanted: u64) -> u64 {
        let slowest = self.0.iter().map(|throttle| throttle.rate).min();
        slowest.map_or(wanted, |rate| wanted.min((rate / 20).max(SMALLEST_PIECE)))
    }

    /// Until when whoever has carried these bytes waits, if at all.
    pub fn pay(&self, bytes: u64) -> Option<Instant> {
        if self.0.is_empty() {
            return None;
        }
        self.pay_at(bytes, Instant::now())
    }

    fn pay_at(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let paid_at = self.0.iter().map(|throttle| throttle.pay(bytes, now)).max();
        paid_at.filter(|paid_at| *paid_at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rates: &[u64], now: Instant) -> Throttles {
        Throttles::new(rates.iter().map(|rate| Slot::default().at(*rate, now)), 0, now)
    }

    /// How long `bytes` take when each timer fires `late`.
    fn carry(throttles: &Throttles, bytes: u64, late: Duration, begun: Instant) -> Duration {
        let (mut now, mut left) = (begun, bytes);
        while left > 0 {
            let piece = throttles.piece(left);
            left -= piece;
            now = throttles.pay_at(piece, now).map_or(now, |paid_at| paid_at + late);
        }
        now - begun
    }

    fn is_within_5_percent(took: Duration, seconds: f64) -> bool {
        (took.as_secs_f64() / seconds - 1.0).abs() < 0.05
    }

    #[test]
    fn a_rate_is_kept_within_5_percent_though_timers_are_late() {
        let now = Instant::now();
        for rate in [1_000, 20_000, 1_000_000, 123_456_789] {
            for late in [0, 1, 15] {
                let took = carry(&at(&[rate], now), rate * 4, Duration::from_millis(late), now);
                assert!(is_within_5_percent(took, 4.0), "{rate} B/s, {late} ms late: {took:?}");
            }
        }
    }

    #[test]
    fn the_slowest_of_several_decides() {
        let now = Instant::now();
        let took = carry(&at(&[5_000_000, 1_000_000, 2_000_000], now), 4_000_000, Duration::ZERO, now);
        assert!(is_within_5_percent(took, 4.0), "{took:?}");
    }

    #[test]
    fn transfers_of_one_throttle_share_its_rate() {
        let (now, mut slot) = (Instant::now(), Slot::default());
        let both = [(); 2].map(|()| Throttles::new([slot.at(1_000_000, now)], 0, now));
        let mut ends = [now; 2];
        for _ in 0..40 {
            for (throttles, end) in both.iter().zip(&mut ends) {
                *end = throttles.pay_at(50_000, *end).unwrap_or(*end);
            }
        }
        assert!(is_within_5_percent(ends[1] - now, 4.0), "{:?}", ends[1] - now);
    }

    #[test]
    fn a_pause_saves_up_a_moment_only() {
        let now = Instant::now();
        let throttles = at(&[1_000_000], now);
        let later = now + Duration::from_secs(3600);
        assert_eq!(throttles.pay_at(50_000, later), None);
        assert_eq!(throttles.pay_at(50_000, later), Some(later + BURST));
    }

    #[test]
    fn pieces_are_small_enough_to_flow_and_not_limited_without_a_rate() {
        let now = Instant::now();
        assert_eq!(at(&[20_000], now).piece(1 << 20), 1_000);
        assert_eq!(at(&[1_000], now).piece(1 << 20), SMALLEST_PIECE);
        assert_eq!(at(&[20_000], now).piece(10), 10);
        assert_eq!((Throttles::default().piece(1 << 20), Throttles::default().pay(1 << 30)), (1 << 20, None));
    }

    #[test]
    fn a_throttle_lasts_as_long_as_its_rate_and_a_session_of_its_user() {
        let (now, mut slot) = (Instant::now(), Slot::default());
        let first = slot.at(5_000, now).unwrap();
        assert!(Arc::ptr_eq(&first, &slot.at(5_000, now).unwrap()));
        assert_eq!(slot.at(6_000, now).unwrap().rate, 6_000);
        assert!(slot.at(0, now).is_none());

        let mut users = OfUsers::default();
        let ann = users.share("ann", now);
        assert!(Arc::ptr_eq(&ann, &users.share("ann", now)) && !Arc::ptr_eq(&ann, &users.share("bob", now)));
        let rates = ByteRates { download: 1000, upload: 0 };
        let paid_at = whole(&ann).at(Way::Download, rates, now).unwrap().pay(1000, now);
        drop(ann);
        users.share("eve", now);
        let known = |users: &OfUsers, name: &str| users.0.contains_key(name);
        assert!(known(&users, "ann") && !known(&users, "bob"), "who owes something is not forgotten");
        users.share("ida", paid_at);
        assert!(!known(&users, "ann") && !known(&users, "eve"));
    }
}
