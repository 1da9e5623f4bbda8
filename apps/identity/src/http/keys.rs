//! The public keys.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_http::{ApiRouter, routes};
use utoipa::ToSchema;

use crate::error::AccountError;
use crate::keys::JWKS_MAX_AGE;
use crate::service::Accounts;

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router.route(routes!(get_jwks), Access::Public, &[])
}

/// The public keys that access tokens are signed with (RFC 7517).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the answer, which the signer writes")]
pub(crate) struct Jwks {
    /// Public keys.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<serde_json::Value>,
}

/// The public keys that access tokens are signed with.
#[utoipa::path(get, path = "/.well-known/jwks.json", responses((status = 200, description = "A JWK set", body = Jwks)))]
async fn get_jwks(State(accounts): State<Accounts>) -> Result<Response, Problem> {
    let keys = accounts.jwks().await.map_err(AccountError::from)?;
    let cache = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
    Ok(([(header::CACHE_CONTROL, cache)], Json(keys)).into_response())
}
