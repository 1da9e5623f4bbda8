//! The audit log after it was written: sealed into a chain, checked, and read.
//!
//! Entries are inserted unchained in the transaction of their change, because a chain
//! there would be one lock on every write. One sealer, under a lease, chains them
//! shortly after, in the order in which it finds them: each seal is an HMAC (RFC 2104,
//! SHA-256) under a key derived from `secret_key` over the seal before it, the position, and every
//! field of its entry. Whoever can write to the database but does not have the key can't
//! change, remove or reorder an entry without breaking the chain; an anchor, another HMAC
//! over the newest position and seal, tells when its end was cut off.

mod read;
mod seal;
mod verify;

pub use read::{AuditFilter, AuditLog, AuditRecord};
pub use seal::Sealer;
pub use verify::{Fault, Verdict};

use aws_lc_rs::hmac;

use crate::entity::{audit_anchor, audit_entry, audit_seal};

/// What chains entries.
#[derive(Clone, Debug)]
struct Chain(hmac::Key);

/// What the first seal follows.
const ORIGIN: &str = "origin";

impl Chain {
    fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The digest of an entry's changes, which stands for them in the chain: they may
    /// be erased when a person's data must go.
    fn digest(&self, changes: &str) -> String {
        self.mac(&["changes", changes])
    }

    fn seal(
        &self,
        before: &str,
        position: i64,
        entry: &audit_entry::Model,
        changes_digest: Option<&str>,
    ) -> String {
        let audit_entry::Model {
            seq,
            id,
            at,
            actor,
            request_id,
            address,
            action,
            target,
            changes: _,
            details,
        } = entry;
        // Absent and empty must differ.
        let optional =
            |value: &Option<String>| value.as_ref().map_or("-".to_owned(), |value| format!("+{value}"));
        let (position, seq, id, at) = (position.to_string(), seq.to_string(), id.to_string(), at.to_string());
        let digest = changes_digest.unwrap_or_default();
        let (request_id, address, details) = (optional(request_id), optional(address), optional(details));
        self.mac(&[
            before,
            &position,
            &seq,
            &id,
            &at,
            actor,
            &request_id,
            &address,
            action,
            target,
            digest,
            &details,
        ])
    }

    fn anchor(&self, position: i64, hash: &str) -> String {
        self.mac(&["anchor", &position.to_string(), hash])
    }

    /// Whether the chain ends where the anchor says. One in which nothing was sealed yet has none.
    fn ends_at(&self, position: i64, hash: &str, anchor: Option<&audit_anchor::Model>) -> bool {
        match anchor {
            None => position == 0,
            Some(anchor) => anchor.position == position && anchor.mac == self.anchor(position, hash),
        }
    }

    /// Over texts of any content: each is preceded by its length, so that none runs into the next.
    fn mac(&self, texts: &[&str]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for text in texts {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        context.sign().as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            use std::fmt::Write as _;
            let _infallible = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Whether `seal` is the one that `entry` must have at its place.
    fn holds(&self, before: &str, seal: &audit_seal::Model, entry: &audit_entry::Model) -> bool {
        let digest = match (&entry.changes, &seal.changes_digest) {
            (Some(changes), Some(digest)) if self.digest(changes) != *digest => return false,
            (Some(_), None) => return false,
            (_, digest) => digest.as_deref(),
        };
        self.seal(before, seal.position, entry, digest) == seal.hash
    }
}
