//! What handlers give.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use mainstay_auth::Caller;
use mainstay_core::{Page, Problem};
use serde::{Deserialize, Serialize};

use crate::{ETag, IfNoneMatch};

/// How an answer may be kept.
#[derive(Clone, Copy, Debug)]
pub struct PublicCache(HeaderValueStatic);

type HeaderValueStatic = &'static str;

impl PublicCache {
    /// For a public resource: anonymous readers share it for five seconds (so
    /// that a CDN takes the load off) and browsers ask again each time; what a
    /// signed-in caller gets is nobody else's.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        Self(if caller.is_anonymous() { "public, max-age=0, s-maxage=5" } else { "private, no-store" })
    }

    fn put(self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.0));
        headers.append(header::VARY, HeaderValue::from_static("authorization, x-api-key"));
    }
}

/// A single resource with its version: 200 with an `ETag`, or 304 if the client has it already.
#[derive(Debug)]
pub struct Tagged<T> {
    /// The resource.
    pub body: T,
    /// Its version.
    pub etag: ETag,
    /// What the client has. `None` after a change: always 200.
    pub seen: Option<IfNoneMatch>,
    /// How it may be kept. `None`: not at all.
    pub cache: Option<PublicCache>,
}

impl<T> Tagged<T> {
    /// The resource after a change.
    pub fn changed(body: T, version: i64) -> Self {
        Self { body, etag: ETag(version), seen: None, cache: None }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let fresh = self.seen.is_some_and(|seen| seen.is_fresh(self.etag));
        let mut response =
            if fresh { StatusCode::NOT_MODIFIED.into_response() } else { Json(self.body).into_response() };
        response.headers_mut().insert(header::ETAG, self.etag.header());
        if let Some(cache) = self.cache {
            cache.put(&mut response);
        }
        response
    }
}

/// 201 with `Location`, and `ETag` where the resource has a version.
#[derive(Debug)]
pub struct Created<T> {
    /// Path of the new resource.
    pub location: String,
    /// Its version, if it has one.
    pub etag: Option<ETag>,
    /// The resource.
    pub body: T,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.body)).into_response();
        if let Ok(location) = HeaderValue::try_from(self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if let Some(etag) = self.etag {
            response.headers_mut().insert(header::ETAG, etag.header());
        }
        response
    }
}

/// One page of a list, with `Link` headers (RFC 8288) that the stack writes,
/// because they repeat the request's own parameters.
#[derive(Debug)]
pub struct Listing<T> {
    /// The page.
    pub page: Page<T>,
    /// How it may be kept. `None`: not at all.
    pub cache: Option<PublicCache>,
}

/// What a list's `Link` header is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Links {
    page: Option<u32>,
    pages: Option<u64>,
    next_cursor: Option<String>,
    has_next: bool,
}

impl<T> Listing<T> {
    /// The answer with a body of the app's own around the page; `Link` headers and ETag as ever.
    pub fn enveloped<B: Serialize>(self, envelope: impl FnOnce(Page<T>) -> B) -> Response {
        let links = Links::of(&self.page);
        match serde_json::to_vec(&envelope(self.page)) {
            Ok(body) => WrittenListing::new(links, body).answer(self.cache),
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

impl<T: Serialize> IntoResponse for Listing<T> {
    fn into_response(self) -> Response {
        self.enveloped(|page| page)
    }
}

/// A list written out once, to be sent as often as somebody asks: the body, its
/// `ETag`, and what the `Link` header is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WrittenListing {
    #[serde(with = "as_text")]
    body: Bytes,
    etag: String,
    links: Links,
}

/// A page, and what an answer says besides.
#[derive(Serialize)]
struct Whole<'a, T, M> {
    #[serde(flatten)]
    page: &'a Page<T>,
    #[serde(flatten)]
    more: &'a M,
}

impl WrittenListing {
    /// Writes a page out.
    ///
    /// # Errors
    /// If an item can't be written as JSON.
    pub fn of<T: Serialize>(page: &Page<T>) -> Result<Self, serde_json::Error> {
        Ok(Self::new(Links::of(page), serde_json::to_vec(page)?))
    }

    /// Writes a page out, and beside its fields those of `more`: a struct.
    ///
    /// # Errors
    /// If something can't be written as JSON.
    pub fn with<T: Serialize>(page: &Page<T>, more: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::new(Links::of(page), serde_json::to_vec(&Whole { page, more })?))
    }

    fn new(links: Links, body: Vec<u8>) -> Self {
        Self { etag: weak_tag(&body), body: body.into(), links }
    }

    /// The answer; with a validator if it may be kept.
    #[must_use]
    pub fn answer(&self, cache: Option<PublicCache>) -> Response {
        let Self { body, etag, links } = self.clone();
        let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
        response.extensions_mut().insert(links);
        if let Some(cache) = cache {
            response.headers_mut().extend(HeaderValue::try_from(etag).ok().map(|etag| (header::ETAG, etag)));
            cache.put(&mut response);
        }
        response
    }
}

/// JSON is text: in a cache it stands as such, not as a list of numbers.
mod as_text {
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(body).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        String::deserialize(deserializer).map(Bytes::from)
    }
}

/// A single resource written out once, to be sent as often as somebody asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WrittenResource {
    #[serde(with = "as_text")]
    body: Bytes,
    version: i64,
}

impl WrittenResource {
    /// Writes it out.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn of(resource: &impl Serialize, version: i64) -> Result<Self, serde_json::Error> {
        Ok(Self { body: serde_json::to_vec(resource)?.into(), version })
    }

    /// The answer: 200 with an `ETag`, or 304 if the client has it already.
    #[must_use]
    pub fn answer(&self, seen: &IfNoneMatch, cache: PublicCache) -> Response {
        let etag = ETag(self.version);
        let mut response = if seen.is_fresh(etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "application/json")], self.body.clone()).into_response()
        };
        response.headers_mut().insert(header::ETAG, etag.header());
        cache.put(&mut response);
        response
    }
}

/// A validator of a list: made from its content, because no single version stands
/// for it. Weak (RFC 9110 §8.8.1): compressed or not, it is the same list.
fn weak_tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

impl Links {
    fn of<T>(page: &Page<T>) -> Self {
        Self {
            page: page.page,
            pages: page.pages,
            next_cursor: page.next_cursor.clone(),
            has_next: page.has_next,
        }
    }

    /// The header for a request to this path and query. `None` if there is nothing to link to.
    pub(crate) fn header(&self, path: &str, query: &str) -> Option<HeaderValue> {
        let others: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !matches!(pair.split('=').next(), Some("page" | "cursor")))
            .collect();
        let link = |rel: &str, parameter: String| {
            let query = others.iter().copied().chain([parameter.as_str()]).collect::<Vec<_>>().join("&");
            format!("<{path}?{query}>; rel=\"{rel}\"")
        };
        let mut links = Vec::new();
        match self.page {
            Some(page) => {
                links.push(link("first", "page=1".to_owned()));
                let last = self.pages.unwrap_or(1).max(1);
                if page > 1 {
                    links.push(link("prev", format!("page={}", u64::from(page - 1).min(last))));
                }
                if self.has_next {
                    links.push(link("next", format!("page={}", page + 1)));
                }
                links.push(link("last", format!("page={last}")));
            }
            None => {
                links
                    .extend(self.next_cursor.as_ref().map(|cursor| link("next", format!("cursor={cursor}"))));
            }
        }
        HeaderValue::try_from(links.join(", ")).ok().filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_out_comes_back_from_a_cache_as_it_was() {
        let resource = WrittenResource::of(&serde_json::json!({"name": "Café \"9\""}), 3).unwrap();
        let kept = serde_json::to_vec(&resource).unwrap();
        let back: WrittenResource = serde_json::from_slice(&kept).unwrap();
        assert_eq!((back.body, back.version), (resource.body, 3));
    }

    #[test]
    fn links_keep_the_other_parameters() {
        let links = Links { page: Some(2), pages: Some(3), next_cursor: None, has_next: true };
        let header = links.header("/books", "q=a%20b&page=2&sort=-title").unwrap();
        assert_eq!(
            header,
            "</books?q=a%20b&sort=-title&page=1>; rel=\"first\", </books?q=a%20b&sort=-title&page=1>; rel=\"prev\", \
             </books?q=a%20b&sort=-title&page=3>; rel=\"next\", </books?q=a%20b&sort=-title&page=3>; rel=\"last\""
        );
        let end = Links { page: None, pages: None, next_cursor: None, has_next: false };
        assert!(end.header("/books", "cursor=x").is_none());
    }
}
