use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mainstay::http::server::PeerAddr;
use mainstay_db::testing::TestDatabase;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::contract::Contract;

/// Somebody who makes requests, straight into the router.
#[derive(Clone, Debug)]
pub struct Client {
    router: Router,
    contract: Arc<Contract>,
    token: Option<String>,
    address: Option<IpAddr>,
    /// Held, so that a caller can outlive the app that it was made from.
    _database: Arc<TestDatabase>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as it came.
    pub bytes: Vec<u8>,
    /// Its body as JSON; `Null` if it is none.
    pub json: Value,
}

impl Reply {
    /// The `code` of a problem; empty if it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Field and code of each fault of a 422.
    #[must_use]
    pub fn faults(&self) -> Vec<(&str, &str)> {
        let faults = self.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        faults
            .iter()
            .map(|fault| {
                (fault["field"].as_str().unwrap_or_default(), fault["code"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// A header's text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Client {
    pub(crate) fn new(
        router: Router,
        contract: Arc<Contract>,
        database: Arc<TestDatabase>,
        token: Option<String>,
    ) -> Self {
        Self { router, contract, token, address: None, _database: database }
    }

    /// The caller's access token, if they are signed in.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The same caller with another access token.
    #[must_use]
    pub fn bearing(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller, coming from this address.
    #[must_use]
    pub fn from_address(&self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self.clone() }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path), Body::empty()).await
    }

    /// GET with headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(with(self.request(Method::GET, path), headers), Body::empty()).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.json(Method::POST, path, &[], &body).await
    }

    /// PUT of a JSON body with headers.
    pub async fn put(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        self.json(Method::PUT, path, headers, &body).await
    }

    /// PATCH with a JSON body and headers.
    pub async fn patch(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        self.json(Method::PATCH, path, headers, &body).await
    }

    /// DELETE with headers.
    pub async fn delete(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(with(self.request(Method::DELETE, path), headers), Body::empty()).await
    }

    /// Anything else: a method, headers, and a body as it is.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        self.send(with(self.request(method, path), headers), body.into()).await
    }

    async fn json(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let request =
            with(self.request(method, path), headers).header(header::CONTENT_TYPE, "application/json");
        self.send(request, Body::from(body.to_string())).await
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        match &self.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    async fn send(&self, request: http::request::Builder, body: Body) -> Reply {
        let mut request = request.body(body).expect("the test builds a request");
        if let Some(address) = self.address {
            request.extensions_mut().insert(PeerAddr(SocketAddr::new(address, 40_000)));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body comes to its end").to_bytes().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let reply = Reply { status: parts.status, headers: parts.headers, bytes, json };
        self.contract.check(&method, &path, &reply);
        self.contract.check_audited(&method, &path, &reply).await;
        reply
    }
}

fn with(request: http::request::Builder, headers: &[(&str, &str)]) -> http::request::Builder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}
