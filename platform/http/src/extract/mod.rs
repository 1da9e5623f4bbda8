//! What handlers take. Each refusal is a [`Problem`].

use std::str::FromStr;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use mainstay_core::Problem;
use mainstay_core::input::{self, Input};
use mainstay_core::problem::{
    BODY_TOO_LARGE, MALFORMED_BODY, NOT_FOUND, OVERLOADED, REQUEST_TIMEOUT, UNSUPPORTED_MEDIA_TYPE,
};
use serde_json::Value;

use crate::RequestContext;
use crate::context::Shared;
use crate::server::BodyTimeout;

/// A JSON body that keeps every rule of its type. Every fault is reported at once.
#[derive(Debug)]
pub struct Valid<T>(pub T);

/// A query string that keeps every rule of its type.
#[derive(Debug)]
pub struct ValidQuery<T>(pub T);

/// A form (`application/x-www-form-urlencoded`) that keeps every rule of its type.
#[derive(Debug)]
pub struct ValidForm<T>(pub T);

/// The id in the path. One that can't be an id names nothing: 404.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: Input> FromRequest<S> for Valid<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(input::from_json(&read_json(request).await?)?))
    }
}

/// The body as JSON that no rule has been applied to yet.
///
/// # Errors
/// As [`read_body`], 415 for another content type, or 400 if it is not JSON.
pub(crate) async fn read_json(request: Request) -> Result<Value, Problem> {
    require_type(request.headers(), "application/json", |kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    })?;
    let bytes = read_body(request).await?;
    if bytes.is_empty() {
        return Err(MALFORMED_BODY.because("The body is empty; a JSON object is expected."));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| MALFORMED_BODY.because(format!("The body is not JSON: {error}.")))
}

impl<S: Send + Sync, T: Input> FromRequest<S> for ValidForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(input::from_pairs(&form_pairs(request).await?)?))
    }
}

/// The pairs of a form, for protocols that must ignore what they do not know.
///
/// # Errors
/// 400, 408, 413 or 415.
pub async fn form_pairs(request: Request) -> Result<Vec<(String, String)>, Problem> {
    const FORM: &str = "application/x-www-form-urlencoded";
    require_type(request.headers(), FORM, |kind| kind == FORM)?;
    pairs(&read_body(request).await?)
}

impl<S: Send + Sync, T: Input> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(input::from_pairs(&pairs(query.as_bytes())?)?))
    }
}

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = || NOT_FOUND.because("Nothing has this id.");
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| missing())?;
        let (_, text) = params.iter().next().ok_or_else(missing)?;
        text.parse().map(Self).map_err(|_| missing())
    }
}

/// The request's body in memory, within the limits on size and time.
///
/// # Errors
/// 413, 408, or 400 if the connection broke.
pub(crate) async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let limit =
        request.extensions().get::<RequestContext>().map_or(1 << 20, |context| context.shared.max_body_bytes);
    let too_large = || BODY_TOO_LARGE.because(format!("The body may have at most {limit} bytes."));
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    let shared = request.extensions().get::<RequestContext>().map(|context| context.shared.clone());
    let body: Body = request.into_body();
    // Who still sends is not being worked for: a crowd of slow bodies must not use up the places.
    let waiting = shared.as_deref().map(Waiting::begin);
    let collected = Limited::new(body, limit).collect().await;
    drop(waiting);
    if let Some(shared) = shared
        && shared.in_flight.load(Ordering::Relaxed) > shared.max_in_flight
    {
        return Err(Problem::retry_later(&OVERLOADED, "Too many requests are in progress.", 1));
    }
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large()),
        Err(error) => Err(match BodyTimeout::find(&*error) {
            Some(timeout) => {
                REQUEST_TIMEOUT.because(format!("Only {} bytes of the body came in time.", timeout.received))
            }
            None => MALFORMED_BODY.because("The body could not be read to its end."),
        }),
    }
}

/// A request whose body is still to come is not counted as in progress.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
    }
}

fn require_type(headers: &HeaderMap, wanted: &str, fits: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if fits(&kind) {
        return Ok(());
    }
    let found = if kind.is_empty() { "none".to_owned() } else { kind.chars().take(100).collect() };
    Err(UNSUPPORTED_MEDIA_TYPE.because(format!("The body must be {wanted}; the Content-Type is {found}.")))
}

fn pairs(encoded: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    serde_urlencoded::from_bytes(encoded)
        .map_err(|error| MALFORMED_BODY.because(format!("The parameters can't be read: {error}.")))
}
