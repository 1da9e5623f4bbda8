//! What a request carries in its extensions besides what it brought along.

use std::net::IpAddr;
use std::sync::Arc;

use mainstay_auth::Authenticator;
use mainstay_core::RequestId;

use crate::Idempotency;
use crate::limit::StampSlot;

/// What the stack knows of a request. A few pointers: cheap to clone.
#[derive(Clone)]
pub struct RequestContext {
    /// Its id.
    pub request_id: RequestId,
    /// The client's address, after trusted proxies. `None` for a request that did not come over a socket.
    pub address: Option<IpAddr>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stamp: StampSlot,
}

impl RequestContext {
    /// The areas that scopes of API keys can be about: those of the routes that users sign in for, in order.
    #[must_use]
    pub fn areas(&self) -> &[String] {
        &self.shared.areas
    }
}

/// What all requests of one server share.
pub(crate) struct Shared {
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) areas: Vec<String>,
    pub(crate) max_body_bytes: usize,
    pub(crate) require_if_match: bool,
    /// The name of the cookie that holds a browser's session.
    pub(crate) session_cookie: &'static str,
    /// Where people reach the server: scheme, host and port.
    pub(crate) origin: String,
    pub(crate) require_idempotency_key: bool,
    pub(crate) idempotency: Idempotency,
    /// Requests that are being worked for: those whose body is still to come are not.
    pub(crate) in_flight: std::sync::atomic::AtomicUsize,
    pub(crate) max_in_flight: usize,
}
