//! Secrets at rest: AES-256-GCM under keys derived from the installation's `secret_key`.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::Rng;

/// Why something sealed could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("this was sealed with another secret_key, or was changed since")]
pub struct OpenError;

/// The installation's root secret. Keys for single purposes are derived from
/// it (HKDF-SHA-256, RFC 5869), so that no key serves two purposes.
#[derive(Clone)]
pub struct RootKey(Arc<[u8]>);

impl RootKey {
    /// Wraps the bytes of `secret_key`.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.as_bytes().into())
    }

    /// A 256-bit key for one purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let mut key = [0; 32];
        Salt::new(HKDF_SHA256, b"mainstay")
            .extract(&self.0)
            .expand(&[purpose.as_bytes()], Length)
            .and_then(|output| output.fill(&mut key))
            .expect("32 bytes are within HKDF's output");
        key
    }

    /// A sealer for one purpose.
    #[must_use]
    pub fn sealer(&self, purpose: &str, rng: Arc<dyn Rng>) -> Sealer {
        let key = UnboundKey::new(&AES_256_GCM, &self.derive(purpose)).expect("the key has 256 bits");
        Sealer { key: Arc::new(LessSafeKey::new(key)), rng }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(…)")
    }
}

/// Seals and opens small secrets.
#[derive(Clone, Debug)]
pub struct Sealer {
    key: Arc<LessSafeKey>,
    rng: Arc<dyn Rng>,
}

impl Sealer {
    /// Seals `plain`, bound to `context` (for example the row's id): base64 of
    /// nonce, ciphertext and tag.
    #[must_use]
    pub fn seal(&self, plain: &[u8], context: &str) -> String {
        // Random 96-bit nonces are safe for 2^32 messages a key; what is sealed here are a few rows.
        let nonce = self.rng.bytes::<NONCE_LEN>();
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .expect("AES-GCM seals messages of this size");
        STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Sealer::seal`] made under the same key and context.
    ///
    /// # Errors
    /// [`OpenError`] for another key, another context or changed text.
    pub fn open(&self, sealed: &str, context: &str) -> Result<Vec<u8>, OpenError> {
        let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| OpenError)?;
        let (nonce, cipher) = bytes.split_at_checked(NONCE_LEN).ok_or(OpenError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError)?;
        let mut plain = cipher.to_vec();
        let length =
            self.key.open_in_place(nonce, Aad::from(context), &mut plain).map_err(|_| OpenError)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OsRng;

    #[test]
    fn what_is_sealed_opens_only_with_the_same_key_and_context() {
        let sealer = RootKey::new("one").sealer("keys", Arc::new(OsRng));
        let sealed = sealer.seal(b"treasure", "row-1");

        assert_eq!(sealer.open(&sealed, "row-1").unwrap(), b"treasure");
        assert!(sealer.open(&sealed, "row-2").is_err());
        assert!(RootKey::new("two").sealer("keys", Arc::new(OsRng)).open(&sealed, "row-1").is_err());
        assert!(RootKey::new("one").sealer("mail", Arc::new(OsRng)).open(&sealed, "row-1").is_err());
        assert!(sealer.open("not sealed", "row-1").is_err());
    }

    #[test]
    fn the_same_secret_never_looks_the_same_twice() {
        let sealer = RootKey::new("one").sealer("keys", Arc::new(OsRng));
        assert_ne!(sealer.seal(b"treasure", ""), sealer.seal(b"treasure", ""));
    }
}
