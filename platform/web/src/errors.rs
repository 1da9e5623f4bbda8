//! What people see instead of a problem: what to do, and nothing of what happened inside.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, StatusCode, header};
use mainstay_core::problem::{RATE_LIMITED, UNAUTHENTICATED};
use mainstay_http::{CROSS_SITE, ErrorPage, Failed};

use crate::layout::{Layout, Nav};
use crate::{Shape, Web, local_path};

#[derive(Template)]
#[template(path = "error.html")]
struct Content<'a> {
    status: u16,
    heading: &'static str,
    text: &'static str,
    request_id: Option<&'a str>,
}

impl Web {
    /// Makes pages of problems, for the stack. Who is not signed in is sent to do so, and comes
    /// back to the page they asked for.
    #[must_use]
    pub fn error_page(&self) -> ErrorPage {
        Arc::new(show)
    }
}

fn show(failed: &Failed<'_>) -> Response {
    if failed.problem.kind().code == UNAUTHENTICATED.code {
        return to_sign_in(failed);
    }
    let status = failed.problem.kind().status();
    let (heading, text) = words(failed);
    let request_id = status.is_server_error().then(|| failed.request_id.as_str());
    let content = Content { status: status.as_u16(), heading, text, request_id };
    match content.render() {
        Ok(content) => {
            let (nav, shape) = (Nav::None, Shape::Narrow);
            let layout =
                Layout { title: heading, is_fault: true, shape, nav, flash: None, content: &content };
            layout.respond(status)
        }
        // Already an error: no second page is attempted.
        Err(error) => {
            tracing::error!(%error, "an error page could not be made");
            status.into_response()
        }
    }
}

fn to_sign_in(failed: &Failed<'_>) -> Response {
    let asked = failed.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let next = asked.filter(|_| *failed.method == Method::GET).and_then(local_path);
    let to = match next.map(|next| serde_urlencoded::to_string([("next", next)])) {
        Some(Ok(query)) => format!("/login?{query}"),
        _ => "/login".to_owned(),
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/login"));
    response.headers_mut().insert(header::LOCATION, to);
    response
}

fn words(failed: &Failed<'_>) -> (&'static str, &'static str) {
    let kind = failed.problem.kind();
    match kind.status {
        _ if kind.code == CROSS_SITE.code => (
            "This form is out of date",
            "It was opened before you signed in or out, or it did not come from here. Nothing was changed. Open the page again and send it once more.",
        ),
        403 => ("You can't open this page", "Your account does not have the role that it takes."),
        404 => ("There is no such page", "The address may be mistyped, or what was here is gone."),
        405 => ("This page can't be used like that", "Go back and try it from the page before."),
        409 | 412 => {
            ("Something changed in the meantime", "Open the page again to see how things stand now.")
        }
        410 => {
            ("This link does not work any more", "It has expired, was used already, or a newer one was sent.")
        }
        413 | 414 | 431 => ("That was too much", "What was sent is larger than this page takes."),
        _ if kind.code == RATE_LIMITED.code => (
            "Too many requests",
            "Too much came from you, or from your network, in a short time. Please wait a moment, then try again.",
        ),
        429 => ("Too many attempts", "Please wait a moment, then try again."),
        503 => {
            ("One moment, please", "The server is busy or being looked after. Try again in a few seconds.")
        }
        500.. => ("Something went wrong", "It was our fault, and it was noted. Trying again may help."),
        _ => ("That did not work", "The server could not read what was sent."),
    }
}
