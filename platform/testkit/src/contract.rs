use http::{Method, StatusCode};
use mainstay::http::{OpenApi, RouteInfo};
use mainstay_db::Db;
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use serde_json::Value;

use crate::client::Reply;

/// What the API promises: its routes and its document.
#[derive(Debug)]
pub struct Contract {
    routes: Vec<RouteInfo>,
    document: OpenApi,
    db: Db,
}

/// Changes that may have changed nothing, and so left nothing to audit.
const MAY_CHANGE_NOTHING: &[&str] = &["/api/v1/auth/logout", "/api/v1/auth/logout-all"];

impl Contract {
    pub(crate) fn new(routes: Vec<RouteInfo>, document: OpenApi, db: Db) -> Self {
        Self { routes, document, db }
    }

    /// Every route.
    #[must_use]
    pub fn routes(&self) -> &[RouteInfo] {
        &self.routes
    }

    /// The OpenAPI document.
    #[must_use]
    pub fn document(&self) -> &OpenApi {
        &self.document
    }

    /// Fails the test if the document does not promise this answer.
    ///
    /// # Panics
    /// With what the document lacks.
    pub(crate) fn check(&self, method: &Method, path: &str, reply: &Reply) {
        let as_get = if method == Method::HEAD { &Method::GET } else { method };
        let route = self.routes.iter().filter(|route| route.method == as_get && fits(&route.path, path));
        // A static path wins over one with a parameter.
        let Some(route) = route.min_by_key(|route| route.path.matches('{').count()) else { return };
        let operation = self.document.operation(as_get.as_str(), &route.path);
        let Some(operation) = operation.filter(|_| route.documented) else { return };
        let status = reply.status.as_u16().to_string();
        let promised = &operation["responses"][&status];
        let what = format!("{method} {} answered {status}", route.path);
        assert!(promised.is_object(), "{what}, which its documentation does not name: {}", reply.text());
        if reply.status == StatusCode::NOT_MODIFIED {
            return;
        }
        let kind = reply.header("content-type");
        let kind = kind.split(';').next().unwrap_or_default();
        let documented = promised["content"].as_object();
        let fits = documented.map_or(kind.is_empty(), |content| content.contains_key(kind));
        assert!(fits, "{what} with the content type {kind:?}, which its documentation does not name");
        if reply.status.is_client_error() || reply.status.is_server_error() {
            check_problem(&what, promised, reply);
        }
    }

    /// Fails the test if this answer to a change left no entry in the audit log.
    ///
    /// An answer of 200 proves no change (a PATCH may change nothing), and a replayed
    /// one is the answer to an earlier request.
    ///
    /// # Panics
    /// With the route whose service does not audit.
    pub(crate) async fn check_audited(&self, method: &Method, path: &str, reply: &Reply) {
        let changed =
            matches!(reply.status, StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::NO_CONTENT);
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let ours = self.routes.iter().any(|route| route.method == *method && fits(&route.path, path));
        let replayed = !reply.header("idempotent-replayed").is_empty();
        if !changed || reads || replayed || !ours || MAY_CHANGE_NOTHING.contains(&path) {
            return;
        }
        let entries = Query::select()
            .column("action")
            .from("audit_log")
            .and_where(Expr::col("request_id").eq(reply.header("x-request-id")))
            .to_owned();
        let entries = self.db.primary().query_all(&entries).await.expect("the audit log can be read");
        assert!(
            !entries.is_empty(),
            "{method} {path} answered {} and left nothing in the audit log",
            reply.status
        );
    }
}

fn check_problem(what: &str, promised: &Value, reply: &Reply) {
    if !reply.header("content-type").starts_with("application/problem+json") {
        return;
    }
    let codes =
        &promised["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"];
    let known = codes.as_array().is_some_and(|codes| codes.iter().any(|code| code == reply.code()));
    assert!(
        known || reply.bytes.is_empty(),
        "{what} {:?}, which its documentation does not name: {codes}",
        reply.code()
    );
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given))
                if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}
