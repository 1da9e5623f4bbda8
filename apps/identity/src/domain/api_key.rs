use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_auth::{API_KEY_PREFIX, Scopes};
use mainstay_core::{Timestamp, UserId};

mainstay_core::uuid_ids! {
    /// Names an API key.
    pub struct ApiKeyId;
}

mainstay_core::text_type! {
    /// The name of a rate limit in the settings: 1 to 40 characters.
    pub struct LimitPolicy(1..=40);
}

mainstay_core::text_type! {
    /// What a key is for: 1 to 100 characters.
    pub struct CredentialName(1..=100);
}

/// An API key, as its owner sees it. The key itself is not known any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    /// Its first characters, to tell it from others.
    pub(crate) prefix: String,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: Timestamp,
    /// `None`: it does not end by itself.
    pub(crate) expires_at: Option<Timestamp>,
    /// To the minute. `None`: never.
    pub(crate) last_used_at: Option<Timestamp>,
    /// The name of its own rate limit. `None`: that of every user.
    pub(crate) limit_policy: Option<String>,
}

/// Most keys of one user that could be used at the same time.
pub(crate) const MOST_API_KEYS: u64 = 50;

/// Characters of a key that stay readable.
const SHOWN: usize = 12;

/// How the secret half of a service's credential begins.
pub(crate) const SERVICE_PREFIX: &str = "mss_";

/// A secret that programs hold: a prefix that tells its kind, and 256 bits that nobody can guess.
/// Never printed.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(prefix: &str, bytes: &[u8; 32]) -> Self {
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The part that may be shown.
    pub(crate) fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// The text, for its owner, once.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a text has the form of an API key: what has not is looked up nowhere.
pub(crate) fn is_api_key(text: &str) -> bool {
    text.strip_prefix(API_KEY_PREFIX).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_form_and_is_never_printed() {
        let key = Secret::new(API_KEY_PREFIX, &[1; 32]);
        assert!(is_api_key(key.expose()), "{}", key.expose());
        assert_eq!((key.prefix().len(), key.expose().len()), (12, 47));
        assert_eq!(format!("{key:?}"), "Secret(…)");
        let secret = Secret::new(SERVICE_PREFIX, &[1; 32]);
        assert!(secret.expose().starts_with("mss_") && !is_api_key(secret.expose()));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_form() {
        let rest = "x".repeat(43);
        assert!(is_api_key(&format!("mst_{rest}")));
        for bad in [
            String::new(),
            "mst_".to_owned(),
            format!("mss_{rest}"),
            format!("mst_{rest}x"),
            format!("MST_{rest}"),
            format!("mst_{}\0", "x".repeat(42)),
            format!("mst_{}ü", "x".repeat(41)),
        ] {
            assert!(!is_api_key(&bad), "{bad:?}");
        }
    }
}
