//! What every request passes on its way in and every answer on its way out.
//!
//! One function instead of a tower of layers: each layer would box the request's
//! future once more, and the order, which matters, stands here to be read.

use std::any::Any;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use mainstay_auth::Authenticator;
use mainstay_cache::CacheStatus;
use mainstay_core::problem::{
    BODY_TOO_LARGE, HEADERS_TOO_LARGE, INTERNAL, MALFORMED_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND,
    OVERLOADED, TIMEOUT, UNSUPPORTED_MEDIA_TYPE, URI_TOO_LONG,
};
use mainstay_core::{Problem, RequestId, Rng};
use mainstay_telemetry::{Metrics, latency_buckets};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tracing::Instrument as _;

use crate::compress;
use crate::context::Shared;
use crate::limit::{self, StampSlot};
use crate::respond::Links;
use crate::router::{Ruled, Rules, enter};
use crate::server::PeerAddr;
use crate::shape::PlacedShape;
use crate::{
    HttpSettings, Idempotency, RateLimits, RequestContext, RouteGroup, RouteInfo, TrustedProxies, cookies,
    same_origin,
};

/// What a [`Stack`] is made from.
#[derive(Clone)]
pub struct StackOptions {
    /// The `[http]` section.
    pub settings: HttpSettings,
    /// Who turns tokens into users. `None`: every token is refused.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Every route that the stack stands before; for what scopes can be about.
    pub routes: Vec<RouteInfo>,
    /// Randomness, for request ids.
    pub rng: Arc<dyn Rng>,
    /// Remembers the answers of requests with an `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// How errors look to people. `None`: as to programs.
    pub error_page: Option<ErrorPage>,
    /// How many calls are admitted. `None`: all.
    pub limits: Option<RateLimits>,
    /// Paths where errors are no problems ([`ApiRouter::error_shape`](crate::ApiRouter::error_shape)).
    pub error_shapes: Vec<PlacedShape>,
}

/// Makes the page that people see instead of a problem.
pub type ErrorPage = Arc<dyn Fn(&Failed<'_>) -> Response + Send + Sync>;

/// A request of a person that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Why.
    pub problem: &'a Problem,
    /// The id that the log has.
    pub request_id: &'a RequestId,
    /// Its method.
    pub method: &'a Method,
    /// Its path and query.
    pub uri: &'a Uri,
}

/// What every request passes. Cheap to clone.
#[derive(Clone)]
pub struct Stack(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    proxies: TrustedProxies,
    rng: Arc<dyn Rng>,
    timeout: Duration,
    in_flight_gauge: Gauge,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    is_tls: bool,
    cors: Option<CorsLayer>,
    error_page: Option<ErrorPage>,
    error_shapes: Vec<PlacedShape>,
    /// The routes of the console.
    pages: HashSet<String>,
    limits: Option<RateLimits>,
    /// Routes that are not limited.
    unlimited: HashSet<String>,
    rules: Rules,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    route: Route,
    status: u16,
}

/// The route's template: bounded in number, whatever paths are asked for.
#[derive(Clone, Debug)]
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("(none)", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl std::hash::Hash for Route {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Stack {
    /// A stack.
    ///
    /// # Panics
    /// If the settings were not checked ([`HttpSettings::check`]).
    #[must_use]
    pub fn new(options: StackOptions) -> Self {
        let StackOptions {
            settings,
            authenticator,
            routes,
            rng,
            idempotency,
            metrics,
            error_page,
            limits,
            error_shapes,
        } = options;
        if let Some(limits) = &limits {
            limits.bind(&routes);
        }
        let rules = Rules::of(&routes);
        let unlimited = routes.iter().filter(|route| route.group == RouteGroup::Unlimited);
        let unlimited = unlimited.map(|route| route.path.clone()).collect();
        let pages = routes.iter().filter(|route| route.by_cookie).map(|route| route.path.clone()).collect();
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let durations =
            metrics.register("http_request_duration_seconds", "Time from request to answer", durations);
        let in_flight_gauge =
            metrics.register("http_requests_in_flight", "Requests in progress", Gauge::default());
        Self(Arc::new(Inner {
            shared: Arc::new(Shared {
                authenticator,
                areas: areas(routes),
                max_body_bytes: settings.max_body_bytes,
                require_if_match: settings.require_if_match,
                session_cookie: cookies::session_name(settings.is_tls()),
                origin: same_origin::origin_of(&settings.public_url()),
                require_idempotency_key: settings.require_idempotency_key,
                idempotency,
                in_flight: AtomicUsize::new(0),
                max_in_flight: settings.max_in_flight,
            }),
            proxies: TrustedProxies::parse(&settings.trusted_proxies)
                .expect("checked when the settings were read"),
            rng,
            timeout: Duration::from_secs(settings.request_timeout_s),
            in_flight_gauge,
            durations,
            is_tls: settings.is_tls(),
            cors: cors(&settings.cors_origins),
            error_page,
            error_shapes,
            pages,
            limits,
            unlimited,
            rules,
        }))
    }

    /// The router with the whole stack before it.
    pub fn wrap(&self, router: Router) -> Router {
        let router = router.fallback(|| async { NOT_FOUND.because("Nothing is at this address.") });
        let router = router.layer(compress::layer()).layer(from_fn_with_state(self.clone(), pass));
        // Outermost: a browser must be let to read refusals too.
        match &self.0.cors {
            Some(cors) => router.layer(cors.clone()),
            None => router,
        }
    }
}

/// What scopes can be about, each area once.
fn areas(routes: Vec<RouteInfo>) -> Vec<String> {
    let scoped = routes.into_iter().filter(|route| !route.access.is_open() && route.access.asks_for_scopes());
    let areas: BTreeSet<_> = scoped.map(|route| route.area).collect();
    areas.into_iter().collect()
}

fn histogram() -> Histogram {
    Histogram::new(latency_buckets())
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let exposed = ["etag", "idempotent-replayed", "link", "location", "retry-after", "x-request-id"]
        .map(HeaderName::from_static)
        .into_iter()
        .chain(limit::NAMES)
        .collect::<Vec<_>>();
    let allowed =
        ["authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"];
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers(AllowHeaders::list(allowed.map(HeaderName::from_static)))
            .expose_headers(exposed)
            .max_age(Duration::from_secs(3600)),
    )
}

/// RFC 9211. In a request it is ours: `?1` asks for it.
static CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the answer needs to know of the request.
struct Asked {
    method: Method,
    uri: Uri,
    request_id: RequestId,
    seen: Option<HeaderValue>,
    /// Whether a person asks, who should see pages.
    by_person: bool,
    /// Whether the client wants to know what the cache did.
    cache_status: bool,
}

async fn pass(State(stack): State<Stack>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let stack = &*stack.0;
    let route = Route(request.extensions().get::<MatchedPath>().cloned());
    let asked = Asked {
        by_person: stack.is_for_people(&route, &request),
        method: request.method().clone(),
        uri: request.uri().clone(),
        request_id: request_id(&request, &*stack.rng),
        seen: request.headers().get(header::IF_NONE_MATCH).cloned(),
        cache_status: request.headers().get(&CACHE_STATUS).is_some_and(|asked| asked == "?1"),
    };
    let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip());
    let address = peer.map(|peer| stack.proxies.client(peer, request.headers()));
    let (request_id, shared, stamp) = (asked.request_id.clone(), stack.shared.clone(), StampSlot::default());
    let context = RequestContext { request_id, address, shared, stamp: stamp.clone() };
    request.extensions_mut().insert(context.clone());
    // Just the id: a span's fields are written out for every request, whether a line is logged or not.
    let span = tracing::info_span!("request", id = %asked.request_id);

    let always_served = matches!(asked.uri.path(), "/healthz" | "/readyz" | "/metrics");
    let response = match stack.enter(always_served) {
        Some(_inside) => {
            let response = handle(stack, &route, &context, request, next).instrument(span.clone()).await;
            stack.charge_stray(&route, address, &stamp, response).await
        }
        None => Problem::retry_later(&OVERLOADED, "Too many requests are in progress.", 1).into_response(),
    };
    let mut response = span.in_scope(|| stack.finish(&asked, response));
    stamp.write(response.headers_mut());

    let took = started.elapsed();
    let status = response.status().as_u16();
    let labels = Labels { method: method_label(&asked.method), route, status };
    stack.durations.get_or_create(&labels).observe(took.as_secs_f64());
    tracing::debug!(parent: &span, method = %asked.method, path = asked.uri.path(), status, duration_ms = took.as_secs_f64() * 1000.0, "answered");
    response
}

async fn handle(
    stack: &Inner,
    route: &Route,
    context: &RequestContext,
    request: Request,
    next: Next,
) -> Response {
    let guarded = AssertUnwindSafe(admit(stack, route, context, request, next)).catch_unwind();
    match tokio::time::timeout(stack.timeout, guarded).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => INTERNAL
            .because("The request could not be carried out.")
            .caused_by(panic_text(&*panic))
            .into_response(),
        Err(_) => {
            let detail = format!("The request took longer than {} seconds.", stack.timeout.as_secs());
            Problem::retry_later(&TIMEOUT, detail, 1).into_response()
        }
    }
}

/// Holds the request to its route's rule, then has it carried out.
async fn admit(
    stack: &Inner,
    route: &Route,
    context: &RequestContext,
    mut request: Request,
    next: Next,
) -> Response {
    let ruled = match &route.0 {
        Some(template) => stack.rules.find(template.as_str(), request.method()),
        None => Ruled::Elsewhere,
    };
    match ruled {
        Ruled::By(rule) => match enter(rule, context, request.method(), request.headers()).await {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
            }
            Err(problem) => return problem.into_response(),
        },
        Ruled::Elsewhere => {}
        Ruled::Unknown => {
            return INTERNAL
                .because("The request could not be carried out.")
                .caused_by(format!("{} has no access rule", route.as_str()))
                .into_response();
        }
    }
    next.run(request).await
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

fn request_id(request: &Request, rng: &dyn Rng) -> RequestId {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| RequestId::accept(value.to_str().ok()?));
    given.unwrap_or_else(|| RequestId::from_random(rng.bytes()))
}

/// Methods are few on purpose: a label that a client can make up has no bound.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// A request in progress.
struct Inside<'a>(&'a Inner);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.in_flight_gauge.dec();
    }
}

impl Inner {
    /// Counts a request in; `None` if there are too many.
    fn enter(&self, always: bool) -> Option<Inside<'_>> {
        let before = self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        self.in_flight_gauge.inc();
        let inside = Inside(self);
        (always || before < self.shared.max_in_flight).then_some(inside)
    }

    /// Counts what reached no route, and refuses it if it is too much. Routes count for themselves.
    async fn charge_stray(
        &self,
        route: &Route,
        address: Option<IpAddr>,
        stamp: &StampSlot,
        response: Response,
    ) -> Response {
        let is_stray = match response.status() {
            StatusCode::NOT_FOUND => route.0.is_none(),
            StatusCode::METHOD_NOT_ALLOWED => true,
            _ => false,
        };
        match &self.limits {
            Some(limits) if is_stray && stamp.is_empty() && !self.unlimited.contains(route.as_str()) => {
                let charged = limits.charge_stray(address, stamp).await;
                charged.map_or_else(Problem::into_response, |()| response)
            }
            _ => response,
        }
    }

    fn finish(&self, asked: &Asked, mut response: Response) -> Response {
        if asked.method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allow = response.headers_mut().remove(header::ALLOW);
            response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().extend(allow.map(|allow| (header::ALLOW, allow)));
        }
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            log(&problem, asked);
            response = self.render(&problem, asked, response);
        } else if let Some(problem) = unmapped(&response) {
            response = self.render(&problem, asked, response);
        }
        if asked.has_seen(&response) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        if let Some(links) = response.extensions_mut().remove::<Links>()
            && let Some(link) = links.header(asked.uri.path(), asked.uri.query().unwrap_or_default())
        {
            response.headers_mut().insert(header::LINK, link);
        }
        if let Some(status) = response.extensions_mut().remove::<CacheStatus>()
            && asked.cache_status
        {
            response.headers_mut().insert(&CACHE_STATUS, status.header());
        }
        self.add_headers(asked, &mut response);
        response
    }

    /// Whether whoever asks for this should see pages. An address that leads nowhere is a
    /// person's if their browser says so.
    fn is_for_people(&self, route: &Route, request: &Request) -> bool {
        match &route.0 {
            Some(route) => self.pages.contains(route.as_str()),
            None => {
                let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
                !request.uri().path().starts_with("/api/")
                    && accepted.is_some_and(|accepted| accepted.contains("text/html"))
            }
        }
    }

    fn render(&self, problem: &Problem, asked: &Asked, old: Response) -> Response {
        match &self.error_page {
            Some(page) if asked.by_person => {
                let Asked { method, uri, request_id, .. } = asked;
                let mut response = page(&Failed { problem, request_id, method, uri });
                for (name, value) in old.headers() {
                    // What is said of the other body, or to programs.
                    let of_old = [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::WWW_AUTHENTICATE];
                    if !of_old.contains(name) {
                        response.headers_mut().entry(name).or_insert(value.clone());
                    }
                }
                if *method == Method::HEAD {
                    *response.body_mut() = Body::empty();
                }
                response
            }
            _ => {
                let shape = self.error_shapes.iter().find(|shape| shape.covers(asked.uri.path()));
                render(problem, asked, old, shape)
            }
        }
    }

    fn add_headers(&self, asked: &Asked, response: &mut Response) {
        const FIXED: [(HeaderName, &str); 7] = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("permissions-policy"),
                "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            ),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            ),
            (header::CACHE_CONTROL, "private, no-store"),
        ];
        let headers = response.headers_mut();
        // At once, instead of growing three times.
        headers.reserve(FIXED.len() + 4);
        for (name, value) in FIXED {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if self.is_tls {
            let value = HeaderValue::from_static("max-age=63072000; includeSubDomains");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
        if let Ok(id) = HeaderValue::from_str(asked.request_id.as_str()) {
            headers.insert(REQUEST_ID.clone(), id);
        }
    }
}

impl Asked {
    /// Whether the client has this very answer already (RFC 9110 §13.1.2, weak comparison).
    fn has_seen(&self, response: &Response) -> bool {
        let reads = matches!(self.method, Method::GET | Method::HEAD) && response.status() == StatusCode::OK;
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let (Some(seen), Some(tag)) = (&self.seen, response.headers().get(header::ETAG)) else {
            return false;
        };
        let (Ok(seen), Ok(tag)) = (seen.to_str(), tag.to_str()) else { return false };
        reads && seen.split(',').any(|one| opaque(one) == opaque(tag))
    }
}

/// A refusal of the framework's own, which knows nothing of problems.
fn unmapped(response: &Response) -> Option<Problem> {
    let status = response.status();
    if status.as_u16() < 400 {
        return None;
    }
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("text/plain");
    if !kind.starts_with("text/plain") {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => NOT_FOUND.because("Nothing is at this address."),
        StatusCode::METHOD_NOT_ALLOWED => {
            METHOD_NOT_ALLOWED.because("This address does not take this method.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => BODY_TOO_LARGE.because("The body is too large."),
        StatusCode::URI_TOO_LONG => URI_TOO_LONG.because("The address is too long."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            UNSUPPORTED_MEDIA_TYPE.because("The content type is not taken here.")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            HEADERS_TOO_LARGE.because("The headers are too large.")
        }
        status if status.is_client_error() => MALFORMED_REQUEST.because("The request can't be read."),
        _ => INTERNAL.because("The request could not be carried out."),
    })
}

/// Logs the private cause, once, where the request's span is known.
fn log(problem: &Problem, asked: &Asked) {
    let (code, detail) = (problem.kind().code, problem.detail());
    // Paths only: queries hold what people search for, and sometimes tokens.
    let (method, path) = (asked.method.as_str(), asked.uri.path());
    match (problem.kind().status, problem.cause_chain()) {
        (500, cause) => tracing::error!(code, method, path, detail, cause, "request failed"),
        (501.., cause) => tracing::warn!(code, method, path, detail, cause, "request refused"),
        (_, Some(cause)) => tracing::info!(code, method, path, detail, cause, "request refused"),
        (_, None) => tracing::debug!(code, method, path, detail, "request refused"),
    }
}

fn render(problem: &Problem, asked: &Asked, old: Response, shape: Option<&PlacedShape>) -> Response {
    let (status, kind, body) = match shape {
        Some(shape) => shape.answer(problem),
        None => {
            let body = problem.body(asked.uri.path(), asked.request_id.as_str());
            (problem.kind().status(), "application/problem+json", body)
        }
    };
    let (mut parts, _) = old.into_parts();
    parts.status = status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // A body timeout leaves the rest of the body on the wire: nothing more can be read from it.
    if parts.status == StatusCode::REQUEST_TIMEOUT {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if asked.method == Method::HEAD { Body::empty() } else { Body::from(body.to_string()) };
    Response::from_parts(parts, body)
}
