//! Signing in and out.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_core::input::Text as _;
use mainstay_http::{ApiRouter, RouteGroup};
use mainstay_web::{Field, Flash, Form, Submitted, Visit, local_path};

use super::{Card, Pages};
use crate::domain::Password;
use crate::error::{AccountError, whole_seconds};
use crate::events::SignInMethod;
use crate::http::{credentials, device};
use crate::service::{Accounts, LoginName, Logout, SignIn};

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router
        .console_page("/login", get(show).post(sign_in), Access::Anybody)
        .in_group(RouteGroup::Auth)
        .console_page("/logout", get(ask_sign_out).post(sign_out), Access::Anybody)
}

fn form(visit: &Visit, name: &str, next: &str) -> Form {
    // The one who comes from a page that names them goes on with the password.
    let name_field =
        Field::text("name", "E-mail address or username").autocomplete("username").value(name).focused();
    visit
        .form("login", "/login", "Sign in")
        .hidden("next", local_path(next).unwrap_or_default())
        .field(name_field)
        .field(Field::password("password", "Password", "current-password"))
}

fn page(accounts: &Accounts, visit: &Visit, form: Form, status: StatusCode) -> Response {
    let forgot = ("Forgot your password?", "/console/forgot-password");
    let register = ("Make an account", "/register");
    let links = if accounts.is_open() { &[forgot, register][..] } else { &[forgot] };
    let lead = "Welcome back.";
    Card { heading: "Sign in", lead, form: Some(form), links }.show(visit, status)
}

async fn show(State(accounts): State<Accounts>, visit: Visit) -> Response {
    let next = visit.query("next");
    if visit.caller().user().is_some() {
        return visit.redirect(local_path(&next).unwrap_or("/"), None);
    }
    let form = form(&visit, "", &next);
    page(&accounts, &visit, form, StatusCode::OK)
}

async fn sign_in(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    sent: Submitted,
) -> Result<Response, Problem> {
    let (name, next) = (sent.get("name"), sent.get("next"));
    let mut form = form(&sent.visit, name, next);
    if name.trim().is_empty() {
        form.blame("name", "is needed");
    }
    if sent.get("password").is_empty() {
        form.blame("password", "is needed");
    }
    if form.is_faulty() {
        return Ok(page(&accounts, &sent.visit, form, StatusCode::UNPROCESSABLE_ENTITY));
    }
    let attempt = match credentials(name, sent.get("password")) {
        Some((name, password)) => enter(&accounts, &headers, &sent.visit, name, password).await,
        None => Err(AccountError::InvalidCredentials),
    };
    match attempt {
        Ok(mut response) => {
            if let Some(Ok(to)) = local_path(next).map(HeaderValue::try_from) {
                response.headers_mut().insert(header::LOCATION, to);
            }
            Ok(response)
        }
        Err(AccountError::InvalidCredentials) => {
            form.fail("The name or the password is wrong.");
            Ok(page(&accounts, &sent.visit, form, StatusCode::UNPROCESSABLE_ENTITY))
        }
        Err(AccountError::Locked(remaining)) => {
            let seconds = whole_seconds(remaining);
            let (number, unit) = match seconds {
                0..=90 => (seconds, "seconds"),
                _ => (seconds.div_ceil(60), "minutes"),
            };
            form.fail(format!(
                "There were too many failed attempts. Try again in {number} {unit}, or choose a new password by mail."
            ));
            let mut response = page(&accounts, &sent.visit, form, StatusCode::TOO_MANY_REQUESTS);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            Ok(response)
        }
        Err(AccountError::EmailNotVerified) => {
            let text =
                "Please confirm your e-mail address first. If you can't find the mail, ask for another.";
            Ok(sent.visit.redirect("/console/resend-verification", Some(Flash::note(text))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Signs a browser in. Whatever session it had ends, and nothing that was set before is taken
/// over: who planted a cookie, or a form, has nothing of it.
pub(super) async fn enter(
    accounts: &Accounts,
    headers: &HeaderMap,
    visit: &Visit,
    name: LoginName,
    password: Password,
) -> Result<Response, AccountError> {
    let caller = visit.caller();
    let device = device(caller, headers);
    let sign_in = SignIn { name, password, method: SignInMethod::Browser, device };
    let cookie = accounts.login_browser(&caller.actor(), sign_in).await?;
    if let Some((user, session)) = caller.user().and_then(|user| Some((user.user_id, user.session_id()?))) {
        let old = Logout { signed_in: Some((user, session.into())), refresh_token: None };
        accounts.logout(&caller.actor(), old).await?;
    }
    let mut response = visit.redirect("/", None);
    visit.set(&mut response, &visit.web().session_cookie(cookie, accounts.browser_session_s()));
    visit.end_guest(&mut response);
    Ok(response)
}

/// A password that was just accepted as a new one.
pub(super) fn as_typed(text: &str) -> Option<Password> {
    Password::parse(text).ok()
}

/// A link signs nobody out: another site could lead people to it.
async fn ask_sign_out(visit: Visit) -> Response {
    if visit.caller().user().is_none() {
        return visit.redirect("/", None);
    }
    let form = visit.form("logout", "/logout", "Sign out");
    let lead = "Your other devices stay signed in.";
    let links = [("Stay signed in", "/")];
    Card { heading: "Sign out?", lead, form: Some(form), links: &links }.show(&visit, StatusCode::OK)
}

async fn sign_out(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    if let Some(user) = visit.caller().user() {
        let signed_in = user.session_id().map(|session| (user.user_id, session.into()));
        accounts.logout(&visit.caller().actor(), Logout { signed_in, refresh_token: None }).await?;
    }
    Ok(goodbye(visit, "You are signed out."))
}

/// Leaves nothing behind in the browser.
pub(super) fn goodbye(visit: &Visit, text: &str) -> Response {
    let mut response = visit.redirect("/login", Some(Flash::done(text)));
    visit.set(&mut response, &visit.web().no_session_cookie());
    // Not "cookies": that would clear those of every other site under the same domain.
    let name = HeaderName::from_static("clear-site-data");
    response.headers_mut().insert(name, HeaderValue::from_static("\"cache\", \"storage\""));
    response
}
