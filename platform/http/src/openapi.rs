//! The OpenAPI 3.1 document, from the routes' own declarations.

use std::collections::{BTreeMap, HashMap};

use http::Method;
use mainstay_auth::{Access, Scope};
use mainstay_core::ProblemKind;
use mainstay_core::problem::{
    BODY_TOO_LARGE, FORBIDDEN, INSUFFICIENT_SCOPE, INTERNAL, MALFORMED_BODY, MALFORMED_HEADER,
    MALFORMED_REQUEST, NOT_FOUND, OVERLOADED, PRECONDITION_REQUIRED, RATE_LIMITED, REQUEST_TIMEOUT, STALE,
    TIMEOUT, UNAUTHENTICATED, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE, VALIDATION_FAILED,
};
use serde_json::{Map, Value, json};

use crate::idempotency::{
    IDEMPOTENCY_IN_PROGRESS, IDEMPOTENCY_KEY_REQUIRED, IDEMPOTENCY_KEY_REUSED, KEY_PATTERN, is_key_parameter,
};
use crate::shape::ErrorShape;
use crate::{ApiRouter, Tag};

/// The document of a whole server.
#[derive(Clone, Debug)]
pub struct OpenApi(Value);

impl OpenApi {
    /// The document of these routers.
    ///
    /// # Panics
    /// If two declare different schemas under one name: a fault in the code that every start shows,
    /// as two handlers for one path are.
    #[must_use]
    pub fn of<'a>(routers: impl IntoIterator<Item = &'a ApiRouter>, version: &str) -> Self {
        let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        let mut schemas = Schemas::default();
        let mut tags: Vec<Tag> = Vec::new();
        schemas.add(PLATFORM, "Problem", &problem_schema());
        schemas.add(PLATFORM, "Fault", &schema_of::<mainstay_core::Fault>());
        for router in routers {
            for operation in router.operations() {
                let methods = paths.entry(&operation.path).or_default();
                methods.insert(operation.method.as_str().to_lowercase(), operation.value.clone());
            }
            for (name, schema) in router.schemas() {
                schemas.add(router.tag().name, name, schema);
            }
            if !router.operations().is_empty() && !tags.contains(&router.tag()) {
                tags.push(router.tag());
            }
        }
        let tags: Vec<_> =
            tags.iter().map(|tag| json!({"name": tag.name, "description": tag.about})).collect();
        Self(json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Mainstay",
                "version": version,
                "description": INTRODUCTION,
                "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            },
            "tags": tags,
            "paths": paths,
            "components": {
                "schemas": schemas.by_name,
                "headers": limit_headers(),
                "securitySchemes": {
                    "bearer": {
                        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                        "description": "The `access_token` that a sign-in gives, or an API key.",
                    },
                    "api_key": {
                        "type": "apiKey", "in": "header", "name": "X-Api-Key",
                        "description": "A key from `POST /api/v1/auth/api-keys`. It may do what its owner may, \
                            as far as its scopes go (`x-required-scope`).",
                    },
                    "service": {
                        "type": "http", "scheme": "basic",
                        "description": "The `client_id` and `client_secret` of a service, which an administrator makes.",
                    },
                },
            },
        }))
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Statuses that an operation documents; `None` if it is not in the document.
    #[must_use]
    pub fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        self.0["paths"].get(path)?.get(method.to_lowercase())
    }
}

/// Who declares what no app does.
const PLATFORM: &str = "the platform";

/// The schemas of a document. One stands there for everybody who names it, so two must not differ.
#[derive(Default)]
struct Schemas<'a> {
    by_name: Map<String, Value>,
    declared_by: HashMap<&'a str, &'a str>,
}

impl<'a> Schemas<'a> {
    /// Adds one that is declared under the heading `by`; the same one as often as anybody likes.
    fn add(&mut self, by: &'a str, name: &'a str, schema: &Value) {
        let first = *self.declared_by.entry(name).or_insert(by);
        let known = self.by_name.entry(name).or_insert_with(|| schema.clone());
        assert!(
            known == schema,
            "the schema {name} is declared twice, and not the same: under {first:?} and under {by:?}; \
             one of the types needs another name"
        );
    }
}

const PROBLEM_JSON: &str = "application/problem+json";

const INTRODUCTION: &str = "\
Every error is a [problem](https://www.rfc-editor.org/rfc/rfc9457) with a stable `code`; \
[the list of codes](/docs/errors) says what each means and what to do about it. \
Lists are paged by `page` or by `cursor`. Single resources have an `ETag`: send it back in `If-Match` \
so that nobody's change is overwritten, and in `If-None-Match` to hear whether something changed. \
Every answer carries `X-Request-Id`, and all that are limited say in `RateLimit-Policy`, `RateLimit` and \
`X-RateLimit-*` how many calls are left; beyond that the answer is 429 with `Retry-After`.";

fn schema_of<T: utoipa::PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("schemas serialize")
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457 problem details.",
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "Leads to the description of `code`."},
            "title": {"type": "string", "description": "Summary, the same for every occurrence."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is particular to this occurrence."},
            "instance": {"type": "string", "format": "uri-reference", "description": "The path of the request."},
            "code": {"type": "string", "pattern": "^[a-z_]+$", "description": "Stable; for programs to compare with."},
            "request_id": {"type": "string", "description": "The request's id, in the server's log too."},
            "errors": {
                "type": "array", "items": {"$ref": "#/components/schemas/Fault"},
                "description": "Every fault of the input, field by field.",
            },
        },
    })
}

/// `*`, or entity tags in double quotes with commas between them (RFC 9110 §13.1.1).
/// The tags that we give out hold no comma. An empty header is none.
const IF_MATCH_PATTERN: &str = r#"^(\*|(W/)?"[!#-+\--~]*"(, ?(W/)?"[!#-+\--~]*")*)?$"#;

/// A header is text or absent, never `null`, as `Option<String>` would have it.
fn complete_header(parameter: &mut Value) {
    let schema = &mut parameter["schema"];
    if schema.pointer("/type/1") == Some(&json!("null")) {
        schema["type"] = schema["type"][0].take();
    }
    if is_if_match(parameter) {
        parameter["schema"]["pattern"] = json!(IF_MATCH_PATTERN);
    }
    if is_key_parameter(parameter) {
        parameter["schema"]["pattern"] = json!(KEY_PATTERN);
    }
}

/// A body that may be left out must not be `null` for that, which `Option<T>` says of it.
fn complete_body(operation: &mut Value) {
    let content = operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut);
    for media_type in content.into_iter().flat_map(|content| content.values_mut()) {
        let either = media_type["schema"]["oneOf"].as_array();
        let present = either.and_then(|either| either.iter().find(|schema| schema["type"] != "null"));
        if let Some(schema) = present.cloned() {
            media_type["schema"] = schema;
        }
    }
}

fn is_if_match(parameter: &Value) -> bool {
    parameter["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("if-match"))
}

/// Completes what a handler declared: tag, security, parameters in headers, and
/// every problem it can answer with.
pub(crate) fn complete(
    mut operation: Value,
    tag: Tag,
    access: Access,
    method: &Method,
    own: &[&'static ProblemKind],
    shape: Option<&ErrorShape>,
) -> Value {
    operation["tags"] = json!([tag.name]);
    if let Some(summary) = operation["summary"].as_str() {
        // A heading, though it began as a sentence.
        operation["summary"] = summary.trim_end_matches('.').into();
    }
    operation["security"] = match access {
        Access::Public | Access::Anybody => json!([{}, {"bearer": []}, {"api_key": []}]),
        Access::Identified | Access::SignedIn | Access::Staff | Access::Admin => {
            json!([{"bearer": []}, {"api_key": []}])
        }
        Access::Session | Access::AdminSession => json!([{"bearer": []}]),
        Access::Service => json!([{"service": []}]),
    };
    if needs_scope(access) {
        operation["x-required-scope"] = json!(Scope::needed(&tag.area(), method).to_string());
    }
    if let Some(role) = access.role() {
        operation["x-required-role"] = json!(role.name());
    }
    complete_body(&mut operation);
    let given = operation.get_mut("parameters").and_then(Value::as_array_mut);
    given.into_iter().flatten().filter(|parameter| parameter["in"] == "header").for_each(complete_header);
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let has_parameter = |place: &str| parameters.iter().any(|parameter| parameter["in"] == place);
    let mut kinds: Vec<&'static ProblemKind> = vec![
        &MALFORMED_REQUEST,
        &UNAUTHENTICATED,
        &RATE_LIMITED,
        &INTERNAL,
        &OVERLOADED,
        &TIMEOUT,
        &UNAVAILABLE,
    ];
    match access {
        Access::Public | Access::Anybody | Access::Identified | Access::SignedIn | Access::Service => {}
        Access::Session | Access::Staff | Access::Admin | Access::AdminSession => kinds.push(&FORBIDDEN),
    }
    if needs_scope(access) {
        kinds.push(&INSUFFICIENT_SCOPE);
    }
    if operation.get("requestBody").is_some() {
        kinds.extend([
            &MALFORMED_BODY,
            &REQUEST_TIMEOUT,
            &BODY_TOO_LARGE,
            &UNSUPPORTED_MEDIA_TYPE,
            &VALIDATION_FAILED,
        ]);
    }
    if has_parameter("query") {
        kinds.extend([&MALFORMED_BODY, &VALIDATION_FAILED]);
    }
    if has_parameter("path") {
        kinds.push(&NOT_FOUND);
    }
    if parameters.iter().any(is_if_match) {
        kinds.push(&MALFORMED_HEADER);
    }
    let conditional = operation["parameters"]
        .as_array()
        .is_some_and(|list| list.iter().any(|parameter| parameter["name"] == "If-Match"));
    if conditional {
        kinds.extend([&STALE, &PRECONDITION_REQUIRED]);
    }
    if operation["parameters"].as_array().is_some_and(|list| list.iter().any(is_key_parameter)) {
        kinds.extend([
            &MALFORMED_HEADER,
            &IDEMPOTENCY_KEY_REQUIRED,
            &IDEMPOTENCY_IN_PROGRESS,
            &IDEMPOTENCY_KEY_REUSED,
        ]);
        declare_replays(&mut operation);
    }
    kinds.extend(own);
    let mut by_status: BTreeMap<u16, Vec<&'static ProblemKind>> = BTreeMap::new();
    for kind in kinds {
        let status = shape.map_or(kind.status, |shape| (shape.status)(kind));
        let of_status = by_status.entry(status).or_default();
        if !of_status.contains(&kind) {
            of_status.push(kind);
        }
    }
    for (status, kinds) in by_status {
        let response = &mut operation["responses"][status.to_string()];
        let problem = match shape {
            Some(shape) => shape.response(&kinds),
            None => problem_response(&kinds),
        };
        // A protocol's own shape may stand beside the problem under the same status.
        if shape.is_none() && response["content"].is_object() {
            response["content"][PROBLEM_JSON] = problem["content"][PROBLEM_JSON].clone();
        } else {
            *response = problem;
        }
    }
    declare_limits(&mut operation);
    operation
}

/// The headers of limited answers, with what each is.
const LIMIT_HEADERS: [(&str, &str, &str, &str); 5] = [
    (
        "RateLimit-Policy",
        "string",
        "The limits that the call is under: how many (`q`) in how many seconds (`w`). Structured field.",
        "\"default\";q=100;w=60",
    ),
    (
        "RateLimit",
        "string",
        "What is left of them (`r`), and in how many seconds more will be (`t`). Structured field.",
        "\"default\";r=42;t=17",
    ),
    ("X-RateLimit-Limit", "integer", "How many calls the tightest of them admits.", "100"),
    ("X-RateLimit-Remaining", "integer", "How many of them are left.", "42"),
    ("X-RateLimit-Reset", "integer", "Seconds until its window frees a place; 0 if all are free.", "17"),
];

fn limit_headers() -> Map<String, Value> {
    let header = |(name, kind, about, example): (&str, &str, &str, &str)| {
        let example =
            if kind == "integer" { example.parse::<u32>().unwrap_or(0).into() } else { json!(example) };
        (name.to_owned(), json!({"description": about, "schema": {"type": kind}, "example": example}))
    };
    LIMIT_HEADERS.into_iter().map(header).collect()
}

/// Whether an answer of this status says that it has the headers. All limited answers have them; the
/// document says it where clients look.
fn tells_limits(status: &str) -> bool {
    status.starts_with('2') || status == "429"
}

fn declare_limits(operation: &mut Value) {
    let responses = operation["responses"].as_object_mut();
    for (status, response) in responses.into_iter().flatten().filter(|(status, _)| tells_limits(status)) {
        for (name, ..) in LIMIT_HEADERS {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
        if status == "429" {
            response["headers"]["Retry-After"] = json!({
                "description": "Seconds until the call would be admitted if no other came.",
                "schema": {"type": "integer", "minimum": 0},
            });
        }
    }
}

/// Takes back what is said of limits, for an operation that has none.
pub(crate) fn without_limits(operation: &mut Value) {
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    responses.remove("429");
    for response in responses.values_mut() {
        if let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) {
            for (name, ..) in LIMIT_HEADERS {
                headers.remove(name);
            }
            if headers.is_empty() {
                response.as_object_mut().map(|response| response.remove("headers"));
            }
        }
    }
}

/// Whether an API key is refused there for want of a scope.
fn needs_scope(access: Access) -> bool {
    !access.is_open() && access.asks_for_scopes()
}

/// Each answer of an attempt that took effect may be the first one once more.
fn declare_replays(operation: &mut Value) {
    let responses = operation["responses"].as_object_mut();
    let successes = responses.into_iter().flatten().filter(|(status, _)| status.starts_with('2'));
    for (_, response) in successes {
        response["headers"]["Idempotent-Replayed"] = json!({
            "description": "There, and `true`, if this is the first answer to the `Idempotency-Key` once more.",
            "schema": {"type": "string", "enum": ["true"]},
        });
    }
}

fn problem_response(kinds: &[&'static ProblemKind]) -> Value {
    let codes: Vec<_> = kinds.iter().map(|kind| kind.code).collect();
    let titles: Vec<_> = kinds.iter().map(|kind| kind.title).collect();
    let examples: Map<String, Value> = kinds
        .iter()
        .map(|kind| {
            let mut value = json!({
                "type": kind.type_uri(), "title": kind.title, "status": kind.status, "detail": kind.help,
                "instance": "/api/v1/…", "code": kind.code, "request_id": "5f0c7d3e9a1b4c2d8e6f7a8b9c0d1e2f",
            });
            if kind.status == 422 {
                value["errors"] = json!([{"field": "title", "code": "required", "message": "is required"}]);
            }
            (kind.code.to_owned(), json!({"summary": kind.title, "value": value}))
        })
        .collect();
    json!({
        "description": titles.join(", or "),
        "content": {PROBLEM_JSON: {
            "schema": {"allOf": [
                {"$ref": "#/components/schemas/Problem"},
                {"type": "object", "properties": {"code": {"type": "string", "enum": codes}}},
            ]},
            "examples": examples,
        }},
    })
}

#[cfg(test)]
mod tests {
    use utoipa_axum::routes;

    use super::*;

    mod shop {
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "declared for its schema")]
        pub(super) struct NewOrder {
            article: String,
        }

        #[utoipa::path(post, path = "/orders", request_body = NewOrder, responses((status = 204)))]
        pub(super) async fn order() {}

        #[utoipa::path(put, path = "/orders/{id}", request_body = NewOrder, responses((status = 204)))]
        pub(super) async fn replace_order() {}
    }

    mod abbey {
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "declared for its schema")]
        pub(super) struct NewOrder {
            founded_in: u16,
        }

        #[utoipa::path(post, path = "/abbeys", request_body = NewOrder, responses((status = 204)))]
        pub(super) async fn found() {}
    }

    mod careless {
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "declared for its schema")]
        pub(super) struct Problem {
            answer: u8,
        }

        #[utoipa::path(post, path = "/riddles", request_body = Problem, responses((status = 204)))]
        pub(super) async fn riddle() {}
    }

    fn router(name: &'static str) -> ApiRouter {
        ApiRouter::new(Tag { name, about: "" })
    }

    #[test]
    fn one_schema_may_be_declared_by_many() {
        let shop = router("Shop").route(routes!(shop::order), Access::Public, &[]);
        let back_office = router("Back office").route(routes!(shop::replace_order), Access::Staff, &[]);
        let document = OpenApi::of([&shop, &back_office], "1.0.0");
        let declared = &document.json()["components"]["schemas"]["NewOrder"];
        assert!(declared["properties"]["article"].is_object(), "{declared}");
    }

    #[test]
    #[should_panic(
        expected = r#"the schema NewOrder is declared twice, and not the same: under "Shop" and under "Abbey""#
    )]
    fn two_schemas_under_one_name_are_refused() {
        let shop = router("Shop").route(routes!(shop::order), Access::Public, &[]);
        let abbey = router("Abbey").route(routes!(abbey::found), Access::Public, &[]);
        let _ = OpenApi::of([&shop, &abbey], "1.0.0");
    }

    #[test]
    #[should_panic(expected = r#"under "Shop" and under "Shop""#)]
    fn not_even_one_app_may_declare_two() {
        let shop = router("Shop").route(routes!(shop::order), Access::Public, &[]);
        let shop = shop.route(routes!(abbey::found), Access::Public, &[]);
        let _ = OpenApi::of([&shop], "1.0.0");
    }

    #[test]
    #[should_panic(
        expected = r#"the schema Problem is declared twice, and not the same: under "the platform" and"#
    )]
    fn the_shape_of_errors_stays_the_platforms() {
        let riddles = router("Riddles").route(routes!(careless::riddle), Access::Public, &[]);
        let _ = OpenApi::of([&riddles], "1.0.0");
    }

    #[test]
    fn a_condition_is_text_with_a_pattern_and_can_be_malformed() {
        let declared = json!({
            "parameters": [{"name": "If-Match", "in": "header", "schema": {"type": ["string", "null"]}}],
            "responses": {},
        });
        let completed =
            complete(declared, Tag { name: "Things", about: "" }, Access::Public, &Method::GET, &[], None);

        let schema = &completed["parameters"][0]["schema"];
        assert_eq!(*schema, json!({"type": "string", "pattern": IF_MATCH_PATTERN}));
        let examples = &completed["responses"]["400"]["content"][PROBLEM_JSON]["examples"];
        assert!(examples["malformed_header"].is_object(), "{examples}");
    }

    #[test]
    fn a_body_that_may_be_left_out_is_not_null() {
        let schema = json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Note"}]});
        let declared = json!({"requestBody": {
            "required": false,
            "content": {"application/json": {"schema": schema}},
        }});
        let tag = Tag { name: "Notes", about: "None." };
        let operation = complete(declared, tag, Access::SignedIn, &Method::POST, &[], None);
        let body = &operation["requestBody"];
        assert_eq!(body["required"], false);
        let schema = &body["content"]["application/json"]["schema"];
        assert_eq!(*schema, json!({"$ref": "#/components/schemas/Note"}));
    }

    #[test]
    fn a_key_has_a_pattern_refusals_of_its_own_and_replays() {
        let declared = json!({
            "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": ["string", "null"]}}],
            "responses": {"201": {"description": "Made"}},
        });
        let tag = Tag { name: "Things", about: "" };
        let completed = complete(declared, tag, Access::Public, &Method::POST, &[], None);

        assert_eq!(completed["parameters"][0]["schema"], json!({"type": "string", "pattern": KEY_PATTERN}));
        assert!(completed["responses"]["201"]["headers"]["Idempotent-Replayed"].is_object());
        for (status, code) in [
            ("400", "malformed_header"),
            ("400", "idempotency_key_required"),
            ("409", "idempotency_in_progress"),
            ("422", "idempotency_key_reused"),
        ] {
            let examples = &completed["responses"][status]["content"][PROBLEM_JSON]["examples"];
            assert!(examples[code].is_object(), "{status} {code}: {examples}");
        }
    }

    #[test]
    fn security_and_refusals_follow_the_access_rule() {
        let of = |access| {
            let tag = Tag { name: "Lost things", about: "" };
            let completed = complete(json!({"responses": {}}), tag, access, &Method::PATCH, &[], None);
            let schemes: Vec<_> =
                completed["security"].as_array().unwrap().iter().map(Value::to_string).collect();
            let codes = completed["responses"]["403"]["content"][PROBLEM_JSON]["examples"]
                .as_object()
                .map(|examples| examples.keys().cloned().collect::<Vec<_>>().join(" "));
            (schemes.join(" "), completed["x-required-scope"].clone(), codes.unwrap_or_default())
        };
        let expect = |security: &str, scope: Option<&str>, codes: &str| {
            (security.to_owned(), scope.map_or(Value::Null, Value::from), codes.to_owned())
        };
        let (user, scope) = (r#"{"bearer":[]} {"api_key":[]}"#, Some("lost_things:write"));
        assert_eq!(of(Access::Public), expect(r#"{} {"bearer":[]} {"api_key":[]}"#, None, ""));
        assert_eq!(of(Access::SignedIn), expect(user, scope, "insufficient_scope"));
        assert_eq!(of(Access::Session), expect(r#"{"bearer":[]}"#, None, "forbidden"));
        for access in [Access::Staff, Access::Admin] {
            let (security, needed, codes) = of(access);
            assert_eq!((security, needed), (user.to_owned(), scope.map_or(Value::Null, Value::from)));
            assert!(codes.contains("forbidden") && codes.contains("insufficient_scope"), "{codes}");
        }
        assert_eq!(of(Access::Service), expect(r#"{"service":[]}"#, None, ""));
    }
}
