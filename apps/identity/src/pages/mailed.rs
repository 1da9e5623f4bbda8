//! Proving an address by a link from a mail.
//!
//! A link only shows a form: mail programs open links to look at them, and that must not use
//! them up.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_http::{ApiRouter, RouteGroup};
use mainstay_web::{Field, Flash, Form, Submitted, Visit};

use super::{Card, Pages, status_of};
use crate::domain::Email;
use crate::error::AccountError;
use crate::service::Accounts;

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router
        .console_page("/console/verify-email", get(show).post(verify), Access::Anybody)
        .in_group(RouteGroup::Auth)
        .console_page("/console/resend-verification", get(show_resend).post(resend), Access::Anybody)
        .in_group(RouteGroup::Auth)
}

/// What a link that opens nothing leads to.
pub(super) fn dead_link(visit: &Visit, links: &[(&str, &str)]) -> Response {
    let lead = "It has expired, was used already, or a newer one was sent.";
    Card { heading: "This link does not work any more", lead, form: None, links }
        .show(visit, StatusCode::GONE)
}

async fn show(visit: Visit) -> Response {
    let form = visit
        .form("verify", "/console/verify-email", "Confirm the address")
        .hidden("token", visit.query("token"));
    let lead = "One more click confirms that the address is yours.";
    Card { heading: "Confirm your e-mail address", lead, form: Some(form), links: &[] }
        .show(&visit, StatusCode::OK)
}

async fn verify(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    match accounts.verify_email(&visit.caller().actor(), sent.get("token")).await {
        Ok(()) => {
            let to = if visit.caller().user().is_some() { "/" } else { "/login" };
            Ok(visit.redirect(to, Some(Flash::done("Thank you: your e-mail address is confirmed."))))
        }
        Err(AccountError::TokenInvalid) => Ok(dead_link(
            visit,
            &[("Send me another", "/console/resend-verification"), ("Sign in", "/login")],
        )),
        Err(error) => Err(error.into()),
    }
}

fn resend_form(visit: &Visit, email: &str) -> Form {
    let field = Field::email("email", "E-mail address").value(email).focused();
    visit.form("resend", "/console/resend-verification", "Send the mail").field(field)
}

fn resend_page(visit: &Visit, form: Form) -> Response {
    let status = status_of(&form);
    let lead = "We send a link that confirms the address of your account.";
    let links = [("Back to signing in", "/login")];
    Card { heading: "Confirm your e-mail address", lead, form: Some(form), links: &links }.show(visit, status)
}

async fn show_resend(visit: Visit) -> Response {
    let form = resend_form(&visit, "");
    resend_page(&visit, form)
}

async fn resend(State(accounts): State<Accounts>, sent: Submitted) -> Result<Response, Problem> {
    let visit = &sent.visit;
    let mut form = resend_form(visit, sent.get("email"));
    let Some(email) = form.judge("email", Email::parse(sent.get("email"))) else {
        return Ok(resend_page(visit, form));
    };
    accounts.resend_verification(&visit.caller().actor(), &email).await?;
    let text = "If an account with this address waits to be confirmed, a mail is on its way.";
    let to = if visit.caller().user().is_some() { "/" } else { "/login" };
    Ok(visit.redirect(to, Some(Flash::note(text))))
}
