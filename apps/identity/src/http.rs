//! Accounts over HTTP.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use mainstay_auth::{Access, Caller, Role, Roles};
use mainstay_core::input::Text as _;
use mainstay_core::{Faults, Patch, Problem, Timestamp};
use mainstay_http::{ApiRouter, Created, ETag, IfMatch, Tag, Tagged, Valid, extract, routes};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Email, NewPassword, Password, User, Username};
use crate::error::{AccountError, EMAIL_TAKEN, INVALID_CREDENTIALS, TOKEN_INVALID, USERNAME_TAKEN};
use crate::service::{Accounts, Device, Grant, LoginName, NewUser, ProfilePatch};

const IDENTITY: Tag = Tag { name: "Identity", about: "Accounts and sign-ins." };

pub(crate) fn routes() -> ApiRouter<Accounts> {
    ApiRouter::new(IDENTITY)
        .route(routes!(register), Access::Public, &[&EMAIL_TAKEN, &USERNAME_TAKEN])
        .route(routes!(login), Access::Public, &[&INVALID_CREDENTIALS])
        .route(routes!(issue_token), Access::Public, &[])
        .route(routes!(get_me), Access::SignedIn, &[])
        .route(routes!(update_me), Access::SignedIn, &[&USERNAME_TAKEN])
        .route(routes!(setup), Access::Public, &[&TOKEN_INVALID, &EMAIL_TAKEN, &USERNAME_TAKEN])
}

pub(crate) fn root_routes() -> ApiRouter<Accounts> {
    ApiRouter::new(IDENTITY).route(routes!(get_jwks), Access::Public, &[])
}

mainstay_core::text_type! {
    /// A person's name: 1 to 100 characters.
    pub struct PersonName(1..=100);
}

mainstay_core::input! {
    /// An account to make.
    pub struct Register {
        /// E-mail address. Unique, whatever its case.
        email: Email,
        /// 8 to 256 characters of any kind. Not among the most common passwords, not your address or name.
        password: NewPassword,
        /// The name the account goes by: 3 to 50 letters, digits, `.`, `_` and `-`. Made from the address if absent.
        username: Option<Username>,
        /// Your name.
        name: Option<PersonName>,
    }
}

mainstay_core::input! {
    /// A sign-in: the password, and either the address or the username.
    pub struct Login {
        /// E-mail address.
        email: Option<String>,
        /// Username, instead of the address.
        username: Option<String>,
        /// Password.
        password: Password,
    }
}

mainstay_core::input! {
    /// What to change of one's own account.
    pub struct UpdateMe {
        /// The name the account goes by.
        username: Patch<Username>,
        /// Your name; `null` removes it.
        name: Patch<Option<PersonName>>,
    }
}

mainstay_core::input! {
    /// The first administrator.
    pub struct Setup {
        /// The token that the server printed when it started.
        token: String,
        /// E-mail address.
        email: Email,
        /// Password.
        password: NewPassword,
    }
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    #[schema(inline)]
    id: mainstay_core::UserId,
    /// E-mail address.
    email: String,
    /// The name the account goes by.
    username: String,
    /// The person's name.
    name: Option<String>,
    /// System roles.
    #[schema(value_type = Vec<Role>, inline)]
    roles: Roles,
    /// Whether the address was proven.
    email_verified: bool,
    /// Whether the account may sign in.
    is_active: bool,
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let User { id, email, username, name, roles, email_verified, is_active, version: _, created_at } =
            user;
        Self { id, email, username, name, roles, email_verified, is_active, created_at }
    }
}

/// What a sign-in gives (RFC 6749 §5.1).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenPair {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `bearer`.
    #[schema(pattern = "^bearer$")]
    token_type: &'static str,
    /// Seconds until the token expires.
    expires_in: u32,
}

impl From<Grant> for TokenPair {
    fn from(grant: Grant) -> Self {
        let Grant { access_token, expires_in } = grant;
        Self { access_token, token_type: "bearer", expires_in }
    }
}

/// Create an account.
///
/// The account has the role `user`.
#[utoipa::path(post, path = "/auth/register", request_body = Register, responses(
    (status = 201, description = "The account", body = UserView, headers(("Location" = String, description = "Where the account's owner finds it"), ("ETag" = String, description = "Its version"))),
))]
async fn register(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<Register>,
) -> Result<impl IntoResponse, Problem> {
    let Register { email, password, username, name } = body;
    let new = NewUser {
        email,
        password,
        username,
        name: name.map(PersonName::into_string),
        roles: Roles::of(&[Role::User]),
        email_verified: false,
    };
    let user = accounts.register(&caller.actor(), new).await?;
    Ok(created(user))
}

fn created(user: User) -> Created<UserView> {
    Created { location: "/api/v1/auth/me".to_owned(), etag: Some(ETag(user.version)), body: user.into() }
}

/// Sign in.
#[utoipa::path(post, path = "/auth/login", request_body = Login, responses(
    (status = 200, description = "An access token", body = TokenPair),
))]
async fn login(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    Valid(body): Valid<Login>,
) -> Result<Json<TokenPair>, Problem> {
    let Login { email, username, password } = body;
    let name = match (email, username) {
        (Some(email), None) => LoginName::Email(email.trim().to_owned()),
        (None, Some(username)) => LoginName::Username(username.trim().to_owned()),
        (None, None) => {
            return Err(Faults::one("email", "required", "is required, or username instead").into());
        }
        (Some(_), Some(_)) => {
            return Err(Faults::one("username", "exclusive", "can't be combined with email").into());
        }
    };
    let grant = accounts.login(&caller.actor(), &name, &password, device(&caller, &headers)).await?;
    Ok(Json(grant.into()))
}

fn device(caller: &Caller, headers: &HeaderMap) -> Device {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Device {
        user_agent: user_agent.map(|text| text.chars().take(255).collect()),
        address: caller.actor().address.map(|address| address.to_string()),
    }
}

/// The form of the OAuth 2 password grant.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form; parameters that are not known must be ignored, so it is read by hand"
)]
pub(crate) struct TokenForm {
    /// `password`.
    #[schema(pattern = "^password$")]
    grant_type: String,
    /// E-mail address or username.
    #[schema(min_length = 1)]
    username: String,
    #[schema(format = Password, min_length = 1, max_length = 1024)]
    password: String,
    /// Accepted and not used.
    scope: Option<String>,
}

/// An OAuth 2 error (RFC 6749 §5.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OAuthError {
    /// `invalid_request`, `invalid_grant` or `unsupported_grant_type`.
    error: &'static str,
    /// For a person.
    error_description: String,
}

impl OAuthError {
    fn because(error: &'static str, description: impl Into<String>) -> Response {
        let body = Self { error, error_description: description.into() };
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

/// Sign in as OAuth 2 clients do.
///
/// The resource owner password grant (RFC 6749 §4.3), for clients that speak
/// it already. Refusals have OAuth's own shape.
#[utoipa::path(post, path = "/auth/token",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "An access token", body = TokenPair),
        (status = 400, description = "Refused, as OAuth says it", body = OAuthError),
    )
)]
async fn issue_token(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let form = extract::form_pairs(request).await?;
    let mut names = HashSet::new();
    if let Some((name, _)) = form.iter().find(|(name, _)| !names.insert(name.as_str())) {
        let shown: String = name.chars().take(100).collect();
        return Ok(OAuthError::because("invalid_request", format!("{shown} is given twice")));
    }
    let get = |name: &str| {
        form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    };
    match get("grant_type") {
        None => return Ok(OAuthError::because("invalid_request", "grant_type is missing")),
        Some("password") => {}
        Some(_) => {
            return Ok(OAuthError::because("unsupported_grant_type", "only the password grant is offered"));
        }
    }
    let (Some(username), Some(password)) = (get("username"), get("password")) else {
        return Ok(OAuthError::because("invalid_request", "username or password is missing"));
    };
    let Ok(password) = Password::parse(password) else {
        return Ok(OAuthError::because("invalid_grant", "wrong name or password"));
    };
    let username = username.trim().to_owned();
    // PostgreSQL has no NUL in its texts, so nobody is called that.
    if username.contains('\0') {
        return Ok(OAuthError::because("invalid_grant", "wrong name or password"));
    }
    let name =
        if username.contains('@') { LoginName::Email(username) } else { LoginName::Username(username) };
    match accounts.login(&caller.actor(), &name, &password, device(&caller, &headers)).await {
        Ok(grant) => Ok(Json(TokenPair::from(grant)).into_response()),
        Err(AccountError::InvalidCredentials) => {
            Ok(OAuthError::because("invalid_grant", "wrong name or password"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The caller's own account.
#[utoipa::path(get, path = "/auth/me", responses(
    (status = 200, description = "The account", body = UserView, headers(("ETag" = String, description = "Its version"))),
    (status = 304, description = "Nothing changed since the ETag in If-None-Match"),
))]
async fn get_me(State(accounts): State<Accounts>, caller: Caller) -> Result<Tagged<UserView>, Problem> {
    let user = accounts.get(caller.require_user()?.user_id).await?;
    let version = user.version;
    Ok(Tagged::changed(user.into(), version))
}

/// Change the caller's own account.
#[utoipa::path(patch, path = "/auth/me", request_body = UpdateMe,
    params(("If-Match" = Option<String>, Header, description = "The ETag of the state to change")),
    responses((status = 200, description = "The account", body = UserView, headers(("ETag" = String, description = "Its new version"))))
)]
async fn update_me(
    State(accounts): State<Accounts>,
    caller: Caller,
    condition: IfMatch,
    Valid(body): Valid<UpdateMe>,
) -> Result<Tagged<UserView>, Problem> {
    let UpdateMe { username, name } = body;
    let name = match name {
        Patch::Keep => Patch::Keep,
        Patch::Set(name) => Patch::Set(name.map(PersonName::into_string)),
    };
    let id = caller.require_user()?.user_id;
    let user =
        accounts.update_profile(&caller.actor(), id, ProfilePatch { username, name }, &condition).await?;
    let version = user.version;
    Ok(Tagged::changed(user.into(), version))
}

/// Create the first administrator.
///
/// Takes the one-time token that `mainstay serve` prints while there is none.
#[utoipa::path(post, path = "/setup", request_body = Setup, responses(
    (status = 201, description = "The administrator", body = UserView, headers(("Location" = String, description = "Where the account's owner finds it"), ("ETag" = String, description = "Its version"))),
))]
async fn setup(
    State(accounts): State<Accounts>,
    caller: Caller,
    Valid(body): Valid<Setup>,
) -> Result<impl IntoResponse, Problem> {
    let Setup { token, email, password } = body;
    let new = NewUser {
        email,
        password,
        username: None,
        name: None,
        roles: Roles::default(),
        email_verified: true,
    };
    let user = accounts.setup(&caller.actor(), &token, new).await?;
    Ok(created(user))
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
async fn get_jwks(State(accounts): State<Accounts>) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(accounts.jwks())).into_response()
}
