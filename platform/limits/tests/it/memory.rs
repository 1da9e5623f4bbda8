//! The bounds of the store in memory, and races on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use mainstay_core::Clock;
use mainstay_limits::store::Order;
use mainstay_limits::store::memory::MemoryStore;
use mainstay_limits::{Charge, Key};

use crate::{TestClock, assert_never_above, memory_store, policy};

/// Places for a thousand keys.
fn small_store(clock: &Arc<TestClock>) -> MemoryStore {
    MemoryStore::new(Arc::clone(clock) as Arc<dyn Clock>, 1000)
}

#[test]
fn a_flood_of_keys_takes_no_more_than_its_places() {
    let clock = TestClock::new();
    let store = small_store(&clock);
    let policy = policy("10/min");
    let mut refused = 0;
    for number in 0..200_000_u32 {
        let key = Key::new(&policy, number.to_be_bytes());
        refused += u32::from(!store.charge_one(&Order::new(Charge::one(&key))).admitted);
        if number % 1000 == 0 {
            clock.advance(1);
        }
    }
    assert!(store.keys() <= 1024, "{}", store.keys());
    // What shares a counter has its limit together: at most 1024 counters of 10.
    assert!(refused >= 200_000 - 1024 - 10_240, "{refused}");
    assert_eq!(store.overflowed(), u64::from(200_000 - refused) - 1024);

    // All of it passes with the window, and then there is room again.
    clock.advance(60_001);
    for number in 0..500_u32 {
        let key = Key::new(&policy, number.to_be_bytes());
        let tally = store.charge_one(&Order::new(Charge::one(&key)));
        assert!(tally.admitted, "{number}");
    }
    assert!(store.keys() <= 1024);
}

#[test]
fn keys_that_are_not_used_any_more_are_dropped() {
    let clock = TestClock::new();
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>, 1_000_000);
    let policy = policy("10/s");
    for number in 0..300_000_u32 {
        let key = Key::new(&policy, number.to_be_bytes());
        assert!(store.charge_one(&Order::new(Charge::one(&key))).admitted);
        // A thousand live at any time.
        clock.advance(1);
    }
    assert!(store.keys() < 10_000, "{}", store.keys());
}

#[test]
fn no_key_exceeds_its_limit_while_places_come_and_go() {
    let clock = TestClock::new();
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>, 64);
    for text in ["3/min", "3/min exact", "6/min gcra burst=3"] {
        let policy = policy(text);
        let mut admissions: HashMap<u32, Vec<i64>> = HashMap::new();
        // Many keys in turns, so that each moves between a place of its own and a shared one.
        for round in 0..400_u32 {
            for number in 0..300_u32 {
                if (number * 7 + round * 13) % 11 > 4 {
                    continue;
                }
                let key = Key::new(&policy, number.to_be_bytes());
                let tally = store.charge_one(&Order::new(Charge::one(&key)));
                if tally.admitted {
                    admissions.entry(number).or_default().push(tally.at_ms);
                }
            }
            clock.advance(997);
        }
        assert!(store.overflowed() > 0);
        for admissions in admissions.values_mut() {
            assert_never_above(policy.limit(), 60_000, admissions);
        }
    }
}

#[test]
fn long_logs_are_shortened_by_counting_longer_never_by_forgetting() {
    let clock = TestClock::new();
    let store = small_store(&clock);
    let policy = policy("150/min exact");
    let keys: Vec<Key> = (0..600_u32).map(|number| Key::new(&policy, number.to_be_bytes())).collect();
    let mut admissions: HashMap<usize, Vec<i64>> = HashMap::new();
    // 600 keys of up to 150 moments each, where there is room for 8 each.
    for _ in 0..400 {
        for (number, key) in keys.iter().enumerate() {
            let tally = store.charge_one(&Order::new(Charge::one(key)));
            if tally.admitted {
                admissions.entry(number).or_default().push(tally.at_ms);
            }
        }
        clock.advance(301);
    }
    for admissions in admissions.values_mut() {
        assert!(admissions.len() >= 150);
        assert_never_above(150, 60_000, admissions);
    }
}

#[test]
fn threads_together_get_the_limit_to_the_last_permit() {
    let clock = TestClock::new();
    let store = memory_store(&clock);
    let policy = policy("1000/min");
    let key = Key::new(&policy, "all");
    let admitted = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let tally = store.charge_one(&Order::new(Charge::one(&key)));
                    admitted.fetch_add(u32::from(tally.admitted), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1000);
}

#[test]
fn calls_that_take_the_same_keys_in_any_order_neither_block_nor_exceed() {
    let clock = TestClock::new();
    let store = memory_store(&clock);
    let policy = policy("500/min");
    let keys: Vec<Key> = (0..20_u32).map(|number| Key::new(&policy, number.to_be_bytes())).collect();
    let admitted = AtomicU32::new(0);
    thread::scope(|scope| {
        for thread in 0..8_usize {
            let (store, keys, admitted) = (&store, &keys, &admitted);
            scope.spawn(move || {
                let mut orders: Vec<Order> = keys.iter().map(|key| Order::new(Charge::one(key))).collect();
                orders.rotate_left(thread * 3 % 20);
                if thread % 2 == 0 {
                    orders.reverse();
                }
                for _ in 0..200 {
                    let all = store.charge_now(&orders).iter().all(|tally| tally.admitted);
                    admitted.fetch_add(u32::from(all), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 500);
    for key in &keys {
        assert_eq!(store.charge_one(&Order::new(Charge { key, cost: 0 })).remaining, 0);
    }
}
