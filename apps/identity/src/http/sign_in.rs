//! Signing in.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use mainstay_auth::{Access, Caller};
use mainstay_core::input::Text as _;
use mainstay_core::{Faults, Problem};
use mainstay_http::{ApiRouter, RouteGroup, Valid, extract, routes};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Password;
use crate::error::{
    AccountError, EMAIL_NOT_VERIFIED, INVALID_CREDENTIALS, INVALID_REFRESH_TOKEN, LOGIN_LOCKED, whole_seconds,
};
use crate::events::SignInMethod;
use crate::service::{Accounts, Device, Grant, LoginName, SignIn};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .route(routes!(login), Access::Anybody, &[&INVALID_CREDENTIALS, &EMAIL_NOT_VERIFIED, &LOGIN_LOCKED])
        .in_group(RouteGroup::Auth)
        .route(routes!(issue_token), Access::Anybody, &[])
        .in_group(RouteGroup::Auth)
        .route(routes!(refresh), Access::Anybody, &[&INVALID_REFRESH_TOKEN])
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

/// What a sign-in gives (RFC 6749 §5.1).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenPair {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Gives a new pair when the access token has expired. Works once; keep the one that comes with it.
    refresh_token: String,
    /// Always `bearer`.
    #[schema(pattern = "^bearer$")]
    token_type: &'static str,
    /// Seconds until the token expires.
    expires_in: u32,
}

impl From<Grant> for TokenPair {
    fn from(grant: Grant) -> Self {
        let Grant { access_token, refresh_token, expires_in } = grant;
        Self { access_token, refresh_token, token_type: "bearer", expires_in }
    }
}

mainstay_core::input! {
    /// A refresh.
    pub struct Refresh {
        /// The refresh token of the last pair.
        refresh_token: String,
    }
}

/// Sign in.
///
/// Five wrong passwords within a quarter of an hour lock the account for a minute,
/// each five more for twice as long, up to an hour: 429 with `Retry-After`. Twenty from one address
/// limit the address likewise.
#[utoipa::path(post, path = "/auth/login", request_body = Login, responses(
    (status = 200, description = "An access token and a refresh token", body = TokenPair),
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
    let device = device(&caller, &headers);
    let sign_in = SignIn { name, password, method: SignInMethod::Password, device };
    let grant = accounts.login(&caller.actor(), sign_in).await?;
    Ok(Json(grant.into()))
}

pub(crate) fn device(caller: &Caller, headers: &HeaderMap) -> Device {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Device {
        user_agent: user_agent.map(|text| text.chars().take(255).collect()),
        address: caller.actor().address.map(|address| address.to_string()),
    }
}

/// Get a new pair of tokens.
///
/// The refresh token dies; the new pair holds the next one. Sent again within ten
/// seconds, before the next one is used, it gives the same pair: answers get lost. Any other reuse ends the session.
#[utoipa::path(post, path = "/auth/refresh", request_body = Refresh, responses(
    (status = 200, description = "An access token and the next refresh token", body = TokenPair),
))]
async fn refresh(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    Valid(Refresh { refresh_token }): Valid<Refresh>,
) -> Result<Json<TokenPair>, Problem> {
    let grant = accounts.refresh(&caller.actor(), &refresh_token, device(&caller, &headers)).await?;
    Ok(Json(grant.into()))
}

/// The forms of the two OAuth 2 grants.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form; parameters that are not known must be ignored, so it is read by hand"
)]
pub(crate) struct TokenForm {
    /// `password` or `refresh_token`.
    #[schema(pattern = "^(password|refresh_token)$")]
    grant_type: String,
    /// E-mail address or username. For `password`.
    #[schema(min_length = 1)]
    username: Option<String>,
    /// For `password`.
    #[schema(format = Password, min_length = 1, max_length = 1024)]
    password: Option<String>,
    /// For `refresh_token`.
    #[schema(min_length = 1)]
    refresh_token: Option<String>,
    /// Accepted and not used.
    scope: Option<String>,
}

/// An OAuth 2 error (RFC 6749 §5.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OAuthError {
    /// `invalid_request`, `invalid_grant`, `unsupported_grant_type` or `slow_down`.
    error: &'static str,
    /// For a person.
    error_description: String,
}

impl OAuthError {
    fn because(error: &'static str, description: impl Into<String>) -> Response {
        let body = Self { error, error_description: description.into() };
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }

    /// In OAuth's shape what OAuth knows of; everything else is a problem as elsewhere.
    fn of(error: AccountError) -> Result<Response, Problem> {
        match error {
            AccountError::InvalidCredentials => Ok(Self::because("invalid_grant", WRONG)),
            AccountError::InvalidRefreshToken => Ok(Self::because(
                "invalid_grant",
                "the refresh token has expired, was used, or never existed",
            )),
            AccountError::EmailNotVerified => {
                Ok(Self::because("invalid_grant", "the e-mail address must be verified before signing in"))
            }
            AccountError::Locked(remaining) => {
                let wait = [(header::RETRY_AFTER, whole_seconds(remaining).to_string())];
                let body =
                    Self { error: "slow_down", error_description: "too many failed sign-ins".to_owned() };
                Ok((StatusCode::TOO_MANY_REQUESTS, wait, Json(body)).into_response())
            }
            error => Err(error.into()),
        }
    }
}

const WRONG: &str = "wrong name or password";

/// Sign in as OAuth 2 clients do.
///
/// The resource owner password grant (RFC 6749 §4.3) and the refresh grant (§6), for
/// clients that speak them already. Refusals have OAuth's own shape.
#[utoipa::path(post, path = "/auth/token",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "An access token and a refresh token", body = TokenPair),
        (status = 400, description = "Refused, as OAuth says it", body = OAuthError),
        (status = 429, description = "Too many failed sign-ins: `slow_down`", body = OAuthError, headers(("Retry-After" = u32, description = "Seconds to wait"))),
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
    let (actor, device) = (caller.actor(), device(&caller, &headers));
    let granted = match get("grant_type") {
        None => return Ok(OAuthError::because("invalid_request", "grant_type is missing")),
        Some("password") => {
            let (Some(username), Some(password)) = (get("username"), get("password")) else {
                return Ok(OAuthError::because("invalid_request", "username or password is missing"));
            };
            let Some((name, password)) = credentials(username, password) else {
                return Ok(OAuthError::because("invalid_grant", WRONG));
            };
            let sign_in = SignIn { name, password, method: SignInMethod::OauthPassword, device };
            accounts.login(&actor, sign_in).await
        }
        Some("refresh_token") => {
            let Some(token) = get("refresh_token") else {
                return Ok(OAuthError::because("invalid_request", "refresh_token is missing"));
            };
            accounts.refresh(&actor, token, device).await
        }
        Some(_) => {
            let offered = "the grants password and refresh_token are offered";
            return Ok(OAuthError::because("unsupported_grant_type", offered));
        }
    };
    match granted {
        Ok(grant) => Ok(Json(TokenPair::from(grant)).into_response()),
        Err(error) => OAuthError::of(error),
    }
}

/// `None` for what can be nobody's name or password.
pub(crate) fn credentials(username: &str, password: &str) -> Option<(LoginName, Password)> {
    let password = Password::parse(password).ok()?;
    let username = username.trim().to_owned();
    // PostgreSQL has no NUL in its texts, so nobody is called that.
    if username.contains('\0') {
        return None;
    }
    let name =
        if username.contains('@') { LoginName::Email(username) } else { LoginName::Username(username) };
    Some((name, password))
}
