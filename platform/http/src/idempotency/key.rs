//! The header, and what a key's first request is recognized by.

use aws_lc_rs::digest::{Context, SHA256, digest};
use http::{HeaderMap, HeaderName};
use mainstay_core::Problem;
use mainstay_core::problem::MALFORMED_HEADER;
use serde_json::{Value, json};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

pub(super) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const MOST_CHARACTERS: usize = 255;

/// A string of Structured Fields (RFC 9651 §3.3.3) or the bare key, each of visible ASCII.
pub(crate) const KEY_PATTERN: &str = r#"^("([!#-\[\]-~]|\\["\\]){1,255}"|[!#-~][!-~]{0,254})$"#;

/// A client's name for one thing it wants done: 1 to 255 characters of visible ASCII.
///
/// In a handler's `#[utoipa::path]`, `params(IdempotencyKey)` declares the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request; `None` if it has none.
    ///
    /// # Errors
    /// 400 if the header can't be read, or is there more than once.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut given = headers.get_all(&IDEMPOTENCY_KEY).iter();
        let Some(value) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(MALFORMED_HEADER.because("Idempotency-Key may be sent once."));
        }
        let key = value.to_str().ok().and_then(Self::parse).ok_or_else(|| {
            MALFORMED_HEADER.because(
                "Idempotency-Key must be 1 to 255 characters of visible ASCII, bare or in double quotes.",
            )
        })?;
        Ok(Some(key))
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let key = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => text.to_owned(),
        };
        let fits =
            (1..=MOST_CHARACTERS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(key))
    }

    /// The key, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// The text up to the closing quote, which must end it; `\"` and `\\` are the only escapes.
fn unquote(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.as_str().is_empty().then_some(text),
            '\\' => text.push(rest.next().filter(|character| matches!(character, '"' | '\\'))?),
            character => text.push(character),
        }
    }
}

impl utoipa::IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(
                "A key of your own. Send the same key when you try the same request again: it takes effect once, \
                 and for 24 hours you get the first answer.",
            ))
            .schema(Some(mainstay_core::input::schema(json!({"type": "string"}))));
        vec![parameter.build()]
    }
}

pub(crate) fn is_key_parameter(parameter: &Value) -> bool {
    parameter["in"] == "header"
        && parameter["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY.as_str()))
}

/// SHA-256 of what a request asks for, in hexadecimal: its body, whatever the order of
/// an object's members, and its query. A body that is not there is not the body `null`.
pub(super) fn fingerprint(body: Option<&Value>, query: Option<&str>) -> String {
    let mut context = Context::new(&SHA256);
    let mut text = Vec::new();
    if let Some(body) = body {
        write_canonical(body, &mut text);
    }
    context.update(&text);
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        // No JSON on one line holds a line feed: what follows it is the query.
        context.update(b"\n");
        context.update(query.as_bytes());
    }
    hexadecimal(context.finish().as_ref())
}

/// SHA-256 of a text, in hexadecimal.
pub(super) fn digest_of(text: &str) -> String {
    hexadecimal(digest(&SHA256, text.as_bytes()).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// JSON without white space, the members of objects in the order of their names. It
/// goes as deep as the body, which the parser lets be 128 deep.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    let scalar = |value: &Value, out: &mut Vec<u8>| {
        serde_json::to_writer(out, value).expect("JSON in memory can be written to memory");
    };
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (i, (name, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                scalar(&Value::from(name.as_str()), out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => scalar(value, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        let key = IdempotencyKey::read(&headers).map_err(|problem| problem.kind().code)?;
        Ok(key.map(IdempotencyKey::into_string))
    }

    #[test]
    fn a_key_is_the_same_quoted_and_bare() {
        let long = "k".repeat(255);
        assert_eq!(read(&[]), Ok(None));
        for (given, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            (" \"abc\" ", "abc"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r"a\b", r"a\b"),
            ("a,b;c", "a,b;c"),
            (long.as_str(), long.as_str()),
            (&format!("\"{long}\""), long.as_str()),
        ] {
            assert_eq!(read(&[given.as_bytes()]), Ok(Some(key.to_owned())), "{given}");
        }
    }

    #[test]
    fn what_is_no_key_is_malformed() {
        let long = "k".repeat(256);
        let bad = [
            "",
            "\"\"",
            "\"",
            "\"abc",
            "\"a\"b",
            "\"a\";p=1",
            r#""a\b""#,
            r#""a\"#,
            "a b",
            "\"a b\"",
            "ü",
            &long,
        ];
        for bad in bad {
            assert_eq!(read(&[bad.as_bytes()]), Err("malformed_header"), "{bad}");
        }
        assert_eq!(read(&[b"a\xff"]), Err("malformed_header"));
        assert_eq!(read(&[b"a", b"a"]), Err("malformed_header"), "twice, even the same");
    }

    #[test]
    fn bodies_that_say_the_same_have_one_fingerprint() {
        let of = |text: &str| fingerprint(Some(&serde_json::from_str(text).unwrap()), None);
        assert_eq!(
            of(r#"{"a": 1, "b": {"x": [1, 2], "y": null}}"#),
            of(r#"{"b":{"y":null,"x":[1,2]},"a":1}"#)
        );
        for (one, other) in [
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            (r#"{"a": 1}"#, r#"{"a": "1"}"#),
            (r#"{"a": [1, 2]}"#, r#"{"a": [2, 1]}"#),
            (r#"{"a": null}"#, "{}"),
            (r#"{"a": "b\",\"c\":\"d"}"#, r#"{"a": "b", "c": "d"}"#),
        ] {
            assert_ne!(of(one), of(other), "{one} {other}");
        }
        assert_ne!(fingerprint(None, None), fingerprint(Some(&Value::Null), None));
        assert_ne!(fingerprint(None, Some("a=1")), fingerprint(None, None));
    }
}
