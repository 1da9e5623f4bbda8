//! Refresh tokens: 256 bits that nobody can guess, kept as their hash.
//!
//! A token's child is computed from it with a key of the server's. So whoever
//! presents the parent again, because the answer was lost, can be given the same
//! child, though nothing but its hash is kept.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::Rng;
use mainstay_core::seal::RootKey;
use uuid::Uuid;

/// What tells a refresh token from other secrets, for people and for those who search for leaks.
const PREFIX: &str = "msr_";

/// Makes and derives refresh tokens.
#[derive(Clone, Debug)]
pub(crate) struct RefreshTokens {
    children: hmac::Key,
    access_ids: hmac::Key,
}

impl RefreshTokens {
    pub(crate) fn new(root: &RootKey) -> Self {
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &root.derive(purpose));
        Self { children: key("refresh tokens"), access_ids: key("access tokens of refreshes") }
    }

    /// The first of a family.
    pub(crate) fn first(rng: &dyn Rng) -> String {
        write(&rng.bytes())
    }

    /// Whether it can be one of ours at all.
    pub(crate) fn is_one(text: &str) -> bool {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes.is_some_and(|bytes| bytes.len() == 32)
    }

    /// The token that this one is exchanged for: always the same.
    pub(crate) fn child(&self, parent: &str) -> String {
        let tag = hmac::sign(&self.children, parent.as_bytes());
        write(tag.as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes"))
    }

    /// The id of the access token that comes with the child.
    pub(crate) fn access_id(&self, parent: &str) -> Uuid {
        let tag = hmac::sign(&self.access_ids, parent.as_bytes());
        let bytes = tag.as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes");
        uuid::Builder::from_custom_bytes(*bytes).into_uuid()
    }
}

fn write(bytes: &[u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use mainstay_core::SeededRng;

    use super::*;

    #[test]
    fn a_child_follows_from_its_parent_and_the_key_alone() {
        let (ours, theirs) = (RefreshTokens::new(&RootKey::new("a")), RefreshTokens::new(&RootKey::new("b")));
        let parent = RefreshTokens::first(&SeededRng::new(1));

        assert_eq!(ours.child(&parent), ours.child(&parent));
        assert_ne!(ours.child(&parent), theirs.child(&parent));
        assert_eq!(ours.access_id(&parent), ours.access_id(&parent));
        assert!(RefreshTokens::is_one(&parent) && RefreshTokens::is_one(&ours.child(&parent)));
        for bad in ["", "msr_", &parent[4..], &parent[..46], &format!("{parent}A"), "msr_\u{0}"] {
            assert!(!RefreshTokens::is_one(bad), "{bad}");
        }
    }
}
