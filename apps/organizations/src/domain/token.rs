//! The secret of an invitation's link.
//!
//! It is computed from the invitation and a key of the installation, so that the answer to the
//! admin, and later the mail, can both hold it, and the database holds its hash alone. A number that
//! grows when the invitation is sent again gives another secret; the earlier one is dead then.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::seal::RootKey;

use super::InvitationId;

/// Bytes of a token: the invitation's id and 192 bits of the code.
const ID: usize = 16;
const CODE: usize = 24;

mainstay_core::text_type! {
    /// The token of an invitation, as it stands in its link.
    pub struct GivenToken(1..=200);
}

/// Makes the tokens. Cheap to clone.
#[derive(Clone)]
pub struct InvitationTokens(Arc<Key>);

impl InvitationTokens {
    /// The tokens of this installation.
    #[must_use]
    pub fn new(root: &RootKey) -> Self {
        Self(Arc::new(Key::new(HMAC_SHA256, &root.derive("invitations"))))
    }

    /// The token of an invitation that was sent this many times.
    #[must_use]
    pub fn of(&self, id: InvitationId, sendings: i64) -> String {
        let mut signed = [0; ID + 8];
        signed[..ID].copy_from_slice(id.uuid().as_bytes());
        signed[ID..].copy_from_slice(&sendings.to_be_bytes());
        let code = sign(&self.0, &signed);
        let mut token = [0; ID + CODE];
        token[..ID].copy_from_slice(id.uuid().as_bytes());
        token[ID..].copy_from_slice(&code.as_ref()[..CODE]);
        URL_SAFE_NO_PAD.encode(token)
    }
}

impl fmt::Debug for InvitationTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationTokens(…)")
    }
}

/// As a token is kept: it has enough bits of its own for a plain hash.
#[must_use]
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()).as_ref())
}

/// Whether a text has the form of our tokens. Those of other apps have another length.
#[must_use]
pub fn looks_like_ours(token: &str) -> bool {
    URL_SAFE_NO_PAD.decode(token).is_ok_and(|bytes| bytes.len() == ID + CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_again_and_another_for_each_sending_key_and_invitation() {
        let id = |number| InvitationId::from(uuid::Uuid::from_u128(number));
        let tokens = InvitationTokens::new(&RootKey::new("one"));
        assert_eq!(tokens.of(id(1), 1), tokens.of(id(1), 1));
        let others = [
            tokens.of(id(1), 2),
            tokens.of(id(2), 1),
            InvitationTokens::new(&RootKey::new("two")).of(id(1), 1),
        ];
        assert!(!others.contains(&tokens.of(id(1), 1)));
        assert!(looks_like_ours(&others[0]) && !looks_like_ours("x") && !looks_like_ours(&"A".repeat(32)));
        assert!(!format!("{tokens:?}").contains(char::is_numeric));
    }
}
