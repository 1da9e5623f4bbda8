use std::fmt;

use mainstay_core::Invalid;
use mainstay_core::input::Text;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

use super::common_passwords::is_common;

/// A password as somebody typed it. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The text, for the one place that hashes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Text for Password {
    fn schema() -> Value {
        json!({"type": "string", "format": "password", "minLength": 1, "maxLength": 1024})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        // No rule but a bound: what was a password once must be enterable for ever.
        match text.chars().count() {
            0 => Err(Invalid::new("too_short", "must not be empty")),
            1..=1024 => Ok(Self(text.to_owned())),
            _ => Err(Invalid::new("too_long", "is longer than any password")),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A password for a new account: 8 to 256 code points after NFKC (NIST SP
/// 800-63B-4 §3.1.1.2); any characters, no rules of composition.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword(Password);

impl NewPassword {
    /// Reads a password. Nothing is trimmed.
    ///
    /// # Errors
    /// `too_short`, `too_long` or `common_password`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let normal: String = text.nfkc().collect();
        match normal.chars().count() {
            ..8 => return Err(Invalid::new("too_short", "must have at least 8 characters")),
            8..=256 => {}
            _ => return Err(Invalid::new("too_long", "must have at most 256 characters")),
        }
        if is_common(&normal) {
            return Err(Invalid::new(
                "common_password",
                "is among the passwords that are tried first; choose another",
            ));
        }
        Ok(Self(Password(text.to_owned())))
    }

    /// Checks what depends on the account and the installation.
    ///
    /// # Errors
    /// `too_short` or `guessable_password`.
    pub fn check_for(&self, least: usize, context: &[&str]) -> Result<(), Invalid> {
        let normal = self.expose().nfkc().collect::<String>().to_lowercase();
        if normal.chars().count() < least {
            return Err(Invalid::new("too_short", format!("must have at least {least} characters")));
        }
        if context.iter().any(|word| word.to_lowercase() == normal) || normal == "mainstay" {
            return Err(Invalid::new(
                "guessable_password",
                "must not be your e-mail address, your name or the product's",
            ));
        }
        Ok(())
    }

    /// The text, for the one place that hashes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Text for NewPassword {
    fn schema() -> Value {
        json!({"type": "string", "format": "password", "minLength": 8, "maxLength": 256})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_code_points_after_normalization() {
        assert!(NewPassword::parse("ju 4 xe~").is_ok());
        assert!(NewPassword::parse(&"ü".repeat(7)).is_err());
        assert!(NewPassword::parse("🦀🦀🐢🐢🦊🦊🐙🐙").is_ok());
        assert!(NewPassword::parse(&format!("ab{}", "xyzt u".repeat(42))).is_ok());
        assert!(NewPassword::parse(&"xy z".repeat(65)).is_err());
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for bad in [
            "password",
            "PASSWORD1",
            "12345678",
            "qwertyuiop",
            "aaaaaaaaaaaa",
            "123123123",
            "abababab",
            "zyxwvuts",
            "iloveyou",
            "password1234567",
            "ｐａｓｓｗｏｒｄ１",
        ] {
            assert_eq!(NewPassword::parse(bad).map(|_| ()).unwrap_err().code, "common_password", "{bad}");
        }
        assert!(NewPassword::parse("all lower case words").is_ok(), "no composition rules");
    }

    #[test]
    fn the_accounts_own_words_are_refused() {
        let password = NewPassword::parse("Ada.Lovelace").unwrap();
        assert!(password.check_for(8, &["ada.lovelace"]).is_err());
        assert!(password.check_for(15, &[]).is_err());
        assert!(password.check_for(8, &["somebody"]).is_ok());
    }

    #[test]
    fn a_password_is_never_printed() {
        assert!(!format!("{:?}", NewPassword::parse("correct horse").unwrap()).contains("horse"));
    }
}
