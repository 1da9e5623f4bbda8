use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use askama::Template;
use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_auth::Caller;
use mainstay_core::page::Start;
use mainstay_core::{Paging, Problem, Sorting};
use mainstay_http::cookies;

use crate::layout::{Layout, Nav};
use crate::{Cookie, Flash, Form, NavLink, Shape, Web};

/// Nobody reads further, and an offset has to stay a number that databases take.
const MOST_PAGES: u32 = 1_000_000;

/// One look at a page: who looks, and how it is answered.
#[derive(Debug)]
pub struct Visit {
    web: Web,
    caller: Caller,
    path: String,
    query: String,
    /// What the tokens of forms are bound to: the session's cookie, or a guest's.
    bound_to: String,
    is_new_guest: bool,
    uses_token: AtomicBool,
    flash: Option<Flash>,
    has_flash: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    Web: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self::new(Web::from_ref(state), caller, parts))
    }
}

impl Visit {
    fn new(web: Web, caller: Caller, parts: &Parts) -> Self {
        let headers = &parts.headers;
        let session = cookies::find(headers, web.session_name()).filter(|_| caller.user().is_some());
        let known = session.or_else(|| guest(headers, &web)).map(str::to_owned);
        let signed = cookies::find(headers, web.flash_name());
        let flash = signed.and_then(|signed| Flash::from_line(&web.0.seal.open_flash(signed)?));
        Self {
            is_new_guest: known.is_none(),
            bound_to: known.unwrap_or_else(|| web.0.seal.random()),
            has_flash: signed.is_some(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            uses_token: AtomicBool::new(false),
            web,
            caller,
            flash,
        }
    }

    /// Who looks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What pages are made with.
    #[must_use]
    pub fn web(&self) -> &Web {
        &self.web
    }

    /// A parameter of the address; empty if it is not there.
    #[must_use]
    pub fn query(&self, name: &str) -> String {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&self.query).unwrap_or_default();
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
    }

    /// A form that this visitor may send to `action`. `id` tells its fields from those of other
    /// forms on the page.
    #[must_use]
    pub fn form(
        &self,
        id: impl Into<Cow<'static, str>>,
        action: impl Into<Cow<'static, str>>,
        button: &'static str,
    ) -> Form {
        Form::new(id.into(), action.into(), button, self.token())
    }

    /// Which page of a list is asked for, by `?page=`: the first, if that says nothing sensible.
    #[must_use]
    pub fn paging<S: Sorting>(&self, page_size: u16) -> Paging<S> {
        let number = self.query("page").parse().unwrap_or(1).clamp(1, MOST_PAGES);
        Paging { start: Start::Page(number), ..Paging::first(page_size) }
    }

    /// The links in the head of every page, for who looks.
    #[must_use]
    pub fn links(&self) -> Vec<NavLink> {
        self.web.links_for(&self.caller)
    }

    fn token(&self) -> String {
        self.uses_token.store(true, Ordering::Relaxed);
        self.web.0.seal.token(&self.bound_to)
    }

    /// Whether a form was made for this very visitor.
    pub(crate) fn owns(&self, token: &str) -> bool {
        !self.is_new_guest && self.web.0.seal.is_token(token, &self.bound_to)
    }

    /// The page, in the layout. A 4xx `status` is told in its title, too.
    pub fn show(&self, status: StatusCode, title: &str, shape: Shape, content: &impl Template) -> Response {
        let content = match content.render() {
            Ok(content) => content,
            Err(error) => return Problem::internal(error).into_response(),
        };
        let links = self.web.links_for(&self.caller);
        let token = self.caller.user().map(|_| self.token());
        let nav = match &token {
            Some(token) => Nav::SignedIn { links: &links, path: &self.path, token },
            None => Nav::Guest,
        };
        let (is_fault, flash) = (status.is_client_error(), self.flash.as_ref());
        let layout = Layout { title, is_fault, shape, nav, flash, content: &content };
        let mut response = layout.respond(status);
        if self.has_flash {
            self.set(&mut response, &self.flash_cookie(None));
        }
        if self.is_new_guest && self.uses_token.load(Ordering::Relaxed) {
            let cookie = Cookie::new(self.web.guest_name(), self.bound_to.clone(), self.web.0.is_tls);
            self.set(&mut response, &cookie);
        }
        response
    }

    /// To another page of ours, which shows the message. What was sent is not sent again when that
    /// page is loaded again.
    #[must_use]
    pub fn redirect(&self, to: &str, flash: Option<Flash>) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        // A path that is none of ours must never be followed.
        let to = crate::local_path(to).and_then(|to| HeaderValue::try_from(to).ok());
        let to = to.unwrap_or(HeaderValue::from_static("/"));
        response.headers_mut().insert(header::LOCATION, to);
        if let Some(flash) = flash {
            self.set(&mut response, &self.flash_cookie(Some(&flash)));
        }
        response
    }

    /// Gives a redirect a message for the page that it leads to.
    pub fn say(&self, response: &mut Response, flash: &Flash) {
        self.set(response, &self.flash_cookie(Some(flash)));
    }

    /// Sets a cookie with an answer.
    pub fn set(&self, response: &mut Response, cookie: &Cookie) {
        if let Some(line) = cookie.header() {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
    }

    /// Takes the guest's cookie away: the forms of before a sign-in are no use after it.
    pub fn end_guest(&self, response: &mut Response) {
        let cookie = Cookie::new(self.web.guest_name(), String::new(), self.web.0.is_tls).lasting(0);
        self.set(response, &cookie);
    }

    fn flash_cookie(&self, flash: Option<&Flash>) -> Cookie {
        const MINUTE: u64 = 60;
        let value = flash.map(|flash| self.web.0.seal.sign_flash(&flash.to_line())).unwrap_or_default();
        let age = if flash.is_some() { MINUTE } else { 0 };
        Cookie::new(self.web.flash_name(), value, self.web.0.is_tls).lasting(age)
    }
}

/// A guest's cookie, if it has the form of one.
fn guest<'a>(headers: &'a HeaderMap, web: &Web) -> Option<&'a str> {
    cookies::find(headers, web.guest_name()).filter(|value| value.len() == 43)
}
