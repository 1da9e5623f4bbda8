//! A server in the test's own process: the stack before one app.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mainstay_auth::{AuthError, Authenticator, Credentials, Principal, Roles, SignedIn, Via};
use mainstay_core::seal::RootKey;
use mainstay_core::{Clock, ManualClock, OsRng, Timestamp, UserId};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{DatabaseSettings, Db, DbOptions};
use mainstay_http::{HttpSettings, Idempotency, Stack, StackOptions};
use mainstay_telemetry::Metrics;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::boxes::{self, Control};

/// A database and the time, which nodes share.
pub struct House {
    pub database: TestDatabase,
    pub clock: Arc<ManualClock>,
    pub control: Arc<Control>,
}

/// One server of the house.
#[derive(Clone)]
pub struct Node {
    router: Router,
    pub db: Db,
    pub metrics: Metrics,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub json: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// Takes for a user's token the user's id.
struct ById;

#[async_trait::async_trait]
impl Authenticator for ById {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, AuthError> {
        let Credentials::Bearer(token) = credentials else { return Err(AuthError::Refused) };
        let user_id: UserId = token.parse().map_err(|_| AuthError::Refused)?;
        let via = Via::Session(user_id.uuid());
        Ok(Principal::User(SignedIn { user_id, roles: Roles::of(&[]), via, ends_at: None }))
    }

    fn made_here(&self, _: Credentials<'_>) -> bool {
        true
    }
}

impl House {
    pub async fn build() -> Self {
        let mut migrations = mainstay_http::migrations();
        migrations.push(boxes::MIGRATION);
        Self {
            database: TestDatabase::migrated(&migrations).await,
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_769_851_800_000))),
            control: Arc::default(),
        }
    }

    /// One more node.
    pub fn node(&self) -> Node {
        self.node_with(HttpSettings::default(), self.database.settings())
    }

    pub fn node_with(&self, settings: HttpSettings, database: DatabaseSettings) -> Node {
        let (metrics, rng) = (Metrics::new(), Arc::new(OsRng));
        let clock: Arc<dyn Clock> = self.clock.clone();
        let options = DbOptions { settings: database, clock, rng: rng.clone(), metrics: metrics.clone() };
        let db = Db::open(options).unwrap();
        let routes = boxes::routes(db.clone(), self.control.clone()).under("/api/v1");
        let root_key = RootKey::new("a secret for tests");
        let stack = Stack::new(StackOptions {
            settings,
            authenticator: Some(Arc::new(ById)),
            routes: routes.routes().to_vec(),
            idempotency: Idempotency::new(db.clone(), &root_key, rng.clone(), &metrics),
            rng,
            metrics: metrics.clone(),
            error_page: None,
            limits: None,
            error_shapes: Vec::new(),
        });
        Node { router: stack.wrap(routes.into_axum()), db, metrics }
    }
}

impl Node {
    /// POST of JSON with headers.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::from(body.to_string())).unwrap();
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Reply { status: parts.status, headers: parts.headers, bytes, json }
    }
}
