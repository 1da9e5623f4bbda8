//! Pages about accounts. They call the service that the API calls, and answer a form with a redirect.

mod account;
mod home;
mod mailed;
mod recovery;
mod register;
mod sign_in;

use axum::extract::FromRef;
use axum::response::Response;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_http::ApiRouter;
use mainstay_web::{Form, NavLink, Shape, Visit, Web};

use crate::http::IDENTITY;
use crate::service::Accounts;

/// What the pages work with.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) accounts: Accounts,
    pub(crate) web: Web,
}

impl FromRef<Pages> for Web {
    fn from_ref(pages: &Pages) -> Self {
        pages.web.clone()
    }
}

impl FromRef<Pages> for Accounts {
    fn from_ref(pages: &Pages) -> Self {
        pages.accounts.clone()
    }
}

pub(crate) fn links(web: &Web) {
    web.link(NavLink {
        label: "Account",
        path: "/console/account",
        also: &[],
        about: "Your name and password, where you are signed in, and your API keys.",
        access: Access::Session,
    });
}

pub(crate) fn routes() -> ApiRouter<Pages> {
    let router = ApiRouter::new(IDENTITY);
    let router = home::routes(router);
    let router = sign_in::routes(router);
    let router = register::routes(router);
    let router = mailed::routes(router);
    let router = recovery::routes(router);
    account::routes(router)
}

/// A card with a heading, a line about it, a form, and links below.
#[derive(askama::Template)]
#[template(path = "card.html")]
struct Card<'a> {
    heading: &'a str,
    lead: &'a str,
    form: Option<Form>,
    /// Text and address of each.
    links: &'a [(&'a str, &'a str)],
}

impl Card<'_> {
    fn show(&self, visit: &Visit, status: StatusCode) -> Response {
        visit.show(status, self.heading, Shape::Narrow, self)
    }
}

/// 422 if something is wrong with the form.
fn status_of(form: &Form) -> StatusCode {
    if form.is_faulty() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }
}

/// Who is signed in, by which session, as who acts.
fn signed_in(visit: &Visit) -> Result<(mainstay_core::UserId, crate::domain::SessionId), Problem> {
    let session = visit.caller().require_session()?;
    Ok((visit.caller().require_user()?.user_id, session.into()))
}

fn password_hint(accounts: &Accounts) -> String {
    format!("At least {} characters of any kind; a few words do well.", accounts.password_min_length())
}
