//! What operators and tools ask: health, readiness, metrics, the API's document and its pages.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, StatusCode, header};
use mainstay_auth::Access;
use mainstay_core::ProblemKind;
use mainstay_telemetry::Metrics;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::server::Drain;
use crate::{ApiRouter, OpenApi, RouteGroup, Tag, docs};

/// Says how the part is: an error if the server can't do without it.
type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// A part that must work for the server to be ready.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    check: Check,
}

impl Probe {
    /// A part of this name, which works when `check` says so. The text of an error
    /// is shown to whoever asks for `/readyz`.
    pub fn new<F>(name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self {
            name,
            check: Arc::new(move || Box::pin(check().map(|outcome| outcome.map(|()| "ok".to_owned())))),
        }
    }

    /// A part that the server does without. What `look` says of it is shown; `ok` if all is well.
    pub fn note<F>(name: &'static str, look: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = String> + Send + 'static,
    {
        Self { name, check: Arc::new(move || Box::pin(look().map(Ok))) }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({})", self.name)
    }
}

#[derive(Clone)]
struct Ops {
    drain: Drain,
    probes: Arc<[Probe]>,
    metrics: Option<Metrics>,
    document: Bytes,
    errors: Bytes,
}

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the server takes requests.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready`, `unready` or `draining`.
    status: &'static str,
    /// Each part the server depends on: `ok`, or what is wrong with it. Some it can do without for a while.
    parts: BTreeMap<&'static str, String>,
}

/// Routes for operators. `metrics` is `None` where they are switched off.
#[must_use]
pub fn ops_router(
    drain: Drain,
    probes: Vec<Probe>,
    metrics: Option<Metrics>,
    document: &OpenApi,
    errors: &[&ProblemKind],
) -> ApiRouter {
    let mut router = ApiRouter::new(OPERATIONS)
        .route(routes!(get_health), Access::Public, &[])
        .in_group(RouteGroup::Unlimited)
        .route(routes!(get_readiness), Access::Public, &[])
        .in_group(RouteGroup::Unlimited)
        .page("/openapi.json", get(openapi_json), Access::Public)
        .in_group(RouteGroup::Unlimited)
        .page("/docs", get(reference), Access::Public)
        .in_group(RouteGroup::Unlimited)
        .page("/docs/scalar.js", get(reference_program), Access::Public)
        .in_group(RouteGroup::Unlimited)
        .page("/docs/errors", get(error_codes), Access::Public)
        .in_group(RouteGroup::Unlimited)
        .page("/docs/errors.css", get(error_codes_style), Access::Public)
        .in_group(RouteGroup::Unlimited);
    if metrics.is_some() {
        router = router.page("/metrics", get(render_metrics), Access::Public).in_group(RouteGroup::Unlimited);
    }
    router.with_state(Ops {
        drain,
        probes: probes.into(),
        metrics,
        document: serde_json::to_vec(document.json()).expect("a document serializes").into(),
        errors: docs::errors_html(errors).into(),
    })
}

/// The tag of the routes for operators.
pub(crate) const OPERATIONS: Tag = Tag { name: "Operations", about: "For load balancers and monitors." };

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "It does", body = Health)))]
async fn get_health() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// Whether the server takes requests.
///
/// 503 while a part that it depends on is away, and from the beginning of a
/// shutdown, so that a balancer sends nothing more.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "It does", body = Readiness),
))]
async fn get_readiness(State(ops): State<Ops>) -> Response {
    let mut parts = BTreeMap::new();
    let mut good = true;
    for probe in ops.probes.iter() {
        let state = (probe.check)().await;
        good &= state.is_ok();
        parts.insert(probe.name, state.unwrap_or_else(|wrong| wrong));
    }
    let status = match (ops.drain.is_draining(), good) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "unready",
    };
    if status == "ready" {
        return Json(Readiness { status, parts }).into_response();
    }
    mainstay_core::problem::UNAVAILABLE
        .because(if status == "draining" {
            "The server is shutting down."
        } else {
            "A part that the server needs is away."
        })
        .with_extra("readiness", serde_json::json!(status))
        .with_extra("parts", serde_json::json!(parts))
        .into_response()
}

async fn render_metrics(State(ops): State<Ops>) -> Response {
    let Some(metrics) = ops.metrics else { return StatusCode::NOT_FOUND.into_response() };
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}

async fn openapi_json(State(ops): State<Ops>) -> Response {
    asset("application/json", ops.document, "public, max-age=60")
}

async fn error_codes(State(ops): State<Ops>) -> Response {
    let page = asset("text/html; charset=utf-8", ops.errors, "public, max-age=60");
    with_policy(page, "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'")
}

async fn error_codes_style() -> Response {
    asset("text/css", Bytes::from_static(docs::ERRORS_CSS.as_bytes()), "public, max-age=86400")
}

async fn reference() -> Response {
    let page = asset(
        "text/html; charset=utf-8",
        Bytes::from_static(docs::REFERENCE_HTML.as_bytes()),
        "public, max-age=60",
    );
    // The reference styles itself from its program; nothing else is loosened.
    with_policy(
        page,
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
         font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'",
    )
}

async fn reference_program() -> Response {
    // One copy for everybody: each call of get_asset makes another of three megabytes.
    static PROGRAM: std::sync::LazyLock<Bytes> =
        std::sync::LazyLock::new(|| scalar_api_reference::get_asset("scalar.js").unwrap_or_default().into());
    asset("text/javascript; charset=utf-8", PROGRAM.clone(), "public, max-age=86400")
}

fn asset(kind: &'static str, body: Bytes, cache: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    (headers, body).into_response()
}

fn with_policy(mut response: Response, policy: &'static str) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
