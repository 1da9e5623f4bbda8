//! Randomness as something given: production asks the operating system, a test seeds it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Mutex;

use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};

/// Where random bytes come from. Every implementation used in production is
/// cryptographically strong.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Rng + '_ {
    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator.
///
/// Small requests are served from a buffer of each thread, filled a kilobyte at
/// a time: a request id costs no system call.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRng;

struct Buffer {
    bytes: [u8; 1024],
    used: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer { bytes: [0; 1024], used: 1024 }) };
}

fn from_system(bytes: &mut [u8]) {
    SysRng.try_fill_bytes(bytes).expect("the operating system hands out randomness");
}

impl Rng for OsRng {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > 64 {
            return from_system(bytes);
        }
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.used + bytes.len() > buffer.bytes.len() {
                from_system(&mut buffer.bytes);
                buffer.used = 0;
            }
            let given = &mut buffer.bytes[buffer.used..buffer.used + bytes.len()];
            bytes.copy_from_slice(given);
            // What was handed out may have become a key: it stays nowhere else.
            given.fill(0);
            buffer.used += bytes.len();
        });
    }
}

/// The same bytes for the same seed, in every run. For tests.
#[derive(Debug)]
pub struct SeededRng(Mutex<StdRng>);

impl SeededRng {
    /// A generator that starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Ok(()) = rng.try_fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_handed_out_twice() {
        let rng: &dyn Rng = &OsRng;
        let ids: HashSet<[u8; 16]> = (0..10_000).map(|_| rng.bytes()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(!ids.contains(&[0; 16]));
        assert_ne!(rng.bytes::<100>(), rng.bytes::<100>());
    }

    #[test]
    fn a_seed_gives_the_same_bytes_again() {
        let bytes = |seed| (&SeededRng::new(seed) as &dyn Rng).bytes::<32>();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }
}
