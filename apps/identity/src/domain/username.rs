use std::fmt;

use mainstay_core::input::Text;
use mainstay_core::{Invalid, text};
use serde_json::{Value, json};

/// The name that an account goes by: 3 to 50 letters, digits, `.`, `_` and `-`,
/// beginning and ending with a letter or digit. Unique whatever the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Reads a name; white space at the ends goes.
    ///
    /// # Errors
    /// `too_short`, `too_long` or `invalid_username`.
    pub fn parse(value: &str) -> Result<Self, Invalid> {
        let name = mainstay_core::input::line(value, 3..=50)?;
        let inner = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
        let ends =
            [name.chars().next(), name.chars().next_back()].into_iter().flatten().all(char::is_alphanumeric);
        if inner && ends {
            Ok(Self(name))
        } else {
            let message =
                "may hold letters, digits, '.', '_' and '-', and begins and ends with a letter or digit";
            Err(Invalid::new("invalid_username", message))
        }
    }

    /// A name made from the part of an address before the `@`. `suffix` tells
    /// it from others of the same origin.
    #[must_use]
    pub fn derive(local: &str, suffix: Option<u32>) -> Self {
        let folded = text::fold(local);
        let kept: String = folded
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            .take(40)
            .collect();
        let kept = kept.trim_matches(['.', '_', '-']);
        let base = if kept.len() < 3 { format!("user{kept}") } else { kept.to_owned() };
        Self(suffix.map_or(base.clone(), |suffix| format!("{base}-{suffix:06}")))
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared.
    #[must_use]
    pub fn normalized(&self) -> String {
        self.0.to_lowercase()
    }
}

impl Text for Username {
    fn schema() -> Value {
        json!({"type": "string", "minLength": 3, "maxLength": 50, "pattern": r"^[\p{L}\p{N}][\p{L}\p{N}._\-]*[\p{L}\p{N}]$"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_name_is_a_name() {
        for local in ["ada", "Ada.Lovelace", "x", "..", "名前", "jürgen+news", &"y".repeat(64)] {
            for suffix in [None, Some(7)] {
                let name = Username::derive(local, suffix);
                assert_eq!(Username::parse(name.as_str()), Ok(name.clone()), "{local}");
            }
        }
        assert_eq!(Username::derive("Jürgen+news", None).as_str(), "jurgennews");
    }

    #[test]
    fn odd_names_are_refused() {
        for bad in ["ab", "a b c", "-abc", "abc.", "a/b/c", "<abc>", &"x".repeat(51)] {
            assert!(Username::parse(bad).is_err(), "{bad}");
        }
    }
}
