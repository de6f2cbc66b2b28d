//! How fast one address may connect: a token bucket each.

use std::time::{Duration, Instant};

use super::REMEMBERED;
use super::addresses::Origin;
use super::remembered::Remembered;

/// How many seconds' worth of connections may come at once: a client that opens a handful, a class that begins.
const BURST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Rates {
    /// Connections a second; 0 for any number.
    rate: u32,
    /// By address: the moment up to which its connections are spread out at the rate. The bucket is full when that is
    /// past, and empty when it lies [`BURST`] ahead.
    spread_to: Remembered<Origin, Instant>,
}

impl Rates {
    pub fn new(rate: u32) -> Self {
        Self { rate, spread_to: Remembered::new(REMEMBERED) }
    }

    /// Another rate; what has been spread out already stays so.
    pub fn change(&mut self, rate: u32) {
        self.rate = rate;
    }

    /// Whether a connection from here may be made now. One that may not takes nothing.
    pub fn take(&mut self, origin: Origin, now: Instant) -> bool {
        if self.rate == 0 {
            return true;
        }
        self.spread_to.forget_while(|spread_to| *spread_to <= now);
        let spread_to = self.spread_to.touch(origin, || now);
        let next = (*spread_to).max(now) + Duration::from_secs(1) / self.rate;
        let fits = next <= now + BURST;
        if fits {
            *spread_to = next;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_in_and_then_the_rate() {
        let (mut rates, now) = (Rates::new(2), Instant::now());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| Origin::of(ip.parse().unwrap()));
        let mut taken = |origin, after: u64| {
            let now = now + Duration::from_millis(after);
            (0..100).filter(|_| rates.take(origin, now)).count()
        };
        assert_eq!(taken(one, 0), 20);
        assert_eq!(taken(other, 0), 20);
        assert_eq!(taken(one, 400), 0);
        assert_eq!(taken(one, 500), 1);
        assert_eq!(taken(one, 3_000), 5);
        assert_eq!(taken(one, 1_000_000), 20);
        assert_eq!(rates.spread_to.iter().count(), 1, "a full bucket is not remembered");
    }

    #[test]
    fn without_a_rate_nothing_is_remembered() {
        let (mut rates, now) = (Rates::new(0), Instant::now());
        assert!((0..100).all(|_| rates.take(Origin::of("192.0.2.1".parse().unwrap()), now)));
        assert_eq!(rates.spread_to.iter().count(), 0);
    }
}
