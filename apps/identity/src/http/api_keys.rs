//! API keys over HTTP.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::Response;
use http::StatusCode;
use mainstay_auth::{Access, Caller, Scope, Scopes};
use mainstay_core::input::{InputValue, Raw};
use mainstay_core::{Faults, Page, Paging, Problem, Sorting, Timestamp};
use mainstay_http::{
    ApiRouter, Created, Id, IdempotencyKey, Idempotent, Listing, RequestContext, Valid, ValidQuery, routes,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{ApiKey, ApiKeyId, CredentialName, LimitPolicy};
use crate::error::{API_KEY_NOT_FOUND, AccountError, TOO_MANY_API_KEYS};
use crate::service::{Accounts, MadeApiKey, NewApiKey};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .route(routes!(list_api_keys), Access::Session, &[])
        .route(routes!(create_api_key), Access::Session, &[&TOO_MANY_API_KEYS])
        .route(routes!(revoke_api_key), Access::Session, &[&API_KEY_NOT_FOUND])
        .route(routes!(limit_api_key), Access::AdminSession, &[&API_KEY_NOT_FOUND])
        .route(routes!(unlimit_api_key), Access::AdminSession, &[&API_KEY_NOT_FOUND])
}

/// Scopes, and at least one: a key without any would open nothing.
#[derive(Clone, Debug)]
pub struct ScopeList(Vec<Scope>);

impl InputValue for ScopeList {
    fn schema() -> Value {
        let mut schema = Vec::<Scope>::schema();
        schema["minItems"] = 1.into();
        schema
    }

    fn read(raw: Raw<'_>, at: &str, faults: &mut Faults) -> Option<Self> {
        let scopes = Vec::read(raw, at, faults)?;
        if scopes.is_empty() {
            faults.add(at, "too_short", "must name at least one scope; leave it out for all of them");
            return None;
        }
        Some(Self(scopes))
    }
}

mainstay_core::input! {
    /// An API key to make.
    pub struct CreateApiKey {
        /// What it is for.
        name: CredentialName,
        /// What it may be used for, out of what you may do: `*` for everything, `read` for
        /// everything that only reads, or areas such as `library:read` and `library:write`, which
        /// covers reading too. `["*"]` if absent.
        scopes: Option<ScopeList>,
        /// When it ends. Never, if absent.
        expires_at: Option<Timestamp>,
    }
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyView {
    #[schema(inline)]
    id: ApiKeyId,
    /// What it is for.
    name: String,
    /// Its first characters.
    prefix: String,
    /// What it may be used for.
    #[schema(value_type = Vec<String>)]
    scopes: Scopes,
    created_at: Timestamp,
    /// When it ends; `null` if it does not.
    expires_at: Option<Timestamp>,
    /// When it was last used, to the minute; `null` if never.
    last_used_at: Option<Timestamp>,
    /// The name of the rate limit that an administrator gave it; `null`: that of every user.
    limit_policy: Option<String>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        let ApiKey {
            id,
            user_id: _,
            name,
            prefix,
            scopes,
            created_at,
            expires_at,
            last_used_at,
            limit_policy,
        } = key;
        Self { id, name, prefix, scopes, created_at, expires_at, last_used_at, limit_policy }
    }
}

/// An API key just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewApiKey)]
pub(crate) struct MadeApiKeyView {
    #[serde(flatten)]
    key_data: ApiKeyView,
    /// The key itself. It is shown only here: send it as `Authorization: Bearer …` or `X-Api-Key: …`.
    key: String,
}

impl From<MadeApiKey> for MadeApiKeyView {
    fn from(MadeApiKey { key, secret }: MadeApiKey) -> Self {
        Self { key_data: key.into(), key: secret.expose().to_owned() }
    }
}

/// The orders of the list of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialOrder {
    /// By the moment they were made.
    CreatedAt,
}

impl Sorting for CredentialOrder {
    const ALL: &'static [(&'static str, Self)] = &[("created_at", Self::CreatedAt)];
    const DEFAULT: (Self, bool) = (Self::CreatedAt, true);
}

mainstay_core::input! {
    /// Which keys to list.
    pub struct ListApiKeys {
        /// Paging.
        paging: Paging<CredentialOrder>,
    }
}

/// List your API keys
///
/// Those that have expired stay until you delete them. The keys themselves are not shown.
#[utoipa::path(
    get,
    path = "/auth/api-keys",
    params(ListApiKeys),
    responses((status = 200, description = "A page of your keys", body = Page<ApiKeyView>)),
)]
async fn list_api_keys(
    State(accounts): State<Accounts>,
    caller: Caller,
    ValidQuery(ListApiKeys { paging }): ValidQuery<ListApiKeys>,
) -> Result<Listing<ApiKeyView>, Problem> {
    let user = caller.require_user()?.user_id;
    let page = accounts.api_keys.list(&caller.actor(), user, &paging).await?;
    Ok(Listing { page: page.map(ApiKeyView::from), cache: None })
}

/// Make an API key
///
/// It acts as you, with the roles that you have at the time, as far as its scopes go. At most 50 at a time.
#[utoipa::path(
    post,
    path = "/auth/api-keys",
    params(IdempotencyKey),
    request_body = CreateApiKey,
    responses((
        status = 201, description = "The key was made", body = MadeApiKeyView,
        headers(("Location" = String, description = "Its path")),
    )),
)]
async fn create_api_key(
    State(accounts): State<Accounts>,
    Extension(context): Extension<RequestContext>,
    caller: Caller,
    request: Idempotent<CreateApiKey>,
) -> Result<Response, Problem> {
    let user = caller.require_user()?.user_id;
    request
        .run(async |body| {
            let CreateApiKey { name, scopes, expires_at } = body;
            let scopes =
                scopes.map_or_else(|| Ok(Scopes::all()), |ScopeList(list)| known(list, context.areas()))?;
            let unit = accounts.db.write(&caller.actor()).await.map_err(AccountError::from)?;
            let made = accounts.api_keys.create(&unit, user, NewApiKey { name, scopes, expires_at }).await?;
            let location = format!("/api/v1/auth/api-keys/{}", made.key.id);
            Ok::<_, Problem>((unit, Created { location, etag: None, body: MadeApiKeyView::from(made) }))
        })
        .await
}

/// The scopes, if each is about something that is here. A misspelled area must not
/// become a key that works nowhere.
fn known(scopes: Vec<Scope>, areas: &[String]) -> Result<Scopes, Faults> {
    let mut faults = Faults::default();
    for (index, scope) in scopes.iter().enumerate() {
        if scope.area().is_some_and(|area| areas.iter().all(|known| known != area)) {
            let message = format!("is about no area that is here; there are {}", areas.join(", "));
            faults.add(format!("scopes[{index}]"), "unknown_area", message);
        }
    }
    faults.into_result()?;
    Ok(scopes.into_iter().collect())
}

/// Revoke an API key
///
/// It opens nothing from then on; on other nodes within a second.
#[utoipa::path(
    delete,
    path = "/auth/api-keys/{id}",
    params(("id" = String, Path, format = "uuid", description = "Names the key")),
    responses((status = 204, description = "The key is revoked")),
)]
async fn revoke_api_key(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    let user = caller.require_user()?.user_id;
    accounts.api_keys.revoke(&caller.actor(), user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

mainstay_core::input! {
    /// A rate limit for an API key.
    pub struct LimitApiKey {
        /// The name of a policy in the settings, `[limits.policies.NAME]`.
        policy: LimitPolicy,
    }
}

/// Give an API key a rate limit of its own
///
/// Anybody's key; its owner sees the id. It takes the place of the limit of every user, and counts at once; on
/// other nodes within a second.
#[utoipa::path(
    put,
    path = "/auth/api-keys/{id}/limit",
    params(("id" = String, Path, format = "uuid", description = "Names the key")),
    request_body = LimitApiKey,
    responses((status = 200, description = "The key as it is now", body = ApiKeyView)),
)]
async fn limit_api_key(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<ApiKeyId>,
    Valid(LimitApiKey { policy }): Valid<LimitApiKey>,
) -> Result<Json<ApiKeyView>, Problem> {
    let policy = policy.into_string();
    let key = accounts.api_keys.limit(&caller.actor(), id, Some(&policy)).await?;
    Ok(Json(key.into()))
}

/// Put an API key back under the rate limit of every user
#[utoipa::path(
    delete,
    path = "/auth/api-keys/{id}/limit",
    params(("id" = String, Path, format = "uuid", description = "Names the key")),
    responses((status = 200, description = "The key as it is now", body = ApiKeyView)),
)]
async fn unlimit_api_key(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(id): Id<ApiKeyId>,
) -> Result<Json<ApiKeyView>, Problem> {
    let key = accounts.api_keys.limit(&caller.actor(), id, None).await?;
    Ok(Json(key.into()))
}
