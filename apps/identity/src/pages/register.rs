//! Making an account.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use mainstay_auth::{Access, Role, Roles};
use mainstay_core::Problem;
use mainstay_core::input::Text;
use mainstay_http::{ApiRouter, RouteGroup};
use mainstay_web::{Field, Flash, Form, Submitted, Visit};

use super::{Card, Pages, password_hint, sign_in, status_of};
use crate::domain::{Email, NewPassword};
use crate::error::AccountError;
use crate::http::{OrganizationName, PersonName};
use crate::service::{Accounts, Brought, LoginName, NewUser, Registered};

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router.console_page("/register", get(show).post(register), Access::Anybody).in_group(RouteGroup::Auth)
}

/// The form with what was typed so far.
fn form(accounts: &Accounts, visit: &Visit, typed: impl Fn(&str) -> String) -> Form {
    let invited = !typed("token").is_empty();
    let email = Field::email("email", "E-mail address").value(typed("email")).focused();
    let email = if invited { email.hint("The one that the invitation came to.") } else { email };
    let name = Field::text("name", "Your name").autocomplete("name").value(typed("name")).optional();
    let password = Field::password("password", "Password", "new-password").hint(password_hint(accounts));
    let form = visit.form("register", "/register", "Make the account").hidden("token", typed("token"));
    let form = form.field(email).field(name);
    if invited {
        return form.field(password);
    }
    let organization = Field::text("organization_name", "Organization")
        .autocomplete("organization")
        .hint("What you run together with others. You can invite them later.")
        .value(typed("organization_name"))
        .optional();
    form.field(organization).field(password)
}

fn page(visit: &Visit, form: Form) -> Response {
    let (status, links) = (status_of(&form), [("I have an account: sign in", "/login")]);
    let lead = "It takes a minute.";
    Card { heading: "Make an account", lead, form: Some(form), links: &links }.show(visit, status)
}

fn by_invitation(visit: &Visit) -> Response {
    let lead =
        "Accounts are made by invitation here. Ask whoever runs this service for one; it comes by mail.";
    let links = [("I have an account: sign in", "/login")];
    Card { heading: "You need an invitation", lead, form: None, links: &links }
        .show(visit, StatusCode::FORBIDDEN)
}

async fn show(State(accounts): State<Accounts>, visit: Visit) -> Response {
    let token = visit.query("token");
    if visit.caller().user().is_some() && token.is_empty() {
        return visit.redirect("/", None);
    }
    if token.is_empty() && !accounts.is_open() {
        return by_invitation(&visit);
    }
    let form = form(&accounts, &visit, |name| if name == "token" { token.clone() } else { String::new() });
    page(&visit, form)
}

/// What may be left out.
fn read_optional<T: Text>(form: &mut Form, name: &str, text: &str) -> Option<T> {
    if text.trim().is_empty() { None } else { form.judge(name, T::parse(text)) }
}

async fn register(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    sent: Submitted,
) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let mut form = form(&accounts, visit, |name| sent.get(name).to_owned());
    let email = form.judge("email", Email::parse(sent.get("email")));
    let password = form.judge("password", NewPassword::parse(sent.get("password")));
    let name: Option<PersonName> = read_optional(&mut form, "name", sent.get("name"));
    let organization: Option<OrganizationName> =
        read_optional(&mut form, "organization_name", sent.get("organization_name"));
    let (Some(email), Some(password), false) = (email, password, form.is_faulty()) else {
        return Ok(page(visit, form));
    };
    let new = NewUser {
        email: email.clone(),
        password,
        username: None,
        name: name.map(PersonName::into_string),
        roles: Roles::of(&[Role::User]),
        email_verified: false,
    };
    let invitation = Some(sent.get("token").to_owned()).filter(|token| !token.is_empty());
    let brought = Brought { invitation, organization: organization.map(OrganizationName::into_string) };
    match accounts.sign_up(&visit.caller().actor(), new, brought).await {
        Ok(Registered::Account(user)) => {
            let Some(password) = sign_in::as_typed(sent.get("password")) else {
                return Ok(visit.redirect("/login", None));
            };
            welcome(&accounts, &headers, visit, LoginName::Email(user.email), password).await
        }
        Ok(Registered::Concealed) => {
            let text = "Look into your mailbox: what came of it stands in the mail to this address.";
            Ok(visit.redirect("/login", Some(Flash::note(text))))
        }
        Err(AccountError::TokenInvalid) => {
            form.fail("The invitation is for another address, was used already, or has expired.");
            Ok(page(visit, form))
        }
        Err(AccountError::InvitationRequired) => Ok(by_invitation(visit)),
        Err(AccountError::EmailTaken) => {
            form.blame("email", "is taken: there is an account with it already");
            Ok(page(visit, form))
        }
        Err(AccountError::Invalid(faults)) => {
            form.blame_all(faults.as_slice());
            Ok(page(visit, form))
        }
        Err(AccountError::Refused(problem)) if problem.kind().status < 500 => {
            form.fail(problem.detail());
            Ok(page(visit, form))
        }
        Err(error) => Err(error.into()),
    }
}

/// Who just chose the password need not type it again.
async fn welcome(
    accounts: &Accounts,
    headers: &HeaderMap,
    visit: &Visit,
    name: LoginName,
    password: crate::domain::Password,
) -> Result<Response, Problem> {
    match sign_in::enter(accounts, headers, visit, name, password).await {
        Ok(mut response) => {
            visit.say(&mut response, &Flash::done("Welcome! Your account is made."));
            Ok(response)
        }
        Err(AccountError::EmailNotVerified) => {
            let text = "Your account is made. Open the link in the mail that we sent you, then sign in.";
            Ok(visit.redirect("/login", Some(Flash::done(text))))
        }
        Err(error) => Err(error.into()),
    }
}
