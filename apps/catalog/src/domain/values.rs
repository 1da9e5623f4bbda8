//! What stands in the fields of products and categories.

use std::collections::HashSet;
use std::fmt;

use mainstay_core::input::{Field, Property, Raw, Reader, Text};
use mainstay_core::problem::Faults;
use mainstay_core::{Currency, Decimal, Invalid, Money, input, text};
use serde_json::{Value, json};

mainstay_core::text_type! {
    /// The shop's own number of a product: one line of 1 to 64 characters.
    pub struct Sku(1..=64);
}

mainstay_core::text_type! {
    /// What a product is called: one line of 1 to 200 characters.
    pub struct Name(1..=200);
}

mainstay_core::text_type! {
    /// What a category is called: one line of 1 to 100 characters.
    pub struct CategoryName(1..=100);
}

/// What is said of a product: up to 5,000 characters, several lines if need be. May be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    const MOST: usize = 5_000;

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Text for Description {
    fn schema() -> Value {
        json!({
            "type": "string", "maxLength": Self::MOST,
            "pattern": r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$",
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(Invalid::new(
                "control_characters",
                "must not hold control characters other than tabs and line ends",
            ));
        }
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim();
        let length = text.chars().count();
        if length > Self::MOST {
            let message = format!("must have at most {} characters, has {length}", Self::MOST);
            return Err(Invalid::new("too_long", message));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Names a category in addresses: `garden-chairs`. Lower-case letters and digits of
/// ASCII, in groups with a hyphen between, 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text for Slug {
    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let groups = |group: &str| {
            !group.is_empty() && group.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if text.len() > 64 {
            return Err(Invalid::new("too_long", "must have at most 64 characters"));
        }
        if !text.split('-').all(groups) {
            return Err(Invalid::new(
                "invalid_slug",
                "must be groups of lower-case letters a to z and digits with a hyphen between, as garden-chairs",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A slug in a path. What can't be one names nothing.
impl std::str::FromStr for Slug {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::parse(text).map_err(|_| ())
    }
}

/// How many there are: 0 to a billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock(i64);

impl Stock {
    /// The largest.
    pub const MOST: i64 = 1_000_000_000;

    /// How many.
    #[must_use]
    pub const fn count(self) -> i64 {
        self.0
    }
}

impl input::InputValue for Stock {
    fn schema() -> Value {
        json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": Self::MOST})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let count = <i64 as input::InputValue>::read(raw, at, faults)?;
        if !(0..=Self::MOST).contains(&count) {
            faults.add(at, "out_of_range", format!("must be from 0 to {}", Self::MOST));
            return None;
        }
        Some(Self(count))
    }
}

/// By how much the stock changes: not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta(i64);

impl Delta {
    /// How many come (positive) or go (negative).
    #[must_use]
    pub const fn count(self) -> i64 {
        self.0
    }
}

impl input::InputValue for Delta {
    fn schema() -> Value {
        let range =
            |least, most| json!({"type": "integer", "format": "int64", "minimum": least, "maximum": most});
        json!({"oneOf": [range(1, Stock::MOST), range(-Stock::MOST, -1)]})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let count = <i64 as input::InputValue>::read(raw, at, faults)?;
        if count == 0 || !(-Stock::MOST..=Stock::MOST).contains(&count) {
            faults.add(at, "out_of_range", format!("must be from -{0} to {0}, and not 0", Stock::MOST));
            return None;
        }
        Some(Self(count))
    }
}

/// A word or two that products share: one line of 1 to 50 characters without `|`,
/// which separates tags in files. Case and accents do not tell tags apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is compared by.
    #[must_use]
    pub fn norm(&self) -> String {
        norm_of_tag(&self.0)
    }
}

/// What a tag is compared by.
pub(crate) fn norm_of_tag(tag: &str) -> String {
    text::fold(tag)
}

/// [`LINE_PATTERN`](input::LINE_PATTERN) without `|`.
const TAG_PATTERN: &str =
    r"^[^|\x00-\x1F\x7F-\x9F]*[^|\s\x00-\x1F\x7F-\x9F\u200B\u2060\uFEFF][^|\x00-\x1F\x7F-\x9F]*$";

impl Text for Tag {
    fn schema() -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": 50, "pattern": TAG_PATTERN})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let tag = input::line(text, 1..=50)?;
        if tag.contains('|') {
            return Err(Invalid::new("not_allowed", "must not hold | , which separates tags in files"));
        }
        Ok(Self(tag))
    }
}

/// The tags of one product: at most 20, in their order, none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    const MOST: usize = 20;

    /// As they were written.
    #[must_use]
    pub fn into_strings(self) -> Vec<String> {
        self.0.into_iter().map(|tag| tag.0).collect()
    }

    fn checked(tags: Vec<Tag>, at: &str, faults: &mut Faults) -> Option<Self> {
        if tags.len() > Self::MOST {
            faults.add(at, "too_many", format!("must be at most {}", Self::MOST));
            return None;
        }
        let mut seen = HashSet::new();
        Some(Self(tags.into_iter().filter(|tag| seen.insert(tag.norm())).collect()))
    }
}

impl input::InputValue for Tags {
    fn schema() -> Value {
        json!({"type": "array", "items": <Tag as Text>::schema(), "maxItems": Self::MOST})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let tags = match raw {
            Raw::Json(_) => <Vec<Tag> as input::InputValue>::read(raw, at, faults)?,
            // A cell of a file: oak|desk.
            Raw::Text(text) => {
                let read: Vec<_> = text
                    .split('|')
                    .map(|tag| <Tag as input::InputValue>::read(Raw::Text(tag), at, faults))
                    .collect();
                read.into_iter().collect::<Option<_>>()?
            }
        };
        Self::checked(tags, at, faults)
    }
}

/// `price` and `currency`, which only make sense together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(pub Money);

impl Field for Price {
    fn describe(_: &'static str, _: &str, out: &mut Vec<Property>) {
        <Decimal as Field>::describe(
            "price",
            "What it costs, as a decimal number with at most the decimals that the currency has.",
            out,
        );
        <Currency as Field>::describe("currency", "The currency of the price (ISO 4217).", out);
    }

    fn take(_: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        let amount = <Decimal as Field>::take("price", reader);
        let currency = <Currency as Field>::take("currency", reader);
        match amount?.of(currency?) {
            Ok(money) => Some(Self(money)),
            Err(invalid) => reader.fault("price", invalid),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mainstay_core::input::InputValue;

    pub(in crate::domain) fn read<T: InputValue>(value: Value) -> Result<T, Vec<(String, String)>> {
        let mut faults = Faults::default();
        let given = value;
        let read = T::read(Raw::Json(&given), "at", &mut faults);
        read.ok_or_else(|| {
            faults.as_slice().iter().map(|fault| (fault.field.clone(), fault.code.to_string())).collect()
        })
    }

    #[test]
    fn a_slug_is_small_letters_and_digits() {
        for good in ["a", "garden-chairs", "2024", "a-1-b"] {
            assert_eq!(Slug::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-", "a-", "-a", "a--b", "A", "é", "a b", "a/b", "a_b", &"a".repeat(65)] {
            assert!(Slug::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_that_agree_but_for_case_and_accents_are_one() {
        let tags = read::<Tags>(json!(["Oak", "oak", "café", "CAFE", "desk, large"])).unwrap();
        assert_eq!(tags.into_strings(), ["Oak", "café", "desk, large"]);
        assert_eq!(
            read::<Tags>(json!(["a|b", "", 7])).unwrap_err(),
            [("at[0]", "not_allowed"), ("at[1]", "too_short"), ("at[2]", "wrong_type")]
                .map(|(field, code)| (field.to_owned(), code.to_owned()))
        );
        assert_eq!(read::<Tags>(json!([" \u{200b}"])).unwrap_err()[0].1, "too_short");
        assert_eq!(<Tag as Text>::schema()["pattern"], TAG_PATTERN);
        let mut faults = Faults::default();
        let cell = Tags::read(Raw::Text("oak| desk ,large|Oak"), "tags", &mut faults).unwrap();
        assert_eq!(cell.into_strings(), ["oak", "desk ,large"]);
    }

    /// Whether a number lies in one of the ranges that a schema offers.
    pub(in crate::domain) fn offers(ranges: &Value, number: &Value) -> bool {
        let number = number.as_f64().unwrap();
        ranges.as_array().unwrap().iter().any(|range| {
            (range["minimum"].as_f64().unwrap()..=range["maximum"].as_f64().unwrap()).contains(&number)
        })
    }

    #[test]
    fn the_document_offers_the_changes_of_stock_that_there_are() {
        let schema = serde_json::to_value(input::schema(Delta::schema())).unwrap();
        for (number, good) in [
            (-1_000_000_001, false),
            (-1_000_000_000, true),
            (-1, true),
            (0, false),
            (1, true),
            (1_000_000_000, true),
            (1_000_000_001, false),
        ] {
            assert_eq!(read::<Delta>(json!(number)).is_ok(), good, "{number}");
            assert_eq!(offers(&schema["oneOf"], &json!(number)), good, "{number}");
        }
    }

    #[test]
    fn a_description_keeps_its_lines() {
        assert_eq!(Description::parse(" a\r\n\tb\rc ").unwrap().into_string(), "a\n\tb\nc");
        assert_eq!(Description::parse("").unwrap().into_string(), "");
        assert!(Description::parse("\0").is_err());
        assert!(Description::parse(&"x".repeat(5_001)).is_err());
    }
}
