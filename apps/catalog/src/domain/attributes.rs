//! The further facts of a product, by name.

use mainstay_core::input::Raw;
use mainstay_core::problem::Faults;
use mainstay_core::{input, text};
use serde_json::{Map, Number, Value, json};

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

#[cfg(test)]
mod tests {
    use super::super::values::tests::{offers, read};
    use super::*;
    use mainstay_core::input::InputValue;

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
    }

    #[test]
    fn a_patch_of_attributes_merges() {
        let old = json!({"colour": "red", "size": 3}).as_object().unwrap().clone();
        let patch = read::<AttributesPatch>(json!({"colour": null, "weight": 1})).unwrap();
        assert_eq!(Value::Object(patch.over(&old).unwrap()), json!({"size": 3, "weight": 1}));
    }
}
