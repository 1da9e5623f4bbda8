//! Services over HTTP: their credentials, and what they may ask.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use mainstay_auth::{Access, Caller, Role, Roles, Scopes};
use mainstay_core::{Faults, Page, Paging, Problem, ServiceId, Timestamp, UserId};
use mainstay_http::{
    ApiRouter, Created, Id, IdempotencyKey, Idempotent, Listing, ValidQuery, extract, routes,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::api_keys::CredentialOrder;
use crate::domain::{CredentialName, Service};
use crate::error::{AccountError, SERVICE_NOT_FOUND};
use crate::repo::ServiceName;
use crate::service::{Accounts, ActiveToken, MadeService, TokenType};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .route(routes!(list_services), Access::Admin, &[])
        .route(routes!(create_service), Access::AdminSession, &[])
        .route(routes!(revoke_service), Access::AdminSession, &[&SERVICE_NOT_FOUND])
        .route(routes!(verify), Access::Identified, &[])
        .route(routes!(introspect), Access::Service, &[])
}

mainstay_core::input! {
    /// A service to make.
    pub struct CreateService {
        /// What it is called.
        name: CredentialName,
    }
}

/// Another program that may ask about tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceView {
    #[schema(inline)]
    id: ServiceId,
    /// What it is called.
    name: String,
    /// The public half of its credential: the user of HTTP Basic.
    client_id: String,
    created_at: Timestamp,
}

impl From<Service> for ServiceView {
    fn from(service: Service) -> Self {
        let Service { id, name, client_id, created_at } = service;
        Self { id, name, client_id, created_at }
    }
}

/// A service just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewService)]
pub(crate) struct MadeServiceView {
    #[serde(flatten)]
    service: ServiceView,
    /// The secret half of its credential: the password of HTTP Basic. It is shown only here.
    client_secret: String,
}

impl From<MadeService> for MadeServiceView {
    fn from(MadeService { service, secret }: MadeService) -> Self {
        Self { service: service.into(), client_secret: secret.expose().to_owned() }
    }
}

mainstay_core::input! {
    /// Which services to list.
    pub struct ListServices {
        /// Paging.
        paging: Paging<CredentialOrder>,
    }
}

/// List services
#[utoipa::path(
    get,
    path = "/auth/services",
    params(ListServices),
    responses((status = 200, description = "A page of the services", body = Page<ServiceView>)),
)]
async fn list_services(
    State(accounts): State<Accounts>,
    caller: Caller,
    ValidQuery(ListServices { paging }): ValidQuery<ListServices>,
) -> Result<Listing<ServiceView>, Problem> {
    let page = accounts.services.list(&caller.actor(), &paging).await?;
    Ok(Listing { page: page.map(ServiceView::from), cache: None })
}

/// Make a service
///
/// With its credential another program may ask what tokens are worth.
#[utoipa::path(
    post,
    path = "/auth/services",
    params(IdempotencyKey),
    request_body = CreateService,
    responses((
        status = 201, description = "The service was made", body = MadeServiceView,
        headers(("Location" = String, description = "Its path")),
    )),
)]
async fn create_service(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Idempotent<CreateService>,
) -> Result<Response, Problem> {
    request
        .run(async |CreateService { name }| {
            let unit = accounts.services.begin(&caller.actor()).await?;
            let made = accounts.services.create(&unit, name).await?;
            let location = format!("/api/v1/auth/services/{}", made.service.id);
            Ok::<_, AccountError>((unit, Created { location, etag: None, body: MadeServiceView::from(made) }))
        })
        .await
}

/// Revoke a service's credential
///
/// It opens nothing from then on; on other nodes within a second.
#[utoipa::path(
    delete,
    path = "/auth/services/{id}",
    params(("id" = String, Path, format = "uuid", description = "Names the service")),
    responses((status = 204, description = "The credential is revoked")),
)]
async fn revoke_service(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<ServiceId>,
) -> Result<StatusCode, Problem> {
    accounts.services.revoke(&caller.actor(), &ServiceName::Id(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose credentials these are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verified {
    /// Always `true`: other credentials are refused with 401.
    valid: bool,
    #[schema(inline)]
    user_id: UserId,
    /// The name the account goes by.
    username: String,
    /// System roles, as they are now.
    #[schema(value_type = Vec<Role>, inline)]
    roles: Roles,
    /// What an API key may be used for. Absent for an access token, which is not restricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    scopes: Option<Scopes>,
    /// The session of an access token. Absent for an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    session_id: Option<Uuid>,
    /// When the credentials end, in seconds since 1970; `null` if they do not.
    exp: Option<i64>,
    /// `bearer` or `api_key`.
    #[schema(pattern = "^(bearer|api_key)$")]
    token_type: &'static str,
}

/// Check your credentials
///
/// For gateways: pass on the header of a request, and let the request through on 200.
#[utoipa::path(
    get,
    path = "/auth/verify",
    responses((
        status = 200, description = "Whose credentials these are", body = Verified,
        headers(("Cache-Control" = String, description = "`no-store`")),
    )),
)]
async fn verify(State(accounts): State<Accounts>, caller: Caller) -> Result<Response, Problem> {
    let user = caller.require_user()?;
    let username = accounts.usernames.get(user.user_id).await.map_err(AccountError::from)?;
    let token_type = if user.scopes().is_some() { TokenType::ApiKey } else { TokenType::Access };
    let verified = Verified {
        valid: true,
        user_id: user.user_id,
        username: username.ok_or(AccountError::Gone)?,
        roles: user.roles,
        scopes: user.scopes().cloned(),
        session_id: user.session_id(),
        exp: user.ends_at.map(Timestamp::seconds),
        token_type: token_type.name(),
    };
    Ok(unstored(verified))
}

fn unstored(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// A token to look into (RFC 7662 §2.1).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form, which is read pair by pair")]
pub(crate) struct Introspect {
    /// The token: an access token, an API key or a refresh token.
    token: String,
    /// Accepted and not used: every kind is told by its form.
    token_type_hint: Option<String>,
}

/// What a token is worth (RFC 7662 §2.2). Only `active`, if it is worth nothing.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Introspection {
    /// Whether it opens anything now.
    active: bool,
    /// The user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    sub: Option<UserId>,
    /// The name the account goes by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
    /// What it may be used for, with spaces between the scopes; `*` is everything the user may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    /// `bearer` for access tokens, `api_key` or `refresh_token`. Let nobody in with a refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^(bearer|api_key|refresh_token)$")]
    token_type: Option<&'static str>,
    /// When it ends, in seconds since 1970. Absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<i64>,
    /// When it was given out, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iat: Option<i64>,
    /// Who gave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    aud: Option<String>,
    /// Its own id. Absent for refresh tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    jti: Option<Uuid>,
    /// The user's system roles, as they are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Role>>, nullable = false)]
    roles: Option<Roles>,
}

impl From<ActiveToken> for Introspection {
    fn from(token: ActiveToken) -> Self {
        let ActiveToken {
            token_type,
            user_id,
            username,
            roles,
            scopes,
            id,
            issued_at_s,
            expires_at_s,
            issuer,
            audience,
        } = token;
        Self {
            active: true,
            sub: Some(user_id),
            username: Some(username),
            scope: Some(scopes.to_text()),
            token_type: Some(token_type.name()),
            exp: expires_at_s,
            iat: Some(issued_at_s),
            iss: Some(issuer),
            aud: Some(audience),
            jti: id,
            roles: Some(roles),
        }
    }
}

/// Look into a token
///
/// RFC 7662, for other programs. Of a token that is unknown, expired, revoked or of an
/// account that was switched off, nothing is told but that it is not active.
#[utoipa::path(
    post,
    path = "/auth/introspect",
    request_body(content = Introspect, content_type = "application/x-www-form-urlencoded"),
    responses((
        status = 200, description = "What the token is worth", body = Introspection,
        headers(("Cache-Control" = String, description = "`no-store`")),
    )),
)]
async fn introspect(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.require_service()?;
    let form = extract::form_pairs(request).await?;
    let mut tokens = form.iter().filter(|(name, _)| name == "token").map(|(_, value)| value);
    let token = tokens.next().ok_or_else(|| Faults::one("token", "required", "is required"))?;
    if tokens.next().is_some() {
        return Err(Faults::one("token", "repeated", "must be given once").into());
    }
    let found = accounts.introspect(token).await?;
    Ok(unstored(found.map_or_else(Introspection::default, Introspection::from)))
}
