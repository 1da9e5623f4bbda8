use std::fmt;

use aws_lc_rs::digest;

use crate::policy::Policy;
use crate::state::Shape;

/// One identity under one policy: what a counter belongs to.
///
/// Holds a digest of both, not the identity: no store sees addresses or names of users, and a
/// key always has the same size. Two identities share a counter only if SHA-256, cut to 128 bits,
/// gives them the same digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    policy: Policy,
    digest: u128,
}

impl Key {
    /// The counter of `identity`, such as a user's id or a client's address, under `policy`.
    #[must_use]
    pub fn new(policy: &Policy, identity: impl AsRef<[u8]>) -> Self {
        let (tag, identity) = (policy.tag(), identity.as_ref());
        // On the stack as long as it is of any usual length.
        let mut short = [0; 96];
        let length = tag.len() + identity.len();
        let full = if length <= short.len() {
            short[..tag.len()].copy_from_slice(tag);
            short[tag.len()..length].copy_from_slice(identity);
            digest::digest(&digest::SHA256, &short[..length])
        } else {
            digest::digest(&digest::SHA256, &[tag, identity].concat())
        };
        let mut cut = [0; 16];
        cut.copy_from_slice(&full.as_ref()[..16]);
        Self { policy: policy.clone(), digest: u128::from_be_bytes(cut) }
    }

    /// The policy that it is counted under.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn digest(&self) -> u128 {
        self.digest
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:032x})", self.policy.name(), self.digest)
    }
}

/// What one call takes from one counter.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The counter.
    pub key: &'a Key,
    /// How many permits; 0 only looks, and is always admitted. More than the limit (for GCRA than
    /// the burst) is never admitted.
    pub cost: u32,
}

impl<'a> Charge<'a> {
    /// One permit.
    #[must_use]
    pub fn one(key: &'a Key) -> Self {
        Self { key, cost: 1 }
    }
}

/// A charge as the stores take it.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub(crate) digest: u128,
    /// Which policy, where the identity doesn't matter.
    pub(crate) tag: u64,
    pub(crate) shape: Shape,
    pub(crate) cost: u32,
    /// How many permits to take ahead if there are plenty.
    pub(crate) extra: u32,
}

impl Order {
    /// The order for a charge, without permits ahead.
    #[must_use]
    pub fn new(charge: Charge<'_>) -> Self {
        let policy = charge.key.policy();
        let mut tag = [0; 8];
        tag.copy_from_slice(&policy.tag()[..8]);
        Self {
            digest: charge.key.digest(),
            tag: u64::from_be_bytes(tag),
            shape: policy.shape(),
            cost: charge.cost,
            extra: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_an_identity_under_a_policy() {
        let policy = |name, text| Policy::parse(name, text).unwrap();
        let one = policy("one", "5/min");
        assert_eq!(Key::new(&one, "ann"), Key::new(&one.clone(), "ann"));
        assert_ne!(Key::new(&one, "ann"), Key::new(&one, "bob"));
        for other in [policy("two", "5/min"), policy("one", "5/h"), policy("one", "5/min exact")] {
            assert_ne!(Key::new(&one, "ann").digest(), Key::new(&other, "ann").digest(), "{other:?}");
        }
        // A new limit applies to what was used already.
        assert_eq!(Key::new(&one, "ann").digest(), Key::new(&policy("one", "9/min"), "ann").digest());
    }

    #[test]
    fn long_identities_count_to_their_last_byte() {
        let policy = Policy::parse("p", "5/min").unwrap();
        for length in [79, 80, 81, 5000] {
            let (mut one, mut two) = (vec![b'a'; length], vec![b'a'; length]);
            (one[length - 1], two[length - 1]) = (b'x', b'y');
            assert_ne!(Key::new(&policy, one), Key::new(&policy, two), "{length}");
        }
    }
}
