use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_core::{Rng, ServiceId, Timestamp};

/// Another program that may ask about tokens. Its secret is not known any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) id: ServiceId,
    pub(crate) name: String,
    /// The public half of its credential.
    pub(crate) client_id: String,
    pub(crate) created_at: Timestamp,
}

const PREFIX: &str = "svc_";

/// The public half of a new credential.
pub(crate) fn new_client_id(rng: &dyn Rng) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rng.bytes::<16>()))
}

/// Whether a text has the form of a client id: what has not is looked up nowhere.
pub(crate) fn is_client_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 22 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    use mainstay_core::SeededRng;

    use super::*;

    #[test]
    fn a_client_id_has_its_form() {
        assert!(is_client_id(&new_client_id(&SeededRng::new(1))));
        for bad in ["", "svc_", "svc_x:y", "svc_abcdefghijklmnopqrstu\0"] {
            assert!(!is_client_id(bad), "{bad:?}");
        }
    }
}
