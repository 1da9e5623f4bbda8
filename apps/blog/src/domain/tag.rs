//! What a post is about.

use mainstay_core::input::{InputValue, Raw};
use mainstay_core::{Faults, text};
use serde_json::{Value, json};

mainstay_core::text_type! {
    /// A tag: one line of 1 to 50 characters.
    pub struct Tag(1..=50);
}

impl Tag {
    /// What it is compared by: case and accents do not count.
    #[must_use]
    pub fn key(&self) -> String {
        let folded = text::fold(self.as_str());
        // A tag of marks alone folds to nothing, and is still one.
        if folded.is_empty() { self.as_str().to_owned() } else { folded }
    }
}

/// Most tags of one post.
const MOST: usize = 20;

/// The tags of a post, in the order given, each once whatever its case: at most 20.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// The tags.
    #[must_use]
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// As they are shown.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|tag| tag.as_str().to_owned()).collect()
    }
}

impl InputValue for Tags {
    fn schema() -> Value {
        json!({"type": "array", "items": <Tag as InputValue>::schema(), "maxItems": MOST})
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let tags = Vec::<Tag>::read(raw, at, faults)?;
        let given = tags.len();
        if given > MOST {
            faults.add(at, "too_many", format!("must be at most {MOST}, are {given}"));
            return None;
        }
        let mut keys = Vec::new();
        let is_new = |tag: &Tag| {
            let key = tag.key();
            let new = !keys.contains(&key);
            keys.push(key);
            new
        };
        Some(Self(tags.into_iter().filter(is_new).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<Vec<String>, Vec<(String, String)>> {
        let mut faults = Faults::default();
        Tags::read(Raw::Json(value), "tags", &mut faults).map(|tags| tags.texts()).ok_or_else(|| {
            faults.as_slice().iter().map(|fault| (fault.field.clone(), fault.code.to_string())).collect()
        })
    }

    #[test]
    fn tags_keep_their_order_and_come_once() {
        assert_eq!(read(&json!(["Rust", " web ", "RUST", "Café", "cafe"])).unwrap(), ["Rust", "web", "Café"]);
        assert_eq!(read(&json!([])).unwrap(), [""; 0]);
        let faults = read(&json!(["", 7, "x".repeat(51)])).unwrap_err();
        let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
        assert_eq!(
            faults,
            [pair("tags[0]", "too_short"), pair("tags[1]", "wrong_type"), pair("tags[2]", "too_long")]
        );
        assert_eq!(read(&json!(vec!["x"; 21])).unwrap_err(), [pair("tags", "too_many")]);
    }
}
