//! The first page.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_http::ApiRouter;
use mainstay_web::{NavLink, Shape, Visit};

use super::Pages;
use crate::service::Accounts;

pub(super) fn routes(router: ApiRouter<Pages>) -> ApiRouter<Pages> {
    router.console_page("/", get(show), Access::Anybody).console_page(
        "/dashboard",
        get(async |visit: Visit| visit.redirect("/", None)),
        Access::Anybody,
    )
}

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing {
    is_open: bool,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    name: &'a str,
    email: &'a str,
    is_verified: bool,
    links: &'a [NavLink],
}

async fn show(State(accounts): State<Accounts>, visit: Visit) -> Result<Response, Problem> {
    let Some(signed_in) = visit.caller().user() else {
        let landing = Landing { is_open: accounts.is_open() };
        return Ok(visit.show(StatusCode::OK, "Welcome", Shape::Wide, &landing));
    };
    let user = accounts.get(signed_in.user_id).await?;
    let home = Home {
        name: user.name.as_deref().unwrap_or(&user.username),
        email: &user.email,
        is_verified: user.email_verified,
        links: &visit.links(),
    };
    Ok(visit.show(StatusCode::OK, "Home", Shape::Wide, &home))
}
