//! What we sign: the tokens of forms, and messages for the next page.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::Rng;
use mainstay_core::seal::RootKey;

pub(crate) struct Seal {
    forms: hmac::Key,
    flashes: hmac::Key,
    rng: Arc<dyn Rng>,
}

const NONCE: usize = 16;

impl Seal {
    pub(crate) fn new(root_key: &RootKey, rng: Arc<dyn Rng>) -> Self {
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &root_key.derive(purpose));
        Self { forms: key("web.forms"), flashes: key("web.flashes"), rng }
    }

    /// 256 random bits as text.
    pub(crate) fn random(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.rng.bytes::<32>())
    }

    /// A token for a form of this session. Another one each time: pages are compressed, and the
    /// length of what is always the same would tell it bit by bit.
    pub(crate) fn token(&self, session: &str) -> String {
        let nonce = self.rng.bytes::<NONCE>();
        let tag = hmac::sign(&self.forms, &[&nonce, session.as_bytes()].concat());
        URL_SAFE_NO_PAD.encode([&nonce[..], tag.as_ref()].concat())
    }

    /// Whether a token was made for a form of this session.
    pub(crate) fn is_token(&self, token: &str, session: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((nonce, tag)) = bytes.split_at_checked(NONCE) else { return false };
        hmac::verify(&self.forms, &[nonce, session.as_bytes()].concat(), tag).is_ok()
    }

    pub(crate) fn sign_flash(&self, text: &str) -> String {
        let tag = hmac::sign(&self.flashes, text.as_bytes());
        URL_SAFE_NO_PAD.encode([tag.as_ref(), text.as_bytes()].concat())
    }

    pub(crate) fn open_flash(&self, signed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(signed).ok()?;
        let (tag, text) = bytes.split_at_checked(32)?;
        hmac::verify(&self.flashes, text, tag).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::SeededRng;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_session_only() {
        let seal = Seal::new(&RootKey::new("one"), Arc::new(SeededRng::new(1)));
        let other = Seal::new(&RootKey::new("two"), Arc::new(SeededRng::new(1)));
        let (first, second) = (seal.token("a"), seal.token("a"));
        assert_ne!(first, second);
        assert!(seal.is_token(&first, "a") && seal.is_token(&second, "a"));
        assert!(!seal.is_token(&first, "b") && !seal.is_token(&other.token("a"), "a"));
        for bad in ["", "AAAA", "?", &first[1..], &"A".repeat(64)] {
            assert!(!seal.is_token(bad, "a"), "{bad}");
        }
    }

    #[test]
    fn a_message_is_ours_or_none() {
        let seal = Seal::new(&RootKey::new("one"), Arc::new(SeededRng::new(1)));
        let signed = seal.sign_flash("good: Saved.");
        assert_eq!(seal.open_flash(&signed).as_deref(), Some("good: Saved."));
        // A form's token is no message, and a changed one neither.
        for bad in [String::new(), seal.token("a"), signed.replacen('A', "B", 1), format!("{signed}AAAA")] {
            assert!(bad == signed || seal.open_flash(&bad).is_none(), "{bad}");
        }
    }
}
