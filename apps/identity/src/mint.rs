//! What programs and browsers prove themselves by, made so that it shows where it was made.
//!
//! Of its 256 bits 192 are random and 64 an HMAC of these under a key of the server's. The HMAC proves
//! nothing about who has it, or whether it still counts: that is looked up. It only tells what is worth
//! looking up from what somebody made up, at no cost to the database.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_auth::API_KEY_PREFIX;
use mainstay_core::Rng;
use mainstay_core::seal::RootKey;

use crate::domain::{SERVICE_PREFIX, Secret};

const RANDOM: usize = 24;
const MARK: usize = 8;

/// Makes API keys, secrets of services and cookies.
#[derive(Clone, Debug)]
pub(crate) struct Mint(hmac::Key);

impl Mint {
    pub(crate) fn new(root: &RootKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &root.derive("marks of credentials")))
    }

    pub(crate) fn api_key(&self, rng: &dyn Rng) -> Secret {
        self.make(API_KEY_PREFIX, rng)
    }

    /// The secret of the service with this id. It goes with no other one: services are looked up by their ids, so
    /// whoever has one secret could otherwise have any number of ids looked up.
    pub(crate) fn service(&self, client_id: &str, rng: &dyn Rng) -> Secret {
        self.make_for(client_id, SERVICE_PREFIX, rng)
    }

    pub(crate) fn cookie(&self, rng: &dyn Rng) -> Secret {
        self.make("", rng)
    }

    pub(crate) fn made_api_key(&self, text: &str) -> bool {
        self.made(API_KEY_PREFIX, text)
    }

    pub(crate) fn made_service(&self, client_id: &str, text: &str) -> bool {
        self.made_for(client_id, SERVICE_PREFIX, text)
    }

    pub(crate) fn made_cookie(&self, text: &str) -> bool {
        self.made("", text)
    }

    fn make(&self, prefix: &str, rng: &dyn Rng) -> Secret {
        self.make_for("", prefix, rng)
    }

    fn make_for(&self, whom: &str, prefix: &str, rng: &dyn Rng) -> Secret {
        let mut bytes = [0; RANDOM + MARK];
        bytes[..RANDOM].copy_from_slice(&rng.bytes::<RANDOM>());
        let mark = self.mark(whom, prefix, &bytes[..RANDOM]);
        bytes[RANDOM..].copy_from_slice(&mark);
        Secret::new(prefix, &bytes)
    }

    fn made(&self, prefix: &str, text: &str) -> bool {
        self.made_for("", prefix, text)
    }

    fn made_for(&self, whom: &str, prefix: &str, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(prefix) else { return false };
        // Room for whatever is decoded before the length is known.
        let mut bytes = [0; RANDOM + MARK + 2];
        match URL_SAFE_NO_PAD.decode_slice(rest, &mut bytes) {
            Ok(length) if length == RANDOM + MARK => {
                let (random, mark) = bytes[..length].split_at(RANDOM);
                verify_slices_are_equal(&self.mark(whom, prefix, random), mark).is_ok()
            }
            _ => false,
        }
    }

    fn mark(&self, whom: &str, prefix: &str, random: &[u8]) -> [u8; MARK] {
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(prefix.as_bytes());
        // Always as long, so that what comes behind it is not mistaken for a part of it.
        signed.update(random);
        signed.update(whom.as_bytes());
        *signed.sign().as_ref().first_chunk().expect("HMAC-SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::OsRng;

    use super::*;

    #[test]
    fn a_mint_knows_its_own_and_nothing_else() {
        let (ours, theirs) = (Mint::new(&RootKey::new("a")), Mint::new(&RootKey::new("b")));
        let (key, service, cookie) =
            (ours.api_key(&OsRng), ours.service("svc_1", &OsRng), ours.cookie(&OsRng));
        assert!(ours.made_api_key(key.expose()));
        assert!(ours.made_service("svc_1", service.expose()));
        assert!(!ours.made_service("svc_2", service.expose()) && !ours.made_service("", service.expose()));
        assert!(ours.made_cookie(cookie.expose()));
        assert!(!theirs.made_api_key(key.expose()));

        // Not one kind for another.
        let bare = key.expose().strip_prefix(API_KEY_PREFIX).unwrap();
        assert!(!ours.made_cookie(bare) && !ours.made_service("", &format!("{SERVICE_PREFIX}{bare}")));
        // Nor with a single bit of it changed, whichever.
        let bytes = URL_SAFE_NO_PAD.decode(bare).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = format!("{API_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(changed));
            assert!(!ours.made_api_key(&changed), "{bit}");
        }
        let long = format!("{API_KEY_PREFIX}{}", "x".repeat(5000));
        for bad in ["", "mst_", "mst_?", bare, &key.expose()[..46], &format!("{}x", key.expose()), &long] {
            assert!(!ours.made_api_key(bad), "{bad:?}");
        }
    }
}
