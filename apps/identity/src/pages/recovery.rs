//! A password that was forgotten.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_http::{ApiRouter, RouteGroup};
use mainstay_web::{Field, Flash, Form, Submitted, Visit};

use super::mailed::dead_link;
use super::{Card, Pages, password_hint, status_of};
use crate::domain::{Email, NewPassword};
use crate::error::AccountError;
use crate::service::Accounts;

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router
        .console_page("/console/forgot-password", get(show_forgot).post(forget), Access::Anybody)
        .in_group(RouteGroup::Auth)
        .console_page("/console/reset-password", get(show_reset).post(reset), Access::Anybody)
        .in_group(RouteGroup::Auth)
}

fn forgot_form(visit: &Visit, email: &str) -> Form {
    let field = Field::email("email", "E-mail address").value(email).focused();
    visit.form("forgot", "/console/forgot-password", "Send the link").field(field)
}

fn forgot_page(visit: &Visit, form: Form) -> Response {
    let status = status_of(&form);
    let lead = "We send you a link to choose a new password.";
    let links = [("Back to signing in", "/login")];
    Card { heading: "Forgot your password?", lead, form: Some(form), links: &links }.show(visit, status)
}

async fn show_forgot(visit: Visit) -> Response {
    let form = forgot_form(&visit, "");
    forgot_page(&visit, form)
}

async fn forget(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let mut form = forgot_form(visit, sent.get("email"));
    let Some(email) = form.judge("email", Email::parse(sent.get("email"))) else {
        return Ok(forgot_page(visit, form));
    };
    accounts.forgot_password(&visit.caller().actor(), &email).await?;
    let text = "If there is an account with this address, a mail with a link is on its way.";
    Ok(visit.redirect("/login", Some(Flash::note(text))))
}

fn reset_form(accounts: &Accounts, visit: &Visit, token: &str) -> Form {
    let field = Field::password("new_password", "New password", "new-password");
    visit
        .form("reset", "/console/reset-password", "Save the password")
        .hidden("token", token)
        .field(field.hint(password_hint(accounts)).focused())
}

fn reset_page(visit: &Visit, form: Form) -> Response {
    let status = status_of(&form);
    let lead = "You will be signed out everywhere, and can sign in with the new password then.";
    Card { heading: "Choose a new password", lead, form: Some(form), links: &[] }.show(visit, status)
}

async fn show_reset(State(accounts): State<Accounts>, visit: Visit) -> Response {
    let form = reset_form(&accounts, &visit, &visit.query("token"));
    reset_page(&visit, form)
}

async fn reset(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let (visit, token) = (&sent.visit, sent.get("token"));
    let mut form = reset_form(&accounts, visit, token);
    let Some(password) = form.judge("new_password", NewPassword::parse(sent.get("new_password"))) else {
        return Ok(reset_page(visit, form));
    };
    match accounts.reset_password(&visit.caller().actor(), token, &password).await {
        Ok(()) => {
            let text = "Your password is changed. Sign in with the new one.";
            Ok(visit.redirect("/login", Some(Flash::done(text))))
        }
        Err(AccountError::TokenInvalid) => {
            Ok(dead_link(visit, &[("Send me another", "/console/forgot-password"), ("Sign in", "/login")]))
        }
        Err(AccountError::Invalid(faults)) => {
            form.blame_all(faults.as_slice());
            Ok(reset_page(visit, form))
        }
        Err(error) => Err(error.into()),
    }
}
