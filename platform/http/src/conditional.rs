//! Conditional requests (RFC 9110 §13): two people can't overwrite each other unseen.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay_core::Problem;
use mainstay_core::problem::{MALFORMED_HEADER, PRECONDITION_REQUIRED, STALE};

use crate::RequestContext;

/// The version of a resource as a strong validator: `"3"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ETag(pub i64);

impl ETag {
    /// As a header's value.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("a number in quotes is a header value")
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Absent,
    Any,
    These(Vec<String>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Self, Problem> {
        if !headers.contains_key(name) {
            return Ok(Self::Absent);
        }
        let mut tags = Vec::new();
        for value in headers.get_all(name) {
            let malformed =
                || MALFORMED_HEADER.because(format!("{name} must be * or ETags in double quotes."));
            let value = value.to_str().map_err(|_| malformed())?;
            if value.trim() == "*" {
                return Ok(Self::Any);
            }
            // An empty list is a list: the change is meant for no state at all, so it is refused.
            read_list(value, &mut tags).ok_or_else(malformed)?;
        }
        Ok(Self::These(tags))
    }

    fn matches(&self, current: ETag) -> bool {
        match self {
            Self::Absent => false,
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| *tag == current.0.to_string()),
        }
    }
}

/// Reads `"1", W/"2"` (RFC 9110 §8.8.3). `None` if it is not that.
///
/// `W/` is passed over: a cache or a compressing proxy may have made the tag weak,
/// and the version inside still names the state that the client saw.
fn read_list(mut rest: &str, tags: &mut Vec<String>) -> Option<()> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(());
        }
        let (tag, after) = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        let after = after.trim_start_matches([' ', '\t']);
        if tag.contains(' ') || !(after.is_empty() || after.starts_with(',')) {
            return None;
        }
        tags.push(tag.to_owned());
        rest = after;
    }
}

/// `If-Match`: the state that a change is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(Tags);

impl IfMatch {
    /// No condition.
    #[must_use]
    pub const fn absent() -> Self {
        Self(Tags::Absent)
    }

    /// Meant for this state.
    #[must_use]
    pub fn exactly(tag: ETag) -> Self {
        Self(Tags::These(vec![tag.0.to_string()]))
    }

    /// Whether the resource is in the state that the change is meant for.
    ///
    /// # Errors
    /// 412 if it is not.
    pub fn check(&self, current: ETag) -> Result<(), Problem> {
        if self.0 == Tags::Absent || self.0.matches(current) {
            return Ok(());
        }
        Err(STALE
            .because(format!("The resource's ETag is now {current}."))
            .with_header(header::ETAG, current.header()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let tags = Tags::read(&parts.headers, &header::IF_MATCH)?;
        let required =
            parts.extensions.get::<RequestContext>().is_some_and(|context| context.shared.require_if_match);
        if required && tags == Tags::Absent {
            return Err(PRECONDITION_REQUIRED.because("Send the resource's ETag in If-Match."));
        }
        Ok(Self(tags))
    }
}

/// `If-None-Match`: the state that the client has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfNoneMatch(Tags);

impl IfNoneMatch {
    /// Whether the client has the present state: the answer is 304.
    #[must_use]
    pub fn is_fresh(&self, current: ETag) -> bool {
        self.0.matches(current)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // What can't be read was not given by us, so it matches nothing.
        Ok(Self(Tags::read(&parts.headers, &header::IF_NONE_MATCH).unwrap_or(Tags::Absent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(value: &str) -> Result<Tags, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().unwrap());
        Tags::read(&headers, &header::IF_MATCH)
    }

    #[test]
    fn a_list_of_tags_matches_any_of_them() {
        assert!(tags(r#""1", W/"3""#).unwrap().matches(ETag(3)));
        assert!(!tags(r#""1", "13""#).unwrap().matches(ETag(3)));
        assert!(tags("*").unwrap().matches(ETag(3)));
    }

    #[test]
    fn a_tag_without_quotes_is_malformed() {
        for bad in ["3", "\"3", "\"a b\"", "\"a\"b\"", "\"1\" \"2\""] {
            assert_eq!(tags(bad).unwrap_err().kind().code, "malformed_header", "{bad}");
        }
    }

    #[test]
    fn an_empty_condition_is_met_by_nothing() {
        for empty in ["", ",", " , "] {
            let condition = IfMatch(tags(empty).unwrap());
            assert_eq!(condition.check(ETag(3)).unwrap_err().kind().code, "stale", "{empty:?}");
        }
        assert!(!tags(r#""a,b""#).unwrap().matches(ETag(3)), "a comma may stand inside a tag");
    }
}
