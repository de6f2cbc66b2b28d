//! Until when, and from where, an account is let in.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, Utc};
use ipnet::IpNet;

use super::{Caller, Refusal};
use crate::tls::Subject;

/// What an account needs besides its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whether it is let in at all.
    pub enabled: bool,
    /// The last day, in UTC, on which it is.
    pub expires: Option<NaiveDate>,
    /// The networks from which it is; `None` for all.
    pub allow_from: Option<Vec<IpNet>>,
    /// The subject that the client's certificate must have; `None` for no certificate.
    pub client_certificate: Option<Subject>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { enabled: true, expires: None, allow_from: None, client_certificate: None }
    }
}

impl Terms {
    /// Whether an account on these terms is let in at `time` when `caller` asks.
    pub fn check(&self, time: SystemTime, caller: &Caller) -> Result<(), Refusal> {
        let today = DateTime::<Utc>::from(time).date_naive();
        let is_in = |networks: &Vec<IpNet>| networks.iter().any(|network| network.contains(&caller.address));
        if !self.enabled {
            Err(Refusal::Disabled)
        } else if self.expires.is_some_and(|last| last < today) {
            Err(Refusal::Expired)
        } else if self.allow_from.as_ref().is_some_and(|networks| !is_in(networks)) {
            Err(Refusal::NotFromHere)
        } else if self.client_certificate.is_some() && self.client_certificate != caller.certificate {
            Err(Refusal::NoCertificate)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-12-31 23:59:59 UTC, in seconds.
    const LAST_SECOND: u64 = 1_798_761_599;

    fn check(terms: &Terms, seconds: u64, client: &str) -> Result<(), Refusal> {
        terms.check(
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            &Caller { address: client.parse().unwrap(), certificate: None },
        )
    }

    #[test]
    fn the_last_day_is_a_whole_day_in_utc() {
        let terms = Terms { expires: NaiveDate::from_ymd_opt(2026, 12, 31), ..Terms::default() };
        assert_eq!(check(&terms, LAST_SECOND, "::1"), Ok(()));
        assert_eq!(check(&terms, LAST_SECOND + 1, "::1"), Err(Refusal::Expired));
    }

    #[test]
    fn networks_of_both_families_are_told_apart() {
        let allow_from = ["192.0.2.0/24", "2001:db8::/32"].map(|network| network.parse().unwrap()).to_vec();
        let terms = Terms { allow_from: Some(allow_from), ..Terms::default() };
        for (client, allowed) in
            [("192.0.2.255", true), ("192.0.3.1", false), ("2001:db8:1::1", true), ("::ffff:192.0.2.1", false)]
        {
            assert_eq!(check(&terms, 0, client).is_ok(), allowed, "{client}");
        }
    }

    #[test]
    fn a_named_certificate_is_needed_and_any_other_is_not() {
        let subject = |text: &str| text.parse::<Subject>().ok();
        for (needed, shown, allowed) in [
            ("", "", true),
            ("", "CN=ann", true),
            ("CN=ann", "CN=ann", true),
            ("CN=ann", "CN=bob", false),
            ("CN=ann", "", false),
        ] {
            let terms = Terms { client_certificate: subject(needed), ..Terms::default() };
            let caller = Caller { address: "::1".parse().unwrap(), certificate: subject(shown) };
            let expected = if allowed { Ok(()) } else { Err(Refusal::NoCertificate) };
            assert_eq!(terms.check(SystemTime::UNIX_EPOCH, &caller), expected, "{needed} {shown}");
        }
    }

    #[test]
    fn disabled_comes_first() {
        let terms = Terms { enabled: false, expires: NaiveDate::from_ymd_opt(1970, 1, 1), ..Terms::default() };
        assert_eq!(check(&terms, LAST_SECOND, "::1"), Err(Refusal::Disabled));
    }
}
