//! An answer on its way into the table and out again.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use mainstay_core::seal::{OpenError, Sealer};
use mainstay_core::{Problem, RequestId};
use serde_json::Value;

use super::Slot;
use super::store::Stored;

/// The largest answer that is kept. Requests that make something answer with less.
const MOST_BYTES: usize = 1 << 20;

const PROBLEM_JSON: &str = "application/problem+json";

static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What is kept of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    location: Option<String>,
    etag: Option<String>,
    content_type: Option<String>,
    body: Bytes,
}

impl Answer {
    /// Takes what is to be kept from the answer of an attempt that took effect, and hands it back whole.
    ///
    /// # Errors
    /// 500 if it is no answer of such an attempt: a refusal, or too long.
    pub(super) async fn of(response: Response) -> Result<(Self, Response), Problem> {
        let status = response.status();
        if !status.is_success() && !status.is_redirection() {
            let cause = format!("a unit that is to be committed was answered with {status}");
            return Err(Problem::internal(cause));
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await.map_err(Problem::internal)?.to_bytes();
        let text = |name: HeaderName| {
            let value = parts.headers.get(&name).map(|value| value.as_bytes().to_vec());
            value.map(String::from_utf8).transpose().map_err(Problem::internal)
        };
        let answer = Self {
            status,
            location: text(header::LOCATION)?,
            etag: text(header::ETAG)?,
            content_type: text(header::CONTENT_TYPE)?,
            body: body.clone(),
        };
        Ok((answer, Response::from_parts(parts, Body::from(body))))
    }

    /// A refusal that the key stands for from now on.
    pub(super) fn refusal(problem: &Problem, path: &str) -> Self {
        Self {
            status: problem.kind().status(),
            location: None,
            etag: None,
            content_type: Some(PROBLEM_JSON.to_owned()),
            body: problem.body(path, "").to_string().into(),
        }
    }

    pub(super) fn seal(&self, sealer: &Sealer, slot: &Slot, fingerprint: &str) -> Stored {
        Stored {
            fingerprint: fingerprint.to_owned(),
            status: self.status.as_u16(),
            location: self.location.clone(),
            etag: self.etag.clone(),
            content_type: self.content_type.clone(),
            sealed_body: sealer.seal(&self.body, &context(slot)),
        }
    }

    pub(super) fn open(stored: Stored, sealer: &Sealer, slot: &Slot) -> Result<Self, OpenError> {
        let Stored { fingerprint: _, status, location, etag, content_type, sealed_body } = stored;
        let body = sealer.open(&sealed_body, &context(slot))?.into();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok(Self { status, location, etag, content_type, body })
    }

    /// The answer once more. A problem names the request that it answers now.
    pub(super) fn replay(self, request_id: &RequestId) -> Response {
        let is_problem = self.content_type.as_deref() == Some(PROBLEM_JSON);
        let body = if is_problem { renamed(self.body, request_id) } else { self.body };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(&REPLAYED, HeaderValue::from_static("true"));
        let kept = [
            (header::LOCATION, self.location),
            (header::ETAG, self.etag),
            (header::CONTENT_TYPE, self.content_type),
        ];
        headers.extend(
            kept.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::try_from(text?).ok()?))),
        );
        response
    }
}

/// Binds a sealed body to its row: put into another, it does not open.
fn context(slot: &Slot) -> String {
    format!("{}\n{}", slot.scope, slot.key)
}

fn renamed(body: Bytes, request_id: &RequestId) -> Bytes {
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut problem) if problem.is_object() => {
            problem["request_id"] = request_id.as_str().into();
            problem.to_string().into()
        }
        _ => body,
    }
}
