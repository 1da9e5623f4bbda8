//! Posts, and what may be said in one.

use std::convert::Infallible;
use std::str::FromStr;

use mainstay_core::input::{self, Text};
use mainstay_core::{Invalid, Timestamp};
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

mainstay_core::number_ids! {
    /// Names a post: 1 and up, larger for newer ones.
    pub struct PostId;
}

/// What stands in a path where an id should. `None` if it can't be one: then it names nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedId(pub(crate) Option<PostId>);

impl FromStr for AskedId {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse().ok()))
    }
}

/// Declares a type for one line of text. Unlike `text_type!`, line breaks at the ends are white space
/// that goes, as the rest of it does.
macro_rules! line {
    ($(#[doc = $doc:literal])* $name:ident up to $most:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Text for $name {
            fn schema() -> Value {
                json!({
                    "type": "string", "minLength": 1, "maxLength": $most, "pattern": input::LINE_PATTERN,
                })
            }

            fn parse(text: &str) -> Result<Self, Invalid> {
                input::line(text.trim(), 1..=$most).map(Self)
            }
        }
    };
}

line! {
    /// Who posts, as people call them: one line of 1 to 255 characters.
    Name up to 255
}
line! {
    /// The name that they go by: one line of 1 to 100 characters.
    Username up to 100
}

/// What is posted: 1 to 10,000 characters, with line breaks and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Most characters of a body.
const MOST_BODY: usize = 10_000;

impl Text for Body {
    fn schema() -> Value {
        json!({
            "type": "string", "minLength": 1, "maxLength": MOST_BODY,
            "pattern": r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F\u200B\u2060\uFEFF][^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$",
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let shown = |c: char| !c.is_whitespace() && !matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}');
        let text: String = text.trim().replace("\r\n", "\n").replace('\r', "\n").nfc().collect();
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            return Err(Invalid::new(
                "control_characters",
                "must not hold control characters other than line breaks and tabs",
            ));
        }
        if !text.chars().any(shown) {
            return Err(Invalid::new("too_short", "must not be empty"));
        }
        let length = text.chars().count();
        if length > MOST_BODY {
            let message = format!("must have at most {MOST_BODY} characters, has {length}");
            return Err(Invalid::new("too_long", message));
        }
        Ok(Self(text))
    }
}

mainstay_core::input! {
    /// A post to add.
    pub struct NewFeedPost {
        /// Who posts: 1 to 255 characters.
        name: Name,
        /// The name that they go by: 1 to 100 characters.
        username: Username,
        /// The text: 1 to 10,000 characters. HTML in it is text like any other.
        body: Body,
    }
}

/// A post that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Names it.
    pub id: PostId,
    /// Who posted.
    pub name: String,
    /// The name that they go by.
    pub username: String,
    /// The text.
    pub body: String,
    /// When it was posted.
    pub created_at: Timestamp,
}

/// Declares a whole number in a query string.
macro_rules! whole_number {
    ($(#[doc = $doc:literal])* $name:ident up to $most:literal, else $default:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(pub(crate) u32);

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl Text for $name {
            fn schema() -> Value {
                json!({"type": "integer", "minimum": 1, "maximum": $most, "default": $default})
            }

            fn parse(text: &str) -> Result<Self, Invalid> {
                let number = text.parse().ok().filter(|number| (1..=$most).contains(number));
                let message = concat!("must be a whole number from 1 to ", $most);
                number.map(Self).ok_or_else(|| Invalid::new("out_of_range", message))
            }
        }
    };
}

whole_number! {
    /// Number of a page.
    PageNumber up to 10_000_000, else 1
}
whole_number! {
    /// Posts on a page.
    PageSize up to 100, else 20
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: Text>(text: &str) -> &'static str {
        T::parse(text).err().map_or("", |invalid| invalid.code)
    }

    #[test]
    fn lines_are_trimmed_and_hold_no_control_characters() {
        assert_eq!(<Name as Text>::parse(" \n Ada\u{A0} Lovelace \r\n").unwrap().as_str(), "Ada Lovelace");
        for (text, expected) in [
            ("", "too_short"),
            (" \n", "too_short"),
            ("a\nb", "control_characters"),
            ("a\0", "control_characters"),
        ] {
            assert_eq!(code::<Name>(text), expected, "{text:?}");
        }
        assert_eq!(code::<Username>(&"ü".repeat(100)), "");
        assert_eq!(code::<Username>(&"ü".repeat(101)), "too_long");
        assert_eq!(code::<Name>(&"語".repeat(255)), "");
        assert_eq!(code::<Name>(&"語".repeat(256)), "too_long");
    }

    #[test]
    fn a_body_keeps_its_lines_and_its_html() {
        let body = <Body as Text>::parse(" \r\n<b>one</b>\r\n\ttwo\rthree\n ").unwrap();
        assert_eq!(body.as_str(), "<b>one</b>\n\ttwo\nthree");
        for (text, expected) in [
            ("\u{200B}\n", "too_short"),
            ("a\u{1b}[31m", "control_characters"),
            ("a\u{85}b", "control_characters"),
        ] {
            assert_eq!(code::<Body>(text), expected, "{text:?}");
        }
        assert_eq!(code::<Body>(&"🦀".repeat(10_000)), "");
        assert_eq!(code::<Body>(&"🦀".repeat(10_001)), "too_long");
    }

    #[test]
    fn an_id_has_one_spelling() {
        let asked = |text: &str| text.parse::<AskedId>().unwrap().0;
        assert_eq!(asked("7"), Some(PostId::new(7)));
        for bad in ["", "0", "07", "+7", "-7", "7.0", "abc", "9223372036854775808", "７"] {
            assert_eq!(asked(bad), None, "{bad:?}");
        }
    }
}
