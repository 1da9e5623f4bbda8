//! One's own account: profile, password, where one is signed in, API keys, and the end of it all.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::{Access, Scope, Scopes};
use mainstay_core::input::Text as _;
use mainstay_core::problem::STALE;
use mainstay_core::{Paging, Patch, Problem, Sorting};
use mainstay_http::{ApiRouter, ETag, IfMatch, RouteGroup};
use mainstay_web::{Field, Flash, Form, Shape, Submitted, Tone, Visit, moment};

use super::sign_in::goodbye;
use super::{Pages, password_hint, signed_in};
use crate::domain::{
    ApiKey, ApiKeyId, CredentialName, NewPassword, Password, Session, SessionId, User, Username,
    describe_device,
};
use crate::error::{AccountError, whole_seconds};
use crate::http::PersonName;
use crate::service::{Accounts, MadeApiKey, NewApiKey, ProfilePatch};

const HOME: &str = "/console/account";

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    // A page that shows the faults of a form can be opened again like any other.
    let only_post = || get(async |visit: Visit| visit.redirect(HOME, None));
    router
        .console_page(HOME, get(show), Access::Session)
        .console_page("/console/account/profile", only_post().post(save_profile), Access::Session)
        .console_page("/console/account/password", only_post().post(change_password), Access::Session)
        .in_group(RouteGroup::Auth)
        .console_page("/console/account/sessions/end", only_post().post(end_session), Access::Session)
        .console_page("/console/account/sessions/end-all", only_post().post(end_all), Access::Session)
        .console_page("/console/account/keys", only_post().post(make_key), Access::Session)
        .console_page("/console/account/keys/revoke", only_post().post(revoke_key), Access::Session)
        .console_page("/console/account/delete", only_post().post(delete), Access::Session)
        .in_group(RouteGroup::Auth)
}

/// The newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest;

impl Sorting for Newest {
    const ALL: &'static [(&'static str, Self)] = &[("created_at", Self)];
    const DEFAULT: (Self, bool) = (Self, true);
}

#[derive(Template)]
#[template(path = "account.html")]
struct Content {
    user: User,
    profile: Form,
    password: Form,
    sessions: Vec<SessionRow>,
    end_all: Form,
    keys: Vec<KeyRow>,
    new_key: Form,
    delete: Form,
}

struct SessionRow {
    device: String,
    address: Option<String>,
    used: String,
    /// `None` for the one that looks.
    end: Option<Form>,
}

struct KeyRow {
    name: String,
    prefix: String,
    scopes: String,
    created: String,
    expires: Option<String>,
    used: Option<String>,
    revoke: Form,
}

/// The forms that can have faults.
struct Forms {
    profile: Form,
    password: Form,
    new_key: Form,
    delete: Form,
}

const SCOPES: [(&str, &str); 2] = [("*", "Everything that I may do"), ("read", "Reading only")];
const LIVES: [(&str, &str); 4] =
    [("90", "90 days"), ("30", "30 days"), ("365", "One year"), ("never", "Until it is revoked")];

impl Forms {
    fn new(accounts: &Accounts, visit: &Visit, user: &User) -> Self {
        let profile = visit
            .form("profile", "/console/account/profile", "Save")
            .hidden("version", user.version.to_string())
            .field(
                Field::text("name", "Name")
                    .autocomplete("name")
                    .value(user.name.as_deref().unwrap_or(""))
                    .optional(),
            )
            .field(
                Field::text("username", "Username")
                    .autocomplete("username")
                    .hint("3 to 50 letters, digits, dots, dashes and underscores.")
                    .value(&*user.username),
            );
        let password = visit
            .form("password", "/console/account/password", "Change the password")
            .field(Field::password("current_password", "Present password", "current-password"))
            .field(
                Field::password("new_password", "New password", "new-password").hint(password_hint(accounts)),
            );
        let new_key = visit
            .form("key", "/console/account/keys", "Make a key")
            .field(
                Field::text("name", "What it is for")
                    .hint("The name of a program or a machine, for example."),
            )
            .field(Field::choice("scope", "What it may do", &SCOPES))
            .field(Field::choice("days", "How long it works", &LIVES));
        let delete = visit
            .form("delete", "/console/account/delete", "Delete my account")
            .tone(Tone::Danger)
            .field(Field::password("password", "Your password", "current-password"));
        Self { profile, password, new_key, delete }
    }
}

/// The whole page, with these forms.
async fn page(accounts: &Accounts, visit: &Visit, user: User, forms: Forms) -> Result<Response, Problem> {
    let (id, current) = signed_in(visit)?;
    let Forms { profile, password, new_key, delete } = forms;
    let faulty = [&profile, &password, &new_key, &delete].iter().any(|form| form.is_faulty());
    let status = if faulty { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let sessions = accounts.list_sessions(id, &Paging::first(100)).await?;
    let keys = accounts.api_keys.list(&visit.caller().actor(), id, &Paging::<Newest>::first(100)).await?;
    let content = Content {
        user,
        profile,
        password,
        sessions: sessions.items.into_iter().map(|session| session_row(visit, session, current)).collect(),
        end_all: visit
            .form("end-all", "/console/account/sessions/end-all", "Sign out everywhere")
            .tone(Tone::Quiet),
        keys: keys.items.into_iter().map(|key| key_row(visit, key)).collect(),
        new_key,
        delete,
    };
    Ok(visit.show(status, "Account", Shape::Wide, &content))
}

fn session_row(visit: &Visit, session: Session, current: SessionId) -> SessionRow {
    let Session { id, user_agent, address, created_at: _, last_used_at, expires_at: _ } = session;
    let device = describe_device(user_agent.as_deref());
    let end = (id != current).then(|| {
        visit
            .form("end", "/console/account/sessions/end", "Sign out")
            .hidden("id", id.to_string())
            .tone(Tone::Quiet)
            .about(&*device)
    });
    SessionRow { device, address, used: moment(last_used_at), end }
}

fn key_row(visit: &Visit, key: ApiKey) -> KeyRow {
    let ApiKey {
        id,
        user_id: _,
        name,
        prefix,
        scopes,
        created_at,
        expires_at,
        last_used_at,
        limit_policy: _,
    } = key;
    let revoke = visit
        .form("revoke", "/console/account/keys/revoke", "Revoke")
        .hidden("id", id.to_string())
        .tone(Tone::Danger)
        .about(&*name);
    let scopes = scopes.to_text();
    let scopes =
        SCOPES.iter().find(|(scope, _)| *scope == scopes).map_or(scopes, |(_, text)| (*text).to_owned());
    KeyRow {
        name,
        prefix,
        scopes,
        created: moment(created_at),
        expires: expires_at.map(moment),
        used: last_used_at.map(moment),
        revoke,
    }
}

/// Who is signed in, and their forms.
async fn begin(accounts: &Accounts, visit: &Visit) -> Result<(User, Forms), Problem> {
    let user = accounts.get(signed_in(visit)?.0).await?;
    let forms = Forms::new(accounts, visit, &user);
    Ok((user, forms))
}

async fn show(State(accounts): State<Accounts>, visit: Visit) -> Result<Response, Problem> {
    let (user, forms) = begin(&accounts, &visit).await?;
    page(&accounts, &visit, user, forms).await
}

async fn save_profile(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let (user, mut forms) = begin(&accounts, visit).await?;
    let seen = sent.get("version").parse().unwrap_or(-1);
    let mut shown = user.clone();
    (shown.username, shown.name) = (sent.get("username").to_owned(), Some(sent.get("name").to_owned()));
    forms.profile = Forms::new(&accounts, visit, &shown).profile;
    let username = forms.profile.judge("username", Username::parse(sent.get("username")));
    let name = match sent.get("name").trim() {
        "" => Some(None),
        text => forms.profile.judge("name", PersonName::parse(text)).map(|name| Some(name.into_string())),
    };
    if let Some((username, name)) = username.zip(name) {
        let patch = ProfilePatch { username: Patch::Set(username), name: Patch::Set(name) };
        let condition = IfMatch::exactly(ETag(seen));
        match accounts.update_profile(&visit.caller().actor(), user.id, patch, &condition).await {
            Ok(_) => return Ok(visit.redirect(HOME, Some(Flash::done("Your profile is saved.")))),
            Err(AccountError::UsernameTaken) => forms.profile.blame("username", "is taken"),
            Err(AccountError::Stale) => forms.profile.fail(CHANGED),
            Err(AccountError::Precondition(problem)) if problem.kind().code == STALE.code => {
                forms.profile.fail(CHANGED);
            }
            Err(error) => return Err(error.into()),
        }
    }
    page(&accounts, visit, user, forms).await
}

const CHANGED: &str = "Your profile was changed somewhere else in the meantime. Check it, and save again.";

/// Says in a form what is wrong with a password that was to prove who asks. Other errors come back.
fn explain(form: &mut Form, error: AccountError) -> Result<(), Problem> {
    match error {
        AccountError::WrongPassword(field) => form.blame(field, "is not right"),
        AccountError::Invalid(faults) => form.blame_all(faults.as_slice()),
        AccountError::Locked(remaining) => {
            let minutes = whole_seconds(remaining).div_ceil(60);
            form.fail(format!("There were too many wrong passwords. Try again in {minutes} min."));
        }
        AccountError::LastAdmin => form.fail("You are the last administrator. Make somebody else one first."),
        AccountError::Refused(problem) if problem.kind().status < 500 => form.fail(problem.detail()),
        other => return Err(other.into()),
    }
    Ok(())
}

async fn change_password(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let (user, mut forms) = begin(&accounts, visit).await?;
    let (id, session) = signed_in(visit)?;
    let form = &mut forms.password;
    let old = form.judge("current_password", Password::parse(sent.get("current_password")));
    let new = form.judge("new_password", NewPassword::parse(sent.get("new_password")));
    if let Some((old, new)) = old.zip(new) {
        let actor = visit.caller().actor();
        match accounts.change_password(&actor, id, Some(session), &old, &new).await {
            Ok(()) => {
                let cookie = accounts.replace_cookie(&actor, session).await?;
                let text = "Your password is changed. You are signed out everywhere else.";
                let mut response = visit.redirect(HOME, Some(Flash::done(text)));
                let cookie = visit.web().session_cookie(cookie, accounts.browser_session_s());
                visit.set(&mut response, &cookie);
                return Ok(response);
            }
            Err(error) => explain(form, error)?,
        }
    }
    page(&accounts, visit, user, forms).await
}

async fn end_session(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let (id, _) = signed_in(visit)?;
    // What is over already is as it should be.
    if let Ok(session) = sent.get("id").parse::<SessionId>() {
        match accounts.revoke_session(&visit.caller().actor(), id, session).await {
            Ok(()) | Err(AccountError::SessionNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(visit.redirect(HOME, Some(Flash::done("That device is signed out."))))
}

async fn end_all(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let (id, _) = signed_in(&sent.visit)?;
    accounts.logout_all(&sent.visit.caller().actor(), id).await?;
    Ok(goodbye(&sent.visit, "You are signed out everywhere."))
}

#[derive(Template)]
#[template(path = "new_key.html")]
struct NewKey<'a> {
    name: &'a str,
    key: &'a str,
    expires: Option<String>,
}

/// The key is in this answer and nowhere else: a redirect would have to keep it somewhere.
async fn make_key(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let (user, mut forms) = begin(&accounts, visit).await?;
    let Some(name) = forms.new_key.judge("name", CredentialName::parse(sent.get("name"))) else {
        return page(&accounts, visit, user, forms).await;
    };
    let scopes: Scopes = match Scope::parse(sent.get("scope")) {
        Ok(scope) if SCOPES.iter().any(|(known, _)| *known == sent.get("scope")) => {
            [scope].into_iter().collect()
        }
        _ => {
            forms.new_key.blame("scope", "must be one of those shown");
            return page(&accounts, visit, user, forms).await;
        }
    };
    let expires_at = match sent.get("days") {
        "never" => None,
        days => {
            let days = days.parse().unwrap_or(30_u64).clamp(1, 3650);
            Some(accounts.clock.now().after(std::time::Duration::from_secs(days * 86_400)))
        }
    };
    let unit = accounts.db.write(&visit.caller().actor()).await.map_err(AccountError::from)?;
    let made = accounts.api_keys.create(&unit, user.id, NewApiKey { name, scopes, expires_at }).await;
    match made {
        Ok(MadeApiKey { key, secret }) => {
            unit.commit().await.map_err(AccountError::from)?;
            let expires = key.expires_at.map(moment);
            let content = NewKey { name: &key.name, key: secret.expose(), expires };
            Ok(visit.show(StatusCode::OK, "Your new API key", Shape::Wide, &content))
        }
        Err(AccountError::TooManyApiKeys) => {
            unit.rollback().await.map_err(AccountError::from)?;
            forms.new_key.fail("You have 50 keys already. Revoke one that you do not need any more.");
            page(&accounts, visit, user, forms).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn revoke_key(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let (id, _) = signed_in(visit)?;
    if let Ok(key) = sent.get("id").parse::<ApiKeyId>() {
        match accounts.api_keys.revoke(&visit.caller().actor(), id, key).await {
            Ok(()) | Err(AccountError::ApiKeyNotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(visit.redirect(HOME, Some(Flash::done("The key is revoked."))))
}

async fn delete(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let (user, mut forms) = begin(&accounts, visit).await?;
    if let Some(password) = forms.delete.judge("password", Password::parse(sent.get("password"))) {
        match accounts.delete_oneself(&visit.caller().actor(), user.id, &password).await {
            Ok(()) => return Ok(goodbye(visit, "Your account is deleted.")),
            Err(error) => explain(&mut forms.delete, error)?,
        }
    }
    page(&accounts, visit, user, forms).await
}
