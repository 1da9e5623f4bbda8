//! What can be cached.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::walk::{Scale, Walk};

/// What can be cached: everything that serde can write and read, and [`Body`].
pub trait Value: Send + Sync + Sized + 'static {
    /// As it stands in Redis. `None`: it can't be written, and stays in this process.
    fn encode(&self) -> Option<Bytes>;

    /// Reads it back. `None`: it can't be read, which counts as a miss.
    fn decode(bytes: Bytes) -> Option<Self>;

    /// What it takes in memory, its own size included, rather too much than too little.
    fn weight(&self) -> usize;
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Value for T {
    fn encode(&self) -> Option<Bytes> {
        serde_json::to_vec(self).ok().map(Bytes::from)
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        serde_json::from_slice(&bytes).ok()
    }

    fn weight(&self) -> usize {
        let mut scale = Scale::default();
        // What can't be walked to its end weighs what was seen of it.
        let _seen = self.serialize(Walk(&mut scale));
        size_of::<Self>() + scale.0
    }
}

/// An answer's body, ready to be sent: a hit costs no serialization, in this process or out of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The body.
    pub bytes: Bytes,
    /// Its validator, quotes included: `"3"`. `None`: it has none.
    pub etag: Option<HeaderValue>,
    /// What it is: `application/json`.
    pub content_type: HeaderValue,
}

impl Body {
    /// JSON of `value`, written once.
    ///
    /// # Errors
    /// If `value` can't be written as JSON.
    pub fn json(value: &impl Serialize, etag: Option<HeaderValue>) -> Result<Self, serde_json::Error> {
        let bytes = Bytes::from(serde_json::to_vec(value)?);
        Ok(Self { bytes, etag, content_type: HeaderValue::from_static("application/json") })
    }
}

impl Value for Body {
    fn encode(&self) -> Option<Bytes> {
        let etag = self.etag.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let kind = self.content_type.as_bytes();
        let mut out = BytesMut::with_capacity(4 + etag.len() + kind.len() + self.bytes.len());
        for part in [etag, kind] {
            out.put_u16(u16::try_from(part.len()).ok()?);
            out.put_slice(part);
        }
        out.put_slice(&self.bytes);
        Some(out.freeze())
    }

    fn decode(mut bytes: Bytes) -> Option<Self> {
        let mut header = || {
            let length = bytes.split_to_checked(2)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            bytes.split_to_checked(length)
        };
        let (etag, kind) = (header()?, header()?);
        let etag = if etag.is_empty() { None } else { Some(HeaderValue::from_maybe_shared(etag).ok()?) };
        let content_type = HeaderValue::from_maybe_shared(kind).ok()?;
        Some(Self { bytes, etag, content_type })
    }

    fn weight(&self) -> usize {
        let etag = self.etag.as_ref().map_or(0, HeaderValue::len);
        // A value out of Redis shares one piece of memory, headers included.
        size_of::<Self>() + 64 + self.bytes.len() + etag + self.content_type.len()
    }
}

trait SplitChecked: Sized {
    fn split_to_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitChecked for Bytes {
    fn split_to_checked(&mut self, at: usize) -> Option<Self> {
        (at <= self.len()).then(|| self.split_to(at))
    }
}

/// What a loader found.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) tags: Vec<String>,
}

impl<V> Loaded<V> {
    /// A value.
    #[must_use]
    pub fn new(value: V) -> Self {
        Self { value: Some(value), tags: Vec::new() }
    }

    /// That there is nothing under this key. Remembered for a short time.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: None, tags: Vec::new() }
    }

    /// By what else it can be invalidated: whatever it was made from.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Several at once.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        Self { value, tags: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_as_it_was_and_rubbish_is_none() {
        let etag = Some(HeaderValue::from_static("\"3\""));
        for etag in [etag, None] {
            let body = Body::json(&serde_json::json!({"a": 1}), etag).unwrap();
            let encoded = body.encode().unwrap();
            assert_eq!(Body::decode(encoded.clone()), Some(body));
            for length in 0..4 {
                assert_eq!(Body::decode(encoded.slice(..length)), None);
            }
        }
        assert_eq!(Body::decode(Bytes::from_static(b"\xff\xffrubbish")), None);
        assert_eq!(Body::decode(Bytes::from_static(b"\x00\x01\n\x00\x01\nx")), None);
    }

    #[test]
    fn a_value_weighs_at_least_what_it_holds() {
        assert!("x".repeat(1000).weight() >= 1000 + size_of::<String>());
        assert!(vec![1_u64; 1000].weight() >= 8000);
        let body = Body::json(&"x".repeat(1000), None).unwrap();
        assert!(body.weight() >= 1000 + size_of::<Body>());
    }
}
