//! Everything that can go wrong for a client, in one shape: RFC 9457 problem details.
//!
//! A [`ProblemKind`] is a row of the table of stable codes; a [`Problem`] is one
//! occurrence of it. Rendering one has no side effect: the middleware that sends
//! it adds the request id and logs the private cause once.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum_core::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

/// One row of the table of error codes. Codes never change their meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemKind {
    /// HTTP status.
    pub status: u16,
    /// Stable code in snake_case: what programs compare with.
    pub code: &'static str,
    /// Short summary, the same for every occurrence.
    pub title: &'static str,
    /// For the page of error codes: when it happens and what to do about it.
    pub help: &'static str,
}

impl ProblemKind {
    /// The status as a type.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("the table holds valid statuses")
    }

    /// RFC 9457 `type`: a reference to the description of this code, which the
    /// server itself serves; or the name that was registered for such problems, where there is one.
    #[must_use]
    pub fn type_uri(&self) -> String {
        match self.code {
            code if code == RATE_LIMITED.code => QUOTA_EXCEEDED.to_owned(),
            code => format!("/docs/errors#{code}"),
        }
    }

    /// An occurrence of this kind.
    #[must_use]
    pub fn because(&'static self, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(self, detail)
    }
}

/// Declares rows of the table of error codes, and `PROBLEMS`, the list of them.
///
/// ```
/// mainstay_core::problems! {
///     /// A book that does not exist.
///     pub BOOK_NOT_FOUND = 404 "book_not_found", "Book not found",
///         "No book has this id. It may have been deleted.";
/// }
/// assert_eq!(PROBLEMS[0].code, BOOK_NOT_FOUND.code);
/// ```
#[macro_export]
macro_rules! problems {
    ($($(#[$meta:meta])* $vis:vis $name:ident = $status:literal $code:literal, $title:literal, $help:literal;)*) => {
        $(
            $(#[$meta])*
            $vis static $name: $crate::ProblemKind = $crate::ProblemKind {
                status: $status, code: $code, title: $title, help: $help,
            };
        )*
        /// Every kind declared here, for the page of error codes.
        pub static PROBLEMS: &[&$crate::ProblemKind] = &[$(&$name),*];
    };
}

/// The registered type of [`RATE_LIMITED`].
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

problems! {
    /// The body is not JSON (or not the declared form) at all.
    pub MALFORMED_BODY = 400 "malformed_body", "Malformed body",
        "The body could not be read as JSON (or as the form this endpoint takes). `detail` says where reading stopped.";
    /// A header is not what it must be.
    pub MALFORMED_HEADER = 400 "malformed_header", "Malformed header",
        "A request header has a value that cannot be read. `detail` names it.";
    /// The request is not HTTP as it should be.
    pub MALFORMED_REQUEST = 400 "malformed_request", "Malformed request",
        "The request's address or form cannot be read.";
    /// No valid credentials where some are needed.
    pub UNAUTHENTICATED = 401 "unauthenticated", "Not signed in",
        "This needs a valid access token or API key: `Authorization: Bearer …`, or a service credential by HTTP Basic where `WWW-Authenticate` says so. It is missing, expired, revoked or not one of ours. Sign in again.";
    /// Signed in, but not allowed.
    pub FORBIDDEN = 403 "forbidden", "Not allowed",
        "You are signed in, but your role does not permit this. Ask an administrator for the role that `detail` names.";
    /// The API key is good, but was not made for this.
    pub INSUFFICIENT_SCOPE = 403 "insufficient_scope", "The key's scopes do not cover this",
        "The API key is valid, but none of its scopes covers this request. `WWW-Authenticate` names the one that would; make a key with it.";
    /// Nothing is at this address.
    pub NOT_FOUND = 404 "not_found", "Not found",
        "Nothing is at this address. Check the path against the API reference.";
    /// The address exists, the method does not.
    pub METHOD_NOT_ALLOWED = 405 "method_not_allowed", "Method not allowed",
        "This address does not take this method. The `Allow` header lists those it takes.";
    /// The body did not arrive in time.
    pub REQUEST_TIMEOUT = 408 "request_timeout", "Request took too long to arrive",
        "The body stopped arriving, or arrived too slowly. Send it again on a new connection.";
    /// Something else was changed first.
    pub CONFLICT = 409 "conflict", "Conflict",
        "The request collides with the present state. Read the resource again, then decide.";
    /// A stale `If-Match`.
    pub STALE = 412 "stale", "Changed since you read it",
        "The resource no longer has the ETag you sent in `If-Match`: somebody changed it. Read it again, merge, and send the new ETag.";
    /// Too many bytes.
    pub BODY_TOO_LARGE = 413 "body_too_large", "Body too large",
        "The body is larger than this endpoint takes. `detail` names the limit in bytes.";
    /// The address is too long to handle.
    pub URI_TOO_LONG = 414 "uri_too_long", "Address too long",
        "The path and query together are too long. Send fewer or shorter parameters.";
    /// Not the content type that is taken here.
    pub UNSUPPORTED_MEDIA_TYPE = 415 "unsupported_media_type", "Unsupported content type",
        "Send the body with the `Content-Type` that the API reference names for this endpoint, usually `application/json`.";
    /// Well-formed, but it breaks rules. `errors` lists all of them.
    pub VALIDATION_FAILED = 422 "validation_failed", "Validation failed",
        "The request was read, but breaks rules. `errors` lists every fault at once: `field` (a path), `code` and `message`.";
    /// `If-Match` is missing where it is required.
    pub PRECONDITION_REQUIRED = 428 "precondition_required", "If-Match is required",
        "This installation refuses changes without `If-Match`. Read the resource, then send its `ETag` back in `If-Match`.";
    /// A rate limit is used up.
    pub RATE_LIMITED = 429 "rate_limited", "Too many requests",
        "A rate limit is used up: `violated-policies` names it, `RateLimit-Policy` says how much it admits. Wait as long as `Retry-After` says, then try again; what was refused did not count. `RateLimit` on every answer says how much is left.";
    /// The header section is too large.
    pub HEADERS_TOO_LARGE = 431 "headers_too_large", "Headers too large",
        "The request's headers are larger than the server takes.";
    /// Our fault.
    pub INTERNAL = 500 "internal", "Internal error",
        "Something failed on the server and was logged under `request_id`. Trying again may help; telling the operator the id will.";
    /// Too much at once.
    pub OVERLOADED = 503 "overloaded", "Overloaded",
        "The server has as much to do as it can handle. Wait as long as `Retry-After` says, then try again.";
    /// The work took too long.
    pub TIMEOUT = 503 "timeout", "Timed out",
        "The server gave the request up after its time limit. Whether a change took effect is not known: read before you repeat.";
    /// A part that the server needs is away.
    pub UNAVAILABLE = 503 "unavailable", "Temporarily unavailable",
        "Something that the server depends on, most likely its database, is not answering. Wait as long as `Retry-After` says, then try again.";
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Path of the field: `title`, `items[3].amount`. Empty for the body as a whole.
    pub field: String,
    /// Stable code in snake_case: `required`, `too_long`, `unknown_field` …
    pub code: Cow<'static, str>,
    /// What is wrong, for a person.
    pub message: String,
}

/// Every fault of one input, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Exactly one fault.
    #[must_use]
    pub fn one(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.add(field, code, message);
        faults
    }

    /// Adds a fault.
    pub fn add(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        if !self.is_full() {
            self.0.push(Fault { field: field.into(), code: code.into(), message: message.into() });
        }
    }

    /// Whether further faults are not kept: a body of a million unknown fields must
    /// not become an answer of a hundred megabytes.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= 100
    }

    /// The faults.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` if there is none.
    ///
    /// # Errors
    /// The faults, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// One occurrence of a problem.
///
/// Cheap to move: one pointer.
#[derive(Clone)]
pub struct Problem(Box<Parts>);

#[derive(Clone)]
struct Parts {
    kind: &'static ProblemKind,
    detail: Cow<'static, str>,
    faults: Faults,
    headers: Vec<(HeaderName, HeaderValue)>,
    extra: Map<String, Value>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// An occurrence of `kind`; `detail` says what is particular to it.
    #[must_use]
    pub fn new(kind: &'static ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            faults: Faults::default(),
            headers: Vec::new(),
            extra: Map::new(),
            cause: None,
        }))
    }

    /// 500. The cause is logged, never sent.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(&INTERNAL, "The request could not be carried out.").caused_by(cause)
    }

    /// 503 with `Retry-After`.
    #[must_use]
    pub fn retry_later(
        kind: &'static ProblemKind,
        detail: impl Into<Cow<'static, str>>,
        seconds: u32,
    ) -> Self {
        Self::new(kind, detail).with_header(http::header::RETRY_AFTER, seconds.into())
    }

    /// Adds faults by field.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.0.faults = faults;
        self
    }

    /// Adds one fault by field.
    #[must_use]
    pub fn with_fault(mut self, field: &str, code: &'static str, message: impl Into<String>) -> Self {
        self.0.faults.add(field, code, message);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Adds an extension member (RFC 9457 §3.2).
    #[must_use]
    pub fn with_extra(mut self, name: &str, value: Value) -> Self {
        self.0.extra.insert(name.to_owned(), value);
        self
    }

    /// Remembers the private cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Its row in the table.
    #[must_use]
    pub fn kind(&self) -> &'static ProblemKind {
        self.0.kind
    }

    /// What is particular to this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Faults by field; empty for most kinds.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.0.faults.as_slice()
    }

    /// Headers that belong to the answer.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The private cause and everything under it, joined by ": ". `None` if there is no cause.
    #[must_use]
    pub fn cause_chain(&self) -> Option<String> {
        let mut next: Option<&(dyn Error + 'static)> = self.0.cause.as_deref().map(|cause| cause as _);
        let mut chain = Vec::new();
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        (!chain.is_empty()).then(|| chain.join(": "))
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self, instance: &str, request_id: &str) -> Value {
        let Parts { kind, detail, faults, extra, headers: _, cause: _ } = &*self.0;
        let mut body = serde_json::json!({
            "type": kind.type_uri(),
            "title": kind.title,
            "status": kind.status,
            "detail": detail,
            "instance": instance,
            "code": kind.code,
            "request_id": request_id,
        });
        if !faults.is_empty() {
            body["errors"] = serde_json::json!(faults);
        }
        for (name, value) in extra {
            body[name] = value.clone();
        }
        body
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Problem")
            .field("code", &self.0.kind.code)
            .field("detail", &self.0.detail)
            .field("faults", &self.0.faults)
            .field("cause", &self.cause_chain())
            .finish()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.code, self.0.detail)?;
        for fault in self.faults() {
            write!(f, "; {}: {}", fault.field, fault.message)?;
        }
        Ok(())
    }
}

impl Error for Problem {}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let detail = match faults.as_slice() {
            [one] if one.field.is_empty() => one.message.clone(),
            [one] => format!("{}: {}", one.field, one.message),
            several => format!("{} fields are not right.", several.len()),
        };
        Self::new(&VALIDATION_FAILED, detail).with_faults(faults)
    }
}

impl IntoResponse for Problem {
    /// The status and the problem itself in the response's extensions. The body
    /// is written by the middleware, which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.kind().status().into_response();
        for (name, value) in self.headers() {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_the_public_part_only() {
        let problem = Problem::internal(std::io::Error::other("secret path /etc/x"));
        let body = problem.body("/api/v1/books", "r-1").to_string();

        assert!(!body.contains("secret"), "{body}");
        assert_eq!(problem.cause_chain().as_deref(), Some("secret path /etc/x"));
    }

    #[test]
    fn codes_are_unique_and_snake_case() {
        let mut codes: Vec<_> = PROBLEMS.iter().map(|kind| kind.code).collect();
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), PROBLEMS.len());
    }

    #[test]
    fn a_flood_of_faults_is_cut() {
        let mut faults = Faults::default();
        (0..10_000).for_each(|i| faults.add(format!("f{i}"), "unknown_field", "is not known"));
        assert_eq!(faults.as_slice().len(), 100);
    }
}
