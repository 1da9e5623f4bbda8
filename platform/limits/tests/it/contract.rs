//! What every store does, checked on both.

use std::sync::Arc;

use mainstay_limits::store::{Order, Store};
use mainstay_limits::{Charge, Key};

use crate::{TestClock, assert_never_above, charge, memory_store, policy, redis_store};
use mainstay_redis::testing::RedisServer;

/// Runs a check on memory and on Redis.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                let clock = super::TestClock::new();
                super::$name(super::memory_store(&clock), clock).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                let (server, clock) = (super::RedisServer::start(), super::TestClock::new());
                super::$name(super::redis_store(&server, &clock).await, clock).await;
            })*
        }
    };
}

on_both!(
    a_limit_is_admitted_and_no_more,
    places_come_free_to_the_millisecond,
    a_part_of_the_window_counts_until_its_last_admission_left,
    gcra_admits_a_burst_and_then_paces,
    a_refused_call_costs_nothing,
    all_are_charged_or_none,
    keys_do_not_share,
    looking_costs_nothing,
    what_costs_too_much_is_never_admitted,
    several_permits_wait_for_enough_of_them,
    a_clock_that_goes_back_admits_no_more,
    long_windows_and_large_limits_are_counted,
    a_client_just_under_its_limit_is_never_refused,
);

async fn a_limit_is_admitted_and_no_more(store: impl Store, _: Arc<TestClock>) {
    for text in ["3/min exact", "3/min", "30/min gcra burst=3"] {
        let key = Key::new(&policy(text), text);
        for left in [2, 1, 0] {
            let tally = charge(&store, &key, 1).await;
            assert_eq!((tally.admitted, tally.remaining, tally.retry_ms), (true, left, Some(0)), "{text}");
            assert_eq!(tally.at_ms, TestClock::START);
        }
        let tally = charge(&store, &key, 1).await;
        assert_eq!((tally.admitted, tally.remaining), (false, 0), "{text}");
        assert_eq!(tally.retry_ms, Some(tally.reset_ms), "{text}");
    }
}

async fn places_come_free_to_the_millisecond(store: impl Store, clock: Arc<TestClock>) {
    for text in ["5/min exact", "5/min", "50/h gcra"] {
        let key = Key::new(&policy(text), text);
        for _ in 0..5 {
            charge(&store, &key, 1).await;
            clock.advance(700);
        }
        for _ in 0..10 {
            // A part of the window may free more than one place.
            while charge(&store, &key, 1).await.admitted {}
            let refused = charge(&store, &key, 1).await;
            let wait = i64::try_from(refused.retry_ms.unwrap()).unwrap();
            assert!(!refused.admitted && wait > 0, "{text}: {refused:?}");
            clock.advance(wait - 1);
            let early = charge(&store, &key, 1).await;
            assert_eq!((early.admitted, early.retry_ms, early.reset_ms), (false, Some(1), 1), "{text}");
            clock.advance(1);
            assert!(charge(&store, &key, 1).await.admitted, "{text}");
        }
    }
}

async fn a_part_of_the_window_counts_until_its_last_admission_left(store: impl Store, clock: Arc<TestClock>) {
    // Parts of half a second; the clock starts 345 ms into one.
    let key = Key::new(&policy("3/min"), "a");
    charge(&store, &key, 1).await;
    clock.advance(100);
    charge(&store, &key, 1).await;
    clock.advance(100);
    // The next part.
    let third = charge(&store, &key, 1).await;
    assert_eq!((third.remaining, third.reset_ms), (0, 59_900));
    clock.advance(59_300);
    assert_eq!(charge(&store, &key, 1).await.retry_ms, Some(600));
    clock.advance(600);
    assert_eq!(charge(&store, &key, 0).await.remaining, 2);
    clock.advance(100);
    assert_eq!(charge(&store, &key, 0).await.remaining, 3);
}

async fn gcra_admits_a_burst_and_then_paces(store: impl Store, clock: Arc<TestClock>) {
    // 4 at once, and 6 a minute: one each 10 s.
    let key = Key::new(&policy("10/min gcra burst=4"), "a");
    let burst = charge(&store, &key, 4).await;
    assert_eq!((burst.admitted, burst.remaining, burst.reset_ms), (true, 0, 10_000));
    for _ in 0..20 {
        assert_eq!(charge(&store, &key, 1).await.retry_ms, Some(10_000));
        clock.advance(10_000);
        assert!(charge(&store, &key, 1).await.admitted);
    }
    clock.advance(25_000);
    let look = charge(&store, &key, 0).await;
    assert_eq!((look.remaining, look.reset_ms), (2, 5_000));
    clock.advance(15_000);
    let idle = charge(&store, &key, 0).await;
    assert_eq!((idle.remaining, idle.reset_ms), (4, 0));
}

async fn a_refused_call_costs_nothing(store: impl Store, clock: Arc<TestClock>) {
    for text in ["3/min exact", "3/min", "30/min gcra burst=3"] {
        let key = Key::new(&policy(text), text);
        charge(&store, &key, 3).await;
        let refused = charge(&store, &key, 1).await;
        for _ in 0..50 {
            clock.advance(1);
            assert!(!charge(&store, &key, 1).await.admitted, "{text}");
        }
        clock.advance(i64::try_from(refused.retry_ms.unwrap()).unwrap() - 50);
        assert!(charge(&store, &key, 1).await.admitted, "{text}");
    }
}

async fn all_are_charged_or_none(store: impl Store, _: Arc<TestClock>) {
    let (by_user, by_address) = (policy("5/min"), policy("2/h exact"));
    let (user, address) = (Key::new(&by_user, "ann"), Key::new(&by_address, "203.0.113.7"));
    let orders = [&user, &address].map(|key| Order::new(Charge::one(key)));
    for left in [(4, 1), (3, 0)] {
        let tallies = store.charge(&orders).await.unwrap();
        assert!(tallies.iter().all(|tally| tally.admitted));
        assert_eq!((tallies[0].remaining, tallies[1].remaining), left);
    }
    for orders in [orders, [orders[1], orders[0]]] {
        let tallies = store.charge(&orders).await.unwrap();
        let mut remaining: Vec<_> = tallies.iter().map(|tally| (tally.admitted, tally.remaining)).collect();
        remaining.sort_unstable();
        assert_eq!(remaining, [(false, 0), (true, 3)]);
    }
    assert_eq!(charge(&store, &user, 0).await.remaining, 3);
    // Many keys at once are in many places.
    let keys: Vec<Key> = (0..200).map(|number| Key::new(&by_user, format!("user {number}"))).collect();
    let orders: Vec<Order> = keys.iter().map(|key| Order::new(Charge::one(key))).collect();
    let tallies = store.charge(&orders).await.unwrap();
    assert!(tallies.len() == 200 && tallies.iter().all(|tally| tally.admitted && tally.remaining == 4));
}

async fn keys_do_not_share(store: impl Store, _: Arc<TestClock>) {
    let (minutes, hours) = (policy("1/min"), policy("1/h"));
    for key in [Key::new(&minutes, "ann"), Key::new(&minutes, "bob"), Key::new(&hours, "ann")] {
        assert!(charge(&store, &key, 1).await.admitted);
    }
    assert!(!charge(&store, &Key::new(&minutes, "ann"), 1).await.admitted);
}

async fn looking_costs_nothing(store: impl Store, _: Arc<TestClock>) {
    let key = Key::new(&policy("2/min"), "a");
    let look = charge(&store, &key, 0).await;
    assert_eq!((look.admitted, look.remaining, look.reset_ms), (true, 2, 0));
    charge(&store, &key, 2).await;
    let look = charge(&store, &key, 0).await;
    assert_eq!((look.admitted, look.remaining, look.reset_ms), (true, 0, 60_000));
}

async fn what_costs_too_much_is_never_admitted(store: impl Store, _: Arc<TestClock>) {
    for (text, cost) in [("2/min", 3), ("2/min exact", u32::MAX), ("10/min gcra burst=2", 3)] {
        let key = Key::new(&policy(text), text);
        let refused = charge(&store, &key, cost).await;
        assert_eq!((refused.admitted, refused.retry_ms, refused.remaining), (false, None, 2), "{text}");
        assert!(charge(&store, &key, 2).await.admitted, "{text}");
    }
}

async fn several_permits_wait_for_enough_of_them(store: impl Store, clock: Arc<TestClock>) {
    let key = Key::new(&policy("5/min exact"), "a");
    for _ in 0..5 {
        charge(&store, &key, 1).await;
        clock.advance(1000);
    }
    let refused = charge(&store, &key, 3).await;
    assert_eq!((refused.reset_ms, refused.retry_ms), (55_000, Some(57_000)));
    clock.advance(57_000);
    assert!(charge(&store, &key, 3).await.admitted);
}

async fn a_clock_that_goes_back_admits_no_more(store: impl Store, clock: Arc<TestClock>) {
    for text in ["4/min exact", "4/min", "8/min gcra burst=4"] {
        let key = Key::new(&policy(text), text);
        assert!(charge(&store, &key, 2).await.admitted);
        clock.advance(-1);
        assert!(charge(&store, &key, 2).await.admitted, "{text}");
        for back in [1, 1000, 59_999, 60_000, 60_001, 3_600_000] {
            clock.advance(-back);
            assert!(!charge(&store, &key, 1).await.admitted, "{text}, back by {back}");
            clock.advance(back);
            assert!(!charge(&store, &key, 1).await.admitted, "{text}, back by {back} and on again");
        }
        // A store's steady time may have gone on by the milliseconds that this took.
        clock.advance(61_000);
        assert!(charge(&store, &key, 1).await.admitted, "{text}");
        clock.advance(3_600_000);
    }
}

async fn long_windows_and_large_limits_are_counted(store: impl Store, clock: Arc<TestClock>) {
    for text in ["1000000000/31d", "150/31d exact", "999999/31d gcra burst=999"] {
        let key = Key::new(&policy(text), text);
        let all = charge(&store, &key, 0).await.remaining;
        assert_eq!(charge(&store, &key, all - 1).await.remaining, 1, "{text}");
        clock.advance(500);
        assert!(charge(&store, &key, 1).await.admitted, "{text}");
        assert!(!charge(&store, &key, 1).await.admitted, "{text}");
        clock.advance(31 * 24 * 3_600_000);
        assert_eq!(charge(&store, &key, 0).await.remaining, all, "{text}");
    }
}

async fn a_client_just_under_its_limit_is_never_refused(store: impl Store, clock: Arc<TestClock>) {
    // Each 612 ms is 98 in a minute.
    for text in ["100/min", "100/min exact", "109/min gcra burst=10"] {
        let key = Key::new(&policy(text), text);
        let mut admissions = Vec::new();
        for _ in 0..300 {
            let tally = charge(&store, &key, 1).await;
            assert!(tally.admitted, "{text}");
            admissions.push(tally.at_ms);
            clock.advance(612);
        }
        assert_never_above(100, 60_000, &mut admissions);
    }
}
