//! Addresses of accounts and of those who are invited to one.

use std::fmt;

use mainstay_core::Invalid;
use mainstay_core::input::Text;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

/// An e-mail address: something before one `@`, a domain behind it, at most 254
/// characters (RFC 5321 §4.5.3). Whether it exists only a mail can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address; white space at the ends goes.
    ///
    /// # Errors
    /// `invalid_email`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text: String = text.trim().nfc().collect();
        let invalid = || Invalid::new("invalid_email", "must be an e-mail address such as ada@example.com");
        let (local, domain) = text.rsplit_once('@').ok_or_else(invalid)?;
        let plain = |part: &str| {
            !part.chars().any(|c| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"@".contains(c))
        };
        let good_local = (1..=64).contains(&local.len()) && plain(local) && !dotted_badly(local);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        let good_domain = domain.len() <= 253 && domain.split('.').all(label);
        if good_local && good_domain && text.len() <= 254 { Ok(Self(text)) } else { Err(invalid()) }
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared: addresses that differ only in case are one.
    #[must_use]
    pub fn normalized(&self) -> String {
        self.0.to_lowercase()
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or(&*self.0, |(local, _)| local)
    }
}

fn dotted_badly(local: &str) -> bool {
    local.starts_with('.') || local.ends_with('.') || local.contains("..")
}

impl Text for Email {
    fn schema() -> Value {
        json!({"type": "string", "format": "email", "maxLength": 254})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_compared_without_case() {
        assert_eq!(
            Email::parse(" Ada.Lovelace+x@Example.COM ").unwrap().normalized(),
            "ada.lovelace+x@example.com"
        );
        for good in ["a@b", "ü@bücher.example", "o'neil@mail.example.org"] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_could_break_a_mail_header_is_no_address() {
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c.d",
            "a@b@c.d",
            "a@-b.c",
            "a@b..c",
            ".a@b.c",
            "a..b@c.d",
            "a@b.c\r\nBcc: x@y.z",
            "<a@b.c>",
            "a,b@c.d",
            "a@b.c,d@e.f",
            &format!("{}@b.c", "x".repeat(65)),
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }
}
