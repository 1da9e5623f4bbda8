//! Where one is signed in, and signing out.

use axum::extract::{FromRequest as _, Request, State};
use http::StatusCode;
use http_body::Body as _;
use mainstay_auth::{Access, Caller};
use mainstay_core::{Page, Paging, Problem, Timestamp};
use mainstay_http::{ApiRouter, Id, Listing, Valid, ValidQuery, routes};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Session, SessionId, SessionOrder, describe_device};
use crate::service::{Accounts, Logout};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .route(routes!(logout), Access::Anybody, &[])
        .route(routes!(logout_all), Access::Session, &[])
        .route(routes!(list_sessions), Access::Session, &[])
        .route(routes!(revoke_session), Access::Session, &[])
}

mainstay_core::input! {
    /// What to sign out of, besides the session of the access token.
    pub struct SignOut {
        /// A refresh token: its session ends, and every token of it.
        refresh_token: Option<String>,
    }
}

/// Where somebody is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    #[schema(inline)]
    id: SessionId,
    /// Whether this request comes from it.
    current: bool,
    /// A short name of the device: `Firefox on Linux`.
    device: String,
    /// The User-Agent that signed in.
    user_agent: Option<String>,
    /// The address that signed in or refreshed last.
    address: Option<String>,
    created_at: Timestamp,
    /// When it was signed in or refreshed last.
    last_used_at: Timestamp,
    /// When it ends if it is not used again.
    expires_at: Timestamp,
}

impl SessionView {
    fn new(session: Session, current: SessionId) -> Self {
        let Session { id, user_agent, address, created_at, last_used_at, expires_at } = session;
        let device = describe_device(user_agent.as_deref());
        Self { id, current: id == current, device, user_agent, address, created_at, last_used_at, expires_at }
    }
}

/// Sign out.
///
/// Ends the session of the access token, and that of the refresh token in the
/// body if it is the caller's. Either alone will do. At once on this node, within a second on all.
#[utoipa::path(post, path = "/auth/logout", request_body(content = Option<SignOut>, description = "May be left out with an access token"), responses(
    (status = 204, description = "Signed out"),
))]
async fn logout(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Request,
) -> Result<StatusCode, Problem> {
    // A body may be left out altogether; one that is there keeps the rules.
    let refresh_token = match request.body().size_hint().exact() {
        Some(0) => None,
        _ => Valid::<SignOut>::from_request(request, &()).await?.0.refresh_token,
    };
    let signed_in = match (caller.user(), &refresh_token) {
        (Some(user), _) => user.session_id().map(|session| (user.user_id, SessionId::from(session))),
        (None, Some(_)) => None,
        (None, None) => return Err(Access::SignedIn.unauthenticated(mainstay_auth::Refusal::Missing)),
    };
    accounts.logout(&caller.actor(), Logout { signed_in, refresh_token }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign out everywhere.
///
/// Ends every session of the caller, this one included.
#[utoipa::path(post, path = "/auth/logout-all", responses((status = 204, description = "Signed out everywhere")))]
async fn logout_all(State(accounts): State<Accounts>, caller: Caller) -> Result<StatusCode, Problem> {
    accounts.logout_all(&caller.actor(), caller.require_user()?.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

mainstay_core::input! {
    /// Which sessions to list.
    pub struct ListSessions {
        /// Paging.
        paging: Paging<SessionOrder>,
    }
}

/// List where one is signed in.
///
/// Sessions that have not ended, the one used last first.
#[utoipa::path(get, path = "/auth/sessions", params(ListSessions), responses(
    (status = 200, description = "A page of sessions", body = Page<SessionView>),
))]
async fn list_sessions(
    State(accounts): State<Accounts>,
    caller: Caller,
    ValidQuery(ListSessions { paging }): ValidQuery<ListSessions>,
) -> Result<Listing<SessionView>, Problem> {
    let current = caller.require_session()?.into();
    let page = accounts.list_sessions(caller.require_user()?.user_id, &paging).await?;
    Ok(Listing { page: page.map(|session| SessionView::new(session, current)), cache: None })
}

/// Sign a device out.
///
/// Ends one of the caller's own sessions.
#[utoipa::path(delete, path = "/auth/sessions/{id}", params(("id" = String, Path, description = "The session's id", format = "uuid")), responses(
    (status = 204, description = "The session has ended"),
))]
async fn revoke_session(
    State(accounts): State<Accounts>,
    caller: Caller,
    Id(session): Id<SessionId>,
) -> Result<StatusCode, Problem> {
    accounts.revoke_session(&caller.actor(), caller.require_user()?.user_id, session).await?;
    Ok(StatusCode::NO_CONTENT)
}
