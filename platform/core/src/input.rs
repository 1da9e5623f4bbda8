//! Reading what a client sent: one declaration gives the type, the parsing of
//! it and its schema, so that none of the three can drift from the others.
//!
//! serde stops at the first wrong type; a client wants to hear of every fault at
//! once, wrong types and unknown fields included. So [`input!`](crate::input!) walks the
//! value field by field and collects.
//!
//! ```
//! mainstay_core::text_type! {
//!     /// A title: 1 to 150 characters.
//!     pub struct Title(1..=150);
//! }
//! mainstay_core::input! {
//!     /// A book to add.
//!     pub struct NewBook {
//!         /// The title.
//!         title: Title,
//!         /// Number of pages. Unknown if absent.
//!         pages: Option<i64>,
//!     }
//! }
//! use mainstay_core::input::{self, Input};
//!
//! let faults = input::from_json::<NewBook>(&serde_json::json!({"title": 7, "colour": "red"})).unwrap_err();
//! let codes: Vec<_> = faults.as_slice().iter().map(|f| (f.field.as_str(), &*f.code)).collect();
//! assert_eq!(codes, [("title", "wrong_type"), ("colour", "unknown_field")]);
//! ```

use std::borrow::Cow;

use chrono::NaiveDate;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::problem::Faults;
use crate::{Timestamp, text};

/// Why one value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Stable code in snake_case.
    pub code: &'static str,
    /// What is wrong, for a person.
    pub message: Cow<'static, str>,
}

impl Invalid {
    /// A refusal.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A value as it came: from a JSON body or as text from a query string.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// From a JSON body.
    Json(&'a Value),
    /// From a query string or a form, where everything is text.
    Text(&'a str),
}

impl Raw<'_> {
    fn wrong_type(self, wanted: &str) -> Invalid {
        let found = match self {
            Raw::Json(Value::Null) => "null",
            Raw::Json(Value::Bool(_)) => "a boolean",
            Raw::Json(Value::Number(_)) => "a number",
            Raw::Json(Value::String(_)) => "a string",
            Raw::Json(Value::Array(_)) => "an array",
            Raw::Json(Value::Object(_)) => "an object",
            Raw::Text(_) => "something else",
        };
        Invalid::new("wrong_type", format!("must be {wanted}, not {found}"))
    }
}

/// A type whose values are written as text. [`text_type!`](crate::text_type!) makes the plain ones.
pub trait Text: Sized {
    /// Its JSON Schema.
    fn schema() -> Value;

    /// Reads it.
    ///
    /// # Errors
    /// Why the text is refused.
    fn parse(text: &str) -> Result<Self, Invalid>;
}

/// A type that can stand in a field.
pub trait InputValue: Sized {
    /// Its JSON Schema.
    fn schema() -> Value;

    /// Reads it; faults go to `faults` under the path `at`. `None` if there was one.
    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self>;
}

impl<T: Text> InputValue for T {
    fn schema() -> Value {
        <T as Text>::schema()
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let read = match raw {
            Raw::Json(Value::String(text)) => T::parse(text),
            Raw::Text(text) => T::parse(text),
            Raw::Json(_) => Err(raw.wrong_type("a string")),
        };
        keep(read, at, faults)
    }
}

fn keep<T>(read: Result<T, Invalid>, at: &str, faults: &mut Faults) -> Option<T> {
    read.map_err(|invalid| faults.add(at, invalid.code, invalid.message)).ok()
}

impl InputValue for i64 {
    fn schema() -> Value {
        json!({"type": "integer", "format": "int64"})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let number = match raw {
            // JSON Schema holds 1.0 for an integer; so does this.
            Raw::Json(Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Raw::Json(_) => return keep(Err(raw.wrong_type("an integer")), at, faults),
            Raw::Text(text) => text.parse().ok(),
        };
        keep(
            number.ok_or_else(|| Invalid::new("wrong_type", "must be an integer of at most 64 bits")),
            at,
            faults,
        )
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked: 2^53 and below are exact")]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl InputValue for bool {
    fn schema() -> Value {
        json!({"type": "boolean"})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        match raw {
            Raw::Json(Value::Bool(value)) => Some(*value),
            Raw::Text("true") => Some(true),
            Raw::Text("false") => Some(false),
            Raw::Json(_) => keep(Err(raw.wrong_type("true or false")), at, faults),
            Raw::Text(_) => keep(Err(Invalid::new("wrong_type", "must be true or false")), at, faults),
        }
    }
}

impl Text for NaiveDate {
    fn schema() -> Value {
        json!({"type": "string", "format": "date"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        // chrono reads "2024-1-1" and "+12024-01-01" too; the contract says YYYY-MM-DD.
        let shaped = text.len() == 10
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        shaped
            .then(|| text.parse().ok())
            .flatten()
            .filter(|date: &Self| chrono::Datelike::year(date) >= 1)
            .ok_or_else(|| Invalid::new("invalid_date", "must be a date that exists, as YYYY-MM-DD"))
    }
}

impl Text for Timestamp {
    fn schema() -> Value {
        json!({"type": "string", "format": "date-time"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map_err(|_| Invalid::new("invalid_time", "must be a time as in RFC 3339: 2026-01-31T09:30:00Z"))
    }
}

impl Text for String {
    fn schema() -> Value {
        json!({"type": "string", "pattern": r"^[^\x00]*$"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.contains('\0') {
            return Err(Invalid::new("control_characters", "must not hold a NUL character"));
        }
        Ok(text.to_owned())
    }
}

impl<T: InputValue> InputValue for Vec<T> {
    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let Raw::Json(Value::Array(items)) = raw else {
            return keep(Err(raw.wrong_type("an array")), at, faults);
        };
        // Read all before judging: every item's faults are reported.
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(i, item)| T::read(Raw::Json(item), &format!("{at}[{i}]"), faults))
            .collect();
        read.into_iter().collect()
    }
}

/// What a PATCH says about one field: RFC 7396 tells "absent" from "null".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Absent: leave it as it is.
    #[default]
    Keep,
    /// Present: make it this.
    Set(T),
}

impl<T> Patch<T> {
    /// What the field becomes, given what it is.
    pub fn over(self, old: T) -> T {
        match self {
            Self::Keep => old,
            Self::Set(new) => new,
        }
    }

    /// The same about another type: `title.map(Title::into_string)`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Set(new) => Patch::Set(change(new)),
        }
    }

    /// Whether the field is mentioned.
    pub const fn is_set(&self) -> bool {
        matches!(self, Self::Set(_))
    }
}

/// One property of an input, as the API reference shows it.
#[derive(Clone, Debug)]
pub struct Property {
    /// Its name on the wire.
    pub name: &'static str,
    /// JSON Schema.
    pub schema: Value,
    /// Whether it must be there.
    pub required: bool,
    /// What it means.
    pub doc: Cow<'static, str>,
}

/// A field of an input: a value, an [`Option`] of one, a [`Patch`] of one, or
/// a group of fields such as [`Paging`](crate::Paging).
pub trait Field: Sized {
    /// Adds its properties.
    fn describe(name: &'static str, doc: &str, out: &mut Vec<Property>);

    /// Takes it out of the input.
    fn take(name: &'static str, reader: &mut Reader<'_>) -> Option<Self>;
}

fn property<T: InputValue>(name: &'static str, doc: &str, required: bool) -> Property {
    Property { name, schema: T::schema(), required, doc: Cow::Owned(doc.trim().to_owned()) }
}

impl<T: InputValue> Field for T {
    fn describe(name: &'static str, doc: &str, out: &mut Vec<Property>) {
        out.push(property::<T>(name, doc, true));
    }

    fn take(name: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.find(name) {
            Found::Absent => reader.fault(name, Invalid::new("required", "is required")),
            Found::Null => reader.fault(name, Invalid::new("required", "must not be null")),
            Found::Value(raw) => reader.read(name, raw),
        }
    }
}

impl<T: InputValue> Field for Option<T> {
    fn describe(name: &'static str, doc: &str, out: &mut Vec<Property>) {
        let mut property = property::<T>(name, doc, false);
        nullable(&mut property.schema);
        out.push(property);
    }

    fn take(name: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.find(name) {
            Found::Absent | Found::Null => Some(None),
            Found::Value(raw) => reader.read(name, raw).map(Some),
        }
    }
}

impl<T: InputValue> Field for Patch<T> {
    fn describe(name: &'static str, doc: &str, out: &mut Vec<Property>) {
        out.push(property::<T>(name, doc, false));
    }

    fn take(name: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.find(name) {
            Found::Absent => Some(Self::Keep),
            Found::Null => reader.fault(name, Invalid::new("required", "cannot be cleared")),
            Found::Value(raw) => reader.read(name, raw).map(Self::Set),
        }
    }
}

impl<T: InputValue> Field for Patch<Option<T>> {
    fn describe(name: &'static str, doc: &str, out: &mut Vec<Property>) {
        Option::<T>::describe(name, doc, out);
    }

    fn take(name: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.find(name) {
            Found::Absent => Some(Self::Keep),
            Found::Null => Some(Self::Set(None)),
            Found::Value(raw) => reader.read(name, raw).map(|value| Self::Set(Some(value))),
        }
    }
}

/// A parameter that may be repeated: `tags=oak&tags=desk`. In JSON an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// More values than these are nobody's filter.
const MOST_REPEATED: usize = 20;

impl<T: InputValue> Field for Many<T> {
    fn describe(name: &'static str, doc: &str, out: &mut Vec<Property>) {
        let schema = json!({"type": "array", "items": T::schema(), "maxItems": MOST_REPEATED});
        out.push(Property { name, schema, required: false, doc: Cow::Owned(doc.trim().to_owned()) });
    }

    fn take(name: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        let Source::Pairs(pairs) = reader.source else {
            return <Option<Vec<T>> as Field>::take(name, reader)
                .map(|given| Self(given.unwrap_or_default()));
        };
        reader.known.push(name);
        let values: Vec<_> = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect();
        if values.len() > MOST_REPEATED {
            let message = format!("must be given at most {MOST_REPEATED} times");
            return reader.fault(name, Invalid::new("too_many", message));
        }
        let read: Vec<_> = values.into_iter().map(|value| reader.read(name, Raw::Text(value))).collect();
        read.into_iter().collect::<Option<_>>().map(Self)
    }
}

/// JSON Schema 2020-12: `null` is one more type.
fn nullable(schema: &mut Value) {
    if let Some(kind) = schema.get("type").and_then(Value::as_str).map(str::to_owned) {
        schema["type"] = json!([kind, "null"]);
    } else {
        *schema = json!({"oneOf": [schema.clone(), {"type": "null"}]});
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
}

/// What [`nullable`] made of a schema, undone.
fn not_nullable(schema: &mut Value) {
    if let Some(kind) = schema.pointer("/type/0").cloned() {
        schema["type"] = kind;
    } else if let Some(other) = schema.pointer("/oneOf/0").cloned() {
        *schema = other;
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Object(&'a Map<String, Value>),
    Pairs(&'a [(String, String)]),
}

enum Found<'a> {
    Absent,
    Null,
    Value(Raw<'a>),
}

/// Walks an input and collects its faults.
pub struct Reader<'a> {
    source: Source<'a>,
    at: &'a str,
    known: Vec<&'static str>,
    faults: &'a mut Faults,
}

impl<'a> Reader<'a> {
    fn find(&mut self, name: &'static str) -> Found<'a> {
        self.known.push(name);
        match &self.source {
            Source::Object(object) => match object.get(name) {
                None => Found::Absent,
                Some(Value::Null) => Found::Null,
                Some(value) => Found::Value(Raw::Json(value)),
            },
            Source::Pairs(pairs) => {
                let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
                let first = values.next();
                if values.next().is_some() {
                    let path = self.path(name);
                    self.faults.add(path, "repeated", "must be given once");
                }
                first.map_or(Found::Absent, |text| Found::Value(Raw::Text(text)))
            }
        }
    }

    /// The text of a parameter, for groups of fields that read several. `None` if it is absent.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        match self.find(name) {
            Found::Value(Raw::Text(text)) => Some(text),
            Found::Value(Raw::Json(value)) => value.as_str(),
            Found::Absent | Found::Null => None,
        }
    }

    /// Records a fault of a field; always `None`, so that it can end a `take`.
    pub fn fault<T>(&mut self, name: &str, invalid: Invalid) -> Option<T> {
        let path = self.path(name);
        self.faults.add(path, invalid.code, invalid.message);
        None
    }

    fn read<T: InputValue>(&mut self, name: &str, raw: Raw<'_>) -> Option<T> {
        let path = self.path(name);
        T::read(raw, &path, self.faults)
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    fn finish(self) {
        let given: Vec<&str> = match &self.source {
            Source::Object(object) => object.keys().map(String::as_str).collect(),
            Source::Pairs(pairs) => pairs.iter().map(|(key, _)| key.as_str()).collect(),
        };
        for name in given {
            if self.known.contains(&name) {
                continue;
            }
            if self.faults.is_full() {
                break;
            }
            // Distances to a name of a megabyte would cost seconds; nobody misspells that far.
            let candidates: &[&str] = if name.len() <= 64 { &self.known } else { &[] };
            let nearest = candidates
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, name), known))
                .filter(|(distance, _)| *distance <= 2)
                .min();
            let message = nearest.map_or_else(
                || "is not known here".to_owned(),
                |(_, known)| format!("is not known here; did you mean {known}?"),
            );
            // A name from outside is cut: it may be as long as the body.
            let shown: String = name.chars().take(100).collect();
            let path = self.path(&shown);
            self.faults.add(path, "unknown_field", message);
        }
    }
}

/// A set of fields that a client sends: a JSON body or a query string.
/// Declared by [`input!`](crate::input!).
pub trait Input: Sized {
    /// Every property, in order.
    fn properties() -> Vec<Property>;

    /// Takes every field; `None` if one of them has a fault.
    fn take(reader: &mut Reader<'_>) -> Option<Self>;
}

fn run<T: Input>(source: Source<'_>, at: &str, faults: &mut Faults) -> Option<T> {
    let before = faults.as_slice().len();
    let mut reader = Reader { source, at, known: Vec::new(), faults };
    let taken = T::take(&mut reader);
    reader.finish();
    taken.filter(|_| faults.as_slice().len() == before)
}

/// Reads an input out of a JSON value.
///
/// # Errors
/// Every fault of it.
pub fn from_json<T: Input>(value: &Value) -> Result<T, Faults> {
    let mut faults = Faults::default();
    read_object(Raw::Json(value), "", &mut faults).ok_or(faults)
}

/// Reads an input out of the pairs of a query string or form.
///
/// # Errors
/// Every fault of it.
pub fn from_pairs<T: Input>(pairs: &[(String, String)]) -> Result<T, Faults> {
    let mut faults = Faults::default();
    run(Source::Pairs(pairs), "", &mut faults).ok_or(faults)
}

#[doc(hidden)]
pub fn read_object<T: Input>(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<T> {
    match raw {
        Raw::Json(Value::Object(object)) => run(Source::Object(object), at, faults),
        Raw::Json(_) | Raw::Text(_) => keep(Err(raw.wrong_type("an object")), at, faults),
    }
}

#[doc(hidden)]
#[must_use]
pub fn object_schema(doc: &str, properties: Vec<Property>) -> Value {
    let required: Vec<_> =
        properties.iter().filter(|property| property.required).map(|property| property.name).collect();
    let mut members = Map::new();
    for Property { name, mut schema, required: _, doc } in properties {
        if !doc.is_empty() && schema.get("description").is_none() {
            schema["description"] = doc.into();
        }
        members.insert(name.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object", "description": doc.trim(), "properties": members, "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Turns JSON Schema into the OpenAPI library's own type.
///
/// # Panics
/// If it is not a schema, or one with a keyword that the library does not have, which would be missing
/// from the document in silence; every schema is a literal in the code and read in tests.
#[must_use]
pub fn schema(json: Value) -> RefOr<Schema> {
    let written = json.clone();
    let read: RefOr<Schema> = serde_json::from_value(json).expect("schemas written in the code are valid");
    let kept = serde_json::to_value(&read).expect("schemas serialize");
    assert!(kept == written, "of the schema {written} the document would only have {kept}");
    read
}

#[doc(hidden)]
#[must_use]
pub fn parameters(
    properties: Vec<Property>,
    place: &utoipa::openapi::path::ParameterIn,
) -> Vec<utoipa::openapi::path::Parameter> {
    use utoipa::openapi::Required;
    use utoipa::openapi::path::ParameterBuilder;
    let parameter = |mut property: Property| {
        // In a query string there is no null: absent is enough.
        not_nullable(&mut property.schema);
        ParameterBuilder::new()
            .name(property.name)
            .parameter_in(place.clone())
            .required(if property.required { Required::True } else { Required::False })
            .description((!property.doc.is_empty()).then_some(property.doc))
            .schema(Some(schema(property.schema)))
            .build()
    };
    properties.into_iter().map(parameter).collect()
}

/// Declares an [`Input`]: a struct, how it is read and how it is documented.
/// See the [module's example](self).
#[macro_export]
macro_rules! input {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $field_doc:literal])* $field:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        impl $crate::input::Input for $name {
            fn properties() -> Vec<$crate::input::Property> {
                let mut out = Vec::new();
                $(<$type as $crate::input::Field>::describe(
                    stringify!($field), concat!("" $(, $field_doc, "\n")*), &mut out,
                );)*
                out
            }

            fn take(reader: &mut $crate::input::Reader<'_>) -> Option<Self> {
                // Each field is taken before any is judged: all faults are reported.
                $(let $field = <$type as $crate::input::Field>::take(stringify!($field), reader);)*
                Some(Self { $($field: $field?,)* })
            }
        }

        impl $crate::input::InputValue for $name {
            fn schema() -> $crate::macro_support::serde_json::Value {
                $crate::input::object_schema(
                    concat!("" $(, $doc, "\n")*),
                    <Self as $crate::input::Input>::properties(),
                )
            }

            fn read(
                raw: $crate::input::Raw<'_>,
                at: &str,
                faults: &mut $crate::problem::Faults,
            ) -> Option<Self> {
                $crate::input::read_object(raw, at, faults)
            }
        }

        impl $crate::macro_support::utoipa::PartialSchema for $name {
            fn schema() -> $crate::macro_support::utoipa::openapi::RefOr<
                $crate::macro_support::utoipa::openapi::schema::Schema,
            > {
                $crate::input::schema(<Self as $crate::input::InputValue>::schema())
            }
        }

        impl $crate::macro_support::utoipa::ToSchema for $name {}

        impl $crate::macro_support::utoipa::IntoParams for $name {
            fn into_params(
                place: impl Fn() -> Option<$crate::macro_support::utoipa::openapi::path::ParameterIn>,
            ) -> Vec<$crate::macro_support::utoipa::openapi::path::Parameter> {
                use $crate::macro_support::utoipa::openapi::path::ParameterIn;
                $crate::input::parameters(
                    <Self as $crate::input::Input>::properties(),
                    &place().unwrap_or(ParameterIn::Query),
                )
            }
        }
    };
}

/// Reads one line of text: inner white space folded, NFC, no control
/// characters, a length in characters within `bounds`.
///
/// # Errors
/// `control_characters`, `too_short` or `too_long`.
pub fn line(value: &str, bounds: std::ops::RangeInclusive<usize>) -> Result<String, Invalid> {
    if text::has_control(value) {
        return Err(Invalid::new("control_characters", "must not hold control characters"));
    }
    let line = text::clean_line(value);
    let length = line.chars().count();
    let (least, most) = bounds.into_inner();
    if length < least {
        let message = if length == 0 {
            "must not be empty".to_owned()
        } else {
            format!("must have at least {least} characters, has {length}")
        };
        return Err(Invalid::new("too_short", message));
    }
    if length > most {
        return Err(Invalid::new("too_long", format!("must have at most {most} characters, has {length}")));
    }
    Ok(line)
}

/// What [`line`] asks of a text's characters, as a pattern of JSON Schema: no
/// control character, and something that is neither white space nor invisible.
/// Lengths are counted after white space was folded, which no schema can say.
#[doc(hidden)]
pub const LINE_PATTERN: &str =
    r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F\u200B\u2060\uFEFF][^\x00-\x1F\x7F-\x9F]*$";

/// Declares a type for one line of text with bounds on its length in characters.
#[macro_export]
macro_rules! text_type {
    ($(#[doc = $doc:literal])* $vis:vis struct $name:ident($least:literal..=$most:literal);) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(String);

        impl $name {
            /// Reads it: white space at the ends goes, runs inside become one space.
            ///
            /// # Errors
            /// If it holds control characters or its length is out of bounds.
            pub fn parse(text: &str) -> Result<Self, $crate::Invalid> {
                $crate::input::line(text, $least..=$most).map(Self)
            }

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

        impl $crate::input::Text for $name {
            fn schema() -> $crate::macro_support::serde_json::Value {
                $crate::macro_support::serde_json::json!({
                    "type": "string", "minLength": $least, "maxLength": $most,
                    "pattern": $crate::input::LINE_PATTERN,
                })
            }

            fn parse(text: &str) -> Result<Self, $crate::Invalid> {
                Self::parse(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::text_type! {
        /// A short name.
        pub struct Name(1..=5);
    }
    crate::input! {
        /// An inner thing.
        pub struct Inner {
            /// Its name.
            name: Name,
        }
    }
    crate::input! {
        /// Everything at once.
        pub struct Outer {
            /// A name.
            name: Name,
            /// A count.
            count: Option<i64>,
            /// A day.
            day: Patch<Option<NaiveDate>>,
            /// A flag that can't be cleared.
            flag: Patch<bool>,
            /// Inner things.
            inner: Option<Vec<Inner>>,
        }
    }

    fn faults(value: &Value) -> Vec<(String, String)> {
        let faults = from_json::<Outer>(value).unwrap_err();
        faults.as_slice().iter().map(|fault| (fault.field.clone(), fault.code.to_string())).collect()
    }

    fn pair(field: &str, code: &str) -> (String, String) {
        (field.to_owned(), code.to_owned())
    }

    #[test]
    fn every_fault_is_reported_at_once_with_its_path() {
        let found = faults(&json!({
            "count": "7", "day": "2024-02-30", "flag": null, "inner": [{"name": "ok"}, {"name": "toolong", "x": 1}], "counts": 1,
        }));
        assert_eq!(
            found,
            [
                pair("name", "required"),
                pair("count", "wrong_type"),
                pair("day", "invalid_date"),
                pair("flag", "required"),
                pair("inner[1].name", "too_long"),
                pair("inner[1].x", "unknown_field"),
                pair("counts", "unknown_field"),
            ]
        );
    }

    #[test]
    fn an_unknown_field_on_an_otherwise_right_body_is_a_fault() {
        assert_eq!(faults(&json!({"name": "a", "naem": "b"})), [pair("naem", "unknown_field")]);
    }

    #[test]
    fn a_patch_tells_absent_from_null_from_a_value() {
        let read = |value| from_json::<Outer>(&value).unwrap().day;
        assert_eq!(read(json!({"name": "a"})), Patch::Keep);
        assert_eq!(read(json!({"name": "a", "day": null})), Patch::Set(None));
        let day = NaiveDate::from_ymd_opt(2024, 2, 29);
        assert_eq!(read(json!({"name": "a", "day": "2024-02-29"})), Patch::Set(day));
    }

    #[test]
    fn a_query_string_gives_the_same_types() {
        let pairs = [("name", " a  b "), ("count", "-3"), ("flag", "true")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let outer = from_pairs::<Outer>(&pairs).unwrap();
        assert_eq!((outer.name.as_str(), outer.count, outer.flag), ("a b", Some(-3), Patch::Set(true)));

        let twice = [("name", "a"), ("name", "b")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(from_pairs::<Outer>(&twice).unwrap_err().as_slice()[0].code, "repeated");
    }

    crate::input! {
        /// A filter.
        pub struct Filter {
            /// Names, all of which must match.
            names: Many<Name>,
        }
    }

    #[test]
    fn a_parameter_that_may_be_repeated_gives_every_value_or_every_fault() {
        let read = |values: &[&str]| {
            let pairs: Vec<_> =
                values.iter().map(|value| ("names".to_owned(), (*value).to_owned())).collect();
            from_pairs::<Filter>(&pairs)
        };
        let names =
            |values| read(values).unwrap().names.0.into_iter().map(Name::into_string).collect::<Vec<_>>();
        assert_eq!(names(&[]), [""; 0]);
        assert_eq!(names(&["b", "a"]), ["b", "a"]);
        assert_eq!(read(&["", "toolong"]).unwrap_err().as_slice().len(), 2);
        assert_eq!(read(&["a"; 21]).unwrap_err().as_slice()[0].code, "too_many");
        assert_eq!(from_json::<Filter>(&json!({"names": ["a", "b"]})).unwrap().names.0.len(), 2);
    }

    #[test]
    fn what_is_right_is_read_down_to_the_inner_things() {
        let body = json!({"name": " a ", "inner": [{"name": "b"}, {"name": "c"}]});
        let Outer { name, inner, .. } = from_json(&body).unwrap();
        let inner: Vec<_> = inner.unwrap().into_iter().map(|inner| inner.name.into_string()).collect();
        assert_eq!((name.as_str(), inner), ("a", vec!["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn a_body_that_is_no_object_says_so() {
        assert_eq!(faults(&json!([1])), [pair("", "wrong_type")]);
    }

    #[test]
    fn dates_are_strict() {
        for bad in [
            "2024-1-01",
            "2023-02-29",
            "0000-01-01",
            "+2024-01-01",
            "2024-01-01T00:00:00Z",
            "２０２４-01-01",
            "",
        ] {
            assert!(<NaiveDate as Text>::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_query_parameter_is_absent_but_never_null() {
        let mut plain = json!({"type": "string", "enum": ["csv", "ndjson"]});
        let mut choice = json!({"$ref": "#/components/schemas/Kind"});
        for schema in [&mut plain, &mut choice] {
            let before = schema.clone();
            nullable(schema);
            assert_ne!(*schema, before);
            not_nullable(schema);
            assert_eq!(*schema, before);
        }
    }

    #[test]
    fn the_schema_says_what_the_reader_does() {
        let schema = <Outer as InputValue>::schema();
        assert_eq!(schema["required"], json!(["name"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["day"]["type"], json!(["string", "null"]));
        assert_eq!(schema["properties"]["flag"]["type"], json!("boolean"));
        assert_eq!(schema["properties"]["name"]["maxLength"], json!(5));
        let _readable: RefOr<Schema> = super::schema(schema);
    }

    #[test]
    #[should_panic(expected = r#"the document would only have {"type":"integer"}"#)]
    fn a_schema_says_nothing_that_the_document_would_not_have() {
        let _ = schema(json!({"type": "integer", "not": {"const": 0}}));
    }
}
