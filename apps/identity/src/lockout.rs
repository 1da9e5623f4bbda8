//! Locks against guessing: the rules, without the database.
//!
//! Failures are counted for an account (or for a name that nobody has, which
//! must not be told from one) and for an address. Enough of them in a quarter of
//! an hour lock it for a minute, then two, four, up to an hour; a day
//! without failures heals that.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::{Timestamp, UserId};

use crate::entity::login_lock;

/// Failures for one account that lock it.
const ACCOUNT_LIMIT: usize = 5;
/// Failures from one address that limit it.
const ADDRESS_LIMIT: usize = 20;
/// Within what time they count together.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How long the first lock lasts; each next twice as long.
const FIRST_LOCK: Duration = Duration::from_secs(60);
/// How long a lock lasts at most.
const LONGEST_LOCK: Duration = Duration::from_secs(3600);
/// After so long without a failure, the next lock is a first one again.
pub(crate) const HEALED: Duration = Duration::from_secs(24 * 3600);

/// What failures are counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) account: String,
    pub(crate) address: Option<String>,
}

impl Keys {
    /// Of an attempt to sign in as `user`, or by `name` (as it is compared) if nobody has it.
    pub(crate) fn of(user: Option<UserId>, name: &str, address: Option<IpAddr>) -> Self {
        let account = user.map_or_else(|| format!("name:{}", name_hash(name)), account_key);
        Self { account, address: address.map(address_key) }
    }

    /// The keys, each with its limit. Always in this order: two transactions that count can't wait for each other.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (&str, usize)> {
        [
            Some((self.account.as_str(), ACCOUNT_LIMIT)),
            self.address.as_deref().map(|key| (key, ADDRESS_LIMIT)),
        ]
        .into_iter()
        .flatten()
    }
}

pub(crate) fn account_key(user: UserId) -> String {
    format!("user:{user}")
}

/// What is kept of a name that nobody has. It may be a password in the wrong field: never the name itself.
pub(crate) fn name_hash(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, name.as_bytes()).as_ref())
}

/// One household or server has a /64 of IPv6: its addresses count as one.
fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("address:{address}"),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("address:{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Failures under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    /// When the last ones were, oldest first; at most as many as the limit.
    pub(crate) recent: Vec<Timestamp>,
    /// How many locks there were since it was healed.
    pub(crate) locks: i32,
    pub(crate) locked_until: Option<Timestamp>,
    /// When the last failure was.
    pub(crate) updated_at: Timestamp,
}

impl Counter {
    /// For how long it is locked still. `None` if it is not.
    pub(crate) fn locked_for(&self, now: Timestamp) -> Option<Duration> {
        self.locked_until.filter(|until| *until > now).map(|until| until.since(now))
    }

    /// Counts a failure. Gives how long it is locked, if this one locked it.
    pub(crate) fn fail(&mut self, now: Timestamp, limit: usize) -> Option<Duration> {
        if now.since(self.updated_at) >= HEALED {
            self.locks = 0;
        }
        self.updated_at = self.updated_at.max(now);
        self.recent.retain(|at| now.since(*at) < WINDOW);
        self.recent.push(now);
        if self.recent.len() < limit {
            return None;
        }
        // These have had their lock; the next takes as many again.
        self.recent.clear();
        let lasts = LONGEST_LOCK.min(FIRST_LOCK * (1_u32 << self.locks.clamp(0, 10)));
        self.locks = (self.locks + 1).min(100);
        self.locked_until = self.locked_until.max(Some(now.after(lasts)));
        Some(lasts)
    }

    pub(crate) fn recent_text(&self) -> String {
        self.recent.iter().map(|at| at.millis().to_string()).collect::<Vec<_>>().join(",")
    }
}

impl From<&login_lock::Model> for Counter {
    fn from(row: &login_lock::Model) -> Self {
        let login_lock::Model { key: _, recent, locks, locked_until, updated_at } = row;
        Self {
            recent: recent.split(',').filter_map(|at| at.parse().ok()).map(Timestamp::from_millis).collect(),
            locks: *locks,
            locked_until: locked_until.map(Timestamp::from_millis),
            updated_at: Timestamp::from_millis(*updated_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_769_851_800_000 + seconds * 1000)
    }

    fn fail_times(counter: &mut Counter, times: usize, now: Timestamp) -> Option<Duration> {
        (0..times).map(|_| counter.fail(now, ACCOUNT_LIMIT)).last().flatten()
    }

    #[test]
    fn five_failures_lock_for_a_minute_and_each_five_more_for_twice_as_long() {
        let mut counter = Counter::default();
        assert_eq!(fail_times(&mut counter, 4, at(0)), None);
        let mut now = at(0);
        let mut lasted = vec![counter.fail(now, ACCOUNT_LIMIT).unwrap().as_secs()];
        for _ in 0..7 {
            now = counter.locked_until.unwrap();
            assert_eq!(counter.locked_for(now), None);
            lasted.push(fail_times(&mut counter, 5, now).unwrap().as_secs());
        }
        assert_eq!(lasted, [60, 120, 240, 480, 960, 1920, 3600, 3600]);

        let a_day_later = now.after(HEALED);
        assert_eq!(fail_times(&mut counter, 5, a_day_later), Some(FIRST_LOCK));
    }

    #[test]
    fn the_window_trails() {
        let mut counter = Counter::default();
        for second in [0, 800, 850, 890] {
            assert_eq!(counter.fail(at(second), ACCOUNT_LIMIT), None);
        }
        assert_eq!(counter.fail(at(900), ACCOUNT_LIMIT), None, "the first is a quarter of an hour old");
        assert!(counter.fail(at(901), ACCOUNT_LIMIT).is_some());
    }

    #[test]
    fn a_row_keeps_it_all() {
        let mut counter = Counter::default();
        fail_times(&mut counter, 7, at(1));
        let row = login_lock::Model {
            key: "user:x".to_owned(),
            recent: counter.recent_text(),
            locks: counter.locks,
            locked_until: counter.locked_until.map(Timestamp::millis),
            updated_at: counter.updated_at.millis(),
        };
        assert_eq!(Counter::from(&row), counter);
    }

    #[test]
    fn addresses_of_one_network_count_as_one_and_names_are_not_kept() {
        let of = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert!(!Keys::of(None, "hunter22", None).account.contains("hunter"));
    }
}
