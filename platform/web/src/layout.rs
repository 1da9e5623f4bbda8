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
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The rules that csp_evaluator has for a policy, and what we want beyond them.
    #[test]
    fn the_policy_lets_nothing_in_but_our_own_stylesheet_and_pictures() {
        let text = POLICY.to_str().unwrap().to_owned();
        let directives: Vec<(&str, Vec<&str>)> = text
            .split("; ")
            .map(|directive| {
                let mut words = directive.split(' ');
                (words.next().unwrap(), words.collect())
            })
            .collect();
        let policy: BTreeMap<_, _> = directives.iter().cloned().collect();
        assert_eq!(policy.len(), directives.len(), "a second directive of a name counts for nothing");

        // What has no directive of its own falls back to this one: scripts, plug-ins, frames, fonts,
        // connections, workers, manifests.
        assert_eq!(policy["default-src"], ["'none'"]);
        for closed in
            ["script-src", "script-src-elem", "script-src-attr", "object-src", "frame-src", "worker-src"]
        {
            assert!(!policy.contains_key(closed), "{closed} would open what default-src closes");
        }
        // These fall back to nothing.
        assert_eq!(policy["base-uri"], ["'none'"], "no page's links can be turned elsewhere");
        assert_eq!(policy["form-action"], ["'self'"], "nothing that is typed goes elsewhere");
        assert_eq!(policy["frame-ancestors"], ["'none'"], "nobody lays a page under theirs");
        assert_eq!(policy["style-src"], ["'self'"]);
        assert_eq!(policy["img-src"], ["'self'"]);
        // No host, no scheme, no wildcard, nothing inline: a missing quote would make a host of a keyword.
        let sources = policy.values().flatten();
        assert!(sources.into_iter().all(|source| ["'none'", "'self'"].contains(source)), "{text}");
        assert_eq!(policy.len(), 6, "whatever is added here has to be judged here: {text}");
    }
}
