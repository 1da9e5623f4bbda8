//! The pages that links in mails lead to.
//!
//! A link only shows a form: mail programs open links to look at them, and that must not use
//! them up. The token is the secret that a forged form would lack, so the forms need no other.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use mainstay_auth::{Access, Caller, Role, Roles};
use mainstay_core::input::Text;
use mainstay_core::{Faults, Invalid, Problem};
use mainstay_http::{ApiRouter, extract};

use crate::domain::{Email, NewPassword};
use crate::error::AccountError;
use crate::service::{Accounts, Brought, NewUser, Registered};

pub(super) fn routes(router: ApiRouter<Accounts>) -> ApiRouter<Accounts> {
    router
        .page("/console/verify-email", get(show_verify).post(verify), Access::Anybody)
        .page("/console/reset-password", get(show_reset).post(reset), Access::Anybody)
        .page("/register", get(show_register).post(register), Access::Anybody)
}

#[derive(Template)]
#[template(path = "mail_link.html")]
struct Page<'a> {
    title: &'a str,
    text: &'a str,
    is_fault: bool,
    form: Option<Form<'a>>,
    nonce: String,
}

struct Form<'a> {
    action: &'static str,
    button: &'static str,
    token: &'a str,
    fields: Vec<Field>,
}

struct Field {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    autocomplete: &'static str,
    hint: String,
    value: String,
    fault: Option<String>,
}

impl Field {
    fn email(value: &str) -> Self {
        Self {
            name: "email",
            label: "E-mail address",
            kind: "email",
            autocomplete: "email",
            hint: String::new(),
            value: value.to_owned(),
            fault: None,
        }
    }

    fn new_password(accounts: &Accounts) -> Self {
        let least = accounts.password_min_length();
        Self {
            name: "new_password",
            label: "New password",
            kind: "password",
            autocomplete: "new-password",
            hint: format!("At least {least} characters of any kind; a few words do well."),
            // What was typed is not sent back: it would stand in a page.
            value: String::new(),
            fault: None,
        }
    }
}

impl Accounts {
    fn page(&self, status: StatusCode, title: &str, text: &str, form: Option<Form<'_>>) -> Response {
        let nonce: String = self.random_text();
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let page = Page { title, text, is_fault: status.is_client_error(), form, nonce };
        let html = match page.render() {
            Ok(html) => html,
            Err(error) => return Problem::internal(error).into_response(),
        };
        let mut response = (status, Html(html)).into_response();
        if let Ok(policy) = HeaderValue::try_from(policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    fn dead_link(&self) -> Response {
        let text = "The link has expired, was used already, or a newer one was sent. Ask for another.";
        self.page(StatusCode::GONE, "This link does not work any more", text, None)
    }
}

/// A parameter of the query.
fn query(request: &Request, name: &str) -> String {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(request.uri().query().unwrap_or_default()).unwrap_or_default();
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

async fn posted(request: Request) -> Result<impl Fn(&str) -> String, Problem> {
    let pairs = extract::form_pairs(request).await?;
    Ok(move |name: &str| {
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    })
}

/// Puts the fault that a value has beside its field.
fn judge<T>(read: Result<T, Invalid>, field: &mut Field) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(invalid) => {
            field.fault = Some(format!("{} {}.", field.label, invalid.message));
            None
        }
    }
}

/// The same for faults that only the service finds.
fn accuse(faults: &Faults, fields: &mut [Field]) {
    for fault in faults.as_slice() {
        let named = |field: &&mut Field| fault.field == field.name || field.name.ends_with(&fault.field);
        if let Some(field) = fields.iter_mut().find(named) {
            field.fault = Some(format!("{} {}.", field.label, fault.message));
        }
    }
}

fn verify_form(token: &str) -> Form<'_> {
    Form { action: "/console/verify-email", button: "Confirm the address", token, fields: Vec::new() }
}

async fn show_verify(State(accounts): State<Accounts>, request: Request) -> Response {
    let token = query(&request, "token");
    let text = "One more click confirms that the address is yours.";
    accounts.page(StatusCode::OK, "Confirm your e-mail address", text, Some(verify_form(&token)))
}

async fn verify(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let given = posted(request).await?;
    match accounts.verify_email(&caller.actor(), &given("token")).await {
        Ok(()) => {
            let text = "Thank you. You can close this page.";
            Ok(accounts.page(StatusCode::OK, "Your address is confirmed", text, None))
        }
        Err(AccountError::TokenInvalid) => Ok(accounts.dead_link()),
        Err(error) => Err(error.into()),
    }
}

const RESET: &str = "Choose a new password";
const RESET_TEXT: &str = "You will be signed out everywhere, and can sign in with the new password then.";

fn reset_form(token: &str, fields: Vec<Field>) -> Form<'_> {
    Form { action: "/console/reset-password", button: "Save the password", token, fields }
}

async fn show_reset(State(accounts): State<Accounts>, request: Request) -> Response {
    let token = query(&request, "token");
    let form = reset_form(&token, vec![Field::new_password(&accounts)]);
    accounts.page(StatusCode::OK, RESET, RESET_TEXT, Some(form))
}

async fn reset(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let given = posted(request).await?;
    let token = given("token");
    let mut fields = vec![Field::new_password(&accounts)];
    if let Some(password) = judge(NewPassword::parse(&given("new_password")), &mut fields[0]) {
        match accounts.reset_password(&caller.actor(), &token, &password).await {
            Ok(()) => {
                let text = "You can sign in with the new password now.";
                return Ok(accounts.page(StatusCode::OK, "Your password is changed", text, None));
            }
            Err(AccountError::TokenInvalid) => return Ok(accounts.dead_link()),
            Err(AccountError::Invalid(faults)) => accuse(&faults, &mut fields),
            Err(error) => return Err(error.into()),
        }
    }
    let form = reset_form(&token, fields);
    Ok(accounts.page(StatusCode::UNPROCESSABLE_ENTITY, RESET, "Please look at what is marked.", Some(form)))
}

const REGISTER: &str = "Make your account";

fn register_form(token: &str, fields: Vec<Field>) -> Form<'_> {
    Form { action: "/register", button: "Make the account", token, fields }
}

async fn show_register(State(accounts): State<Accounts>, request: Request) -> Response {
    let token = query(&request, "token");
    let form = register_form(&token, vec![Field::email(""), Field::new_password(&accounts)]);
    let text = "Take the address that the invitation came to, and choose a password.";
    accounts.page(StatusCode::OK, REGISTER, text, Some(form))
}

async fn register(
    State(accounts): State<Accounts>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let given = posted(request).await?;
    let token = given("token");
    let mut fields = vec![Field::email(&given("email")), Field::new_password(&accounts)];
    let email = judge(Email::parse(&given("email")), &mut fields[0]);
    let password = judge(<NewPassword as Text>::parse(&given("new_password")), &mut fields[1]);
    if let Some((email, password)) = email.zip(password) {
        let roles = Roles::of(&[Role::User]);
        let new = NewUser { email, password, username: None, name: None, roles, email_verified: false };
        let invitation = Some(token.clone()).filter(|token| !token.is_empty());
        match accounts.sign_up(&caller.actor(), new, Brought { invitation, organization: None }).await {
            Ok(Registered::Concealed) => {
                let text = "What came of it stands in the mail to this address.";
                return Ok(accounts.page(StatusCode::OK, "Look into your mailbox", text, None));
            }
            Ok(Registered::Account(_)) => {
                let text = "You can sign in now, unless a mail asks you to confirm the address first.";
                return Ok(accounts.page(StatusCode::OK, "Your account is made", text, None));
            }
            Err(AccountError::TokenInvalid) => {
                fields[0].fault = Some(
                    "The invitation is for another address, was used already, or has expired.".to_owned(),
                );
            }
            Err(AccountError::InvitationRequired) => return Ok(accounts.dead_link()),
            Err(AccountError::EmailTaken) => {
                fields[0].fault = Some("An account with this address exists already.".to_owned());
            }
            Err(AccountError::Invalid(faults)) => accuse(&faults, &mut fields),
            Err(error) => return Err(error.into()),
        }
    }
    let form = register_form(&token, fields);
    Ok(accounts.page(
        StatusCode::UNPROCESSABLE_ENTITY,
        REGISTER,
        "Please look at what is marked.",
        Some(form),
    ))
}
