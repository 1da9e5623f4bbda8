//! What stands in the fields of products and categories.

use std::collections::HashSet;
use std::fmt;

use mainstay_core::input::{Field, Property, Raw, Reader, Text};
use mainstay_core::problem::Faults;
use mainstay_core::{Currency, Decimal, Invalid, Money, input, text};
use serde_json::{Map, Number, Value, json};

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

/// Further facts of a product by name: at most 50 texts, numbers or truth values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    const MOST: usize = 50;
    const LONGEST_NAME: usize = 50;
    const LONGEST_TEXT: usize = 500;

    /// Name and value of each.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// What `read_map` accepts, with `others` beside the values.
    fn schema_with(others: &[Value]) -> Value {
        let number = json!({"anyOf": [
            {"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX},
            {"type": "number", "minimum": -LARGEST_FRACTION, "maximum": LARGEST_FRACTION},
        ]});
        let mut values = vec![
            json!({"type": "string", "maxLength": Self::LONGEST_TEXT, "pattern": r"^[^\x00-\x1F\x7F-\x9F]*$"}),
            number,
            json!({"type": "boolean"}),
        ];
        values.extend_from_slice(others);
        json!({
            "type": "object", "maxProperties": Self::MOST, "additionalProperties": {"oneOf": values},
            "propertyNames": {"type": "string", "minLength": 1, "maxLength": Self::LONGEST_NAME, "pattern": NAME_PATTERN},
        })
    }

    fn read_map(raw: Raw<'_>, at: &str, faults: &mut Faults, null: bool) -> Option<Map<String, Value>> {
        let parsed;
        let value = match raw {
            Raw::Json(value) => value,
            Raw::Text(text) => match serde_json::from_str::<Value>(text) {
                Ok(value) => {
                    parsed = value;
                    &parsed
                }
                Err(error) => {
                    faults.add(at, "malformed", format!("is not JSON: {error}"));
                    return None;
                }
            },
        };
        let Value::Object(object) = value else {
            faults.add(at, "wrong_type", "must be an object of texts, numbers, true and false");
            return None;
        };
        if object.len() > Self::MOST {
            faults.add(at, "too_many", format!("must be at most {}", Self::MOST));
            return None;
        }
        let mut good = true;
        for (name, value) in object {
            let place = || format!("{at}.{}", name.chars().take(Self::LONGEST_NAME).collect::<String>());
            let mut fault = |code, message: String| {
                faults.add(place(), code, message);
                good = false;
            };
            match input::line(name, 1..=Self::LONGEST_NAME) {
                Ok(line) if line == *name => {}
                Ok(_) => {
                    let message = "name must be words with one space between, in composed letters (NFC)";
                    fault("invalid_name", message.to_owned());
                }
                Err(invalid) => fault(invalid.code, format!("name {}", invalid.message)),
            }
            match value {
                Value::Bool(_) => {}
                Value::Number(number) if is_kept_whole(number) => {}
                Value::Number(_) => fault("out_of_range", "must be a number of at most 64 bits".to_owned()),
                Value::String(text) if text.chars().count() > Self::LONGEST_TEXT => {
                    fault("too_long", format!("must have at most {} characters", Self::LONGEST_TEXT));
                }
                Value::String(text) if text::has_control(text) => {
                    fault("control_characters", "must not hold control characters".to_owned());
                }
                Value::String(_) => {}
                Value::Null if null => {}
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    fault("wrong_type", "must be a text, a number, true or false".to_owned());
                }
            }
        }
        good.then(|| object.clone())
    }
}

fn is_kept_whole(number: &Number) -> bool {
    number.is_i64() || number.as_f64().is_some_and(|number| number.is_finite() && !number_is_huge(number))
}

/// Beyond, a number that is written without a point reads back as another kind.
const LARGEST_FRACTION: i64 = 1_000_000_000_000_000;

fn number_is_huge(number: f64) -> bool {
    number.abs() > LARGEST_FRACTION as f64
}

/// A line that cleaning leaves as it is: words with one space between.
const NAME_PATTERN: &str =
    r"^[^\s\x00-\x1F\x7F-\x9F\u200B\u2060\uFEFF]+( [^\s\x00-\x1F\x7F-\x9F\u200B\u2060\uFEFF]+)*$";

impl input::InputValue for Attributes {
    fn schema() -> Value {
        Self::schema_with(&[])
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        Self::read_map(raw, at, faults, false).map(Self)
    }
}

/// A change of attributes (RFC 7396): those named are set, or go where they are `null`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributesPatch(Map<String, Value>);

impl AttributesPatch {
    /// The attributes after the change.
    ///
    /// # Errors
    /// If there would be too many.
    pub fn over(self, old: &Map<String, Value>) -> Result<Map<String, Value>, Faults> {
        let mut new = old.clone();
        for (name, value) in self.0 {
            if value.is_null() {
                // Not swap_remove: the order is what people see.
                new.shift_remove(&name);
            } else {
                new.insert(name, value);
            }
        }
        if new.len() > Attributes::MOST {
            return Err(Faults::one(
                "attributes",
                "too_many",
                format!("must be at most {}", Attributes::MOST),
            ));
        }
        Ok(new)
    }
}

impl input::InputValue for AttributesPatch {
    fn schema() -> Value {
        Attributes::schema_with(&[json!({"type": "null"})])
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        Attributes::read_map(raw, at, faults, true).map(Self)
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
mod tests {
    use super::*;
    use mainstay_core::input::InputValue;

    fn read<T: InputValue>(value: Value) -> Result<T, Vec<(String, String)>> {
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
        let mut faults = Faults::default();
        let cell = Tags::read(Raw::Text("oak| desk ,large|Oak"), "tags", &mut faults).unwrap();
        assert_eq!(cell.into_strings(), ["oak", "desk ,large"]);
    }

    #[test]
    fn attributes_are_flat_and_bounded() {
        let good = json!({"colour": "red", "width_cm": 12.5, "count": 3, "new": true});
        assert_eq!(Value::Object(read::<Attributes>(good.clone()).unwrap().into_map()), good);
        let faults = read::<Attributes>(json!({"a": null, "b": [], "c": {}, "": 1, " d": 1, "e": "x\ny"}));
        assert_eq!(
            faults.unwrap_err().into_iter().map(|(_, code)| code).collect::<Vec<_>>(),
            ["wrong_type", "wrong_type", "wrong_type", "too_short", "invalid_name", "control_characters"]
        );
        assert!(read::<Attributes>(json!({"a": "x".repeat(501)})).is_err());
        let many: Map<_, _> = (0..51).map(|n| (n.to_string(), json!(n))).collect();
        assert!(read::<Attributes>(Value::Object(many)).is_err());
    }

    /// Whether a number lies in one of the ranges that a schema offers.
    fn offers(ranges: &Value, number: &Value) -> bool {
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
    fn the_document_offers_the_attributes_that_there_are() {
        for schema in [Attributes::schema(), AttributesPatch::schema()] {
            let schema = serde_json::to_value(input::schema(schema)).unwrap();
            let [texts, numbers] = [0, 1].map(|kind| &schema["additionalProperties"]["oneOf"][kind]);
            for (number, good) in [
                (json!(i64::MIN), true),
                (json!(i64::MAX), true),
                (json!(2e19), false),
                (json!(-2e19), false),
                (json!(0.5), true),
            ] {
                assert_eq!(read::<Attributes>(json!({"a": number})).is_ok(), good, "{number}");
                assert_eq!(offers(&numbers["anyOf"], &number), good, "{number}");
            }
            assert_eq!(texts["pattern"], r"^[^\x00-\x1F\x7F-\x9F]*$");
            assert_eq!(schema["propertyNames"]["maxLength"], Attributes::LONGEST_NAME);
            assert_eq!(schema["propertyNames"]["pattern"], NAME_PATTERN);
        }
        for bad in ["", " ", "a ", "a  b", "a\u{a0}b", "a\nb", "e\u{301}"] {
            assert!(read::<Attributes>(json!({bad: 1})).is_err(), "{bad:?}");
        }
        assert!(read::<Attributes>(json!({"seat height": 1})).is_ok());
        assert_eq!(read::<Tags>(json!([" \u{200b}"])).unwrap_err()[0].1, "too_short");
        assert_eq!(<Tag as Text>::schema()["pattern"], TAG_PATTERN);
    }

    #[test]
    fn a_patch_of_attributes_merges() {
        let old = json!({"colour": "red", "size": 3}).as_object().unwrap().clone();
        let patch = read::<AttributesPatch>(json!({"colour": null, "weight": 1})).unwrap();
        assert_eq!(Value::Object(patch.over(&old).unwrap()), json!({"size": 3, "weight": 1}));
    }

    #[test]
    fn a_description_keeps_its_lines() {
        assert_eq!(Description::parse(" a\r\n\tb\rc ").unwrap().into_string(), "a\n\tb\nc");
        assert_eq!(Description::parse("").unwrap().into_string(), "");
        assert!(Description::parse("\0").is_err());
        assert!(Description::parse(&"x".repeat(5_001)).is_err());
    }
}
