//! What stands around every page.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use mainstay_core::Problem;

use crate::{Flash, NavLink, assets};

/// How wide a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One form or one message, in a card.
    Narrow,
    /// Text and lists.
    Wide,
}

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// So that a form says where it comes from; other sites still hear nothing.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

#[derive(Template)]
#[template(path = "layout.html")]
pub(crate) struct Layout<'a> {
    pub(crate) title: &'a str,
    pub(crate) is_fault: bool,
    pub(crate) shape: Shape,
    pub(crate) nav: Nav<'a>,
    pub(crate) flash: Option<&'a Flash>,
    pub(crate) content: &'a str,
}

/// The links in the head.
#[derive(Debug)]
pub(crate) enum Nav<'a> {
    /// Nothing is known of who looks.
    None,
    /// Nobody is signed in.
    Guest,
    /// Somebody is.
    SignedIn { links: &'a [NavLink], path: &'a str, token: &'a str },
}

impl Layout<'_> {
    fn stylesheet(&self) -> &'static str {
        assets::stylesheet()
    }

    fn icon(&self) -> &'static str {
        assets::icon()
    }

    pub(crate) fn respond(&self, status: StatusCode) -> Response {
        let html = match self.render() {
            Ok(html) => html,
            Err(error) => return Problem::internal(error).into_response(),
        };
        let mut response = (status, Html(html)).into_response();
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
        response.headers_mut().insert(header::REFERRER_POLICY, REFERRER);
        response
    }
}
