use std::collections::BTreeMap;

use http::{HeaderMap, Method, header};

use crate::client::{Client, Reply};

/// Somebody who looks at pages: keeps cookies, and sends forms as a browser does.
#[derive(Clone, Debug)]
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
    /// The page that is open.
    page: String,
}

impl Browser {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, cookies: BTreeMap::new(), page: String::new() }
    }

    /// Opens a page. Redirects are not followed.
    pub async fn open(&mut self, path: &str) -> Reply {
        self.request(Method::GET, path, &[("sec-fetch-site", "none"), ("accept", "text/html")], String::new())
            .await
    }

    /// Sends a form of the page that is open, with its token, from a page of this server.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.form_token();
        let fields: Vec<_> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        let headers = [("sec-fetch-site", "same-origin"), ("content-type", FORM)];
        self.request(Method::POST, path, &headers, encode(&fields)).await
    }

    /// The same, and where the redirect leads.
    pub async fn submit_and_follow(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = self.submit(path, fields).await;
        assert_eq!(reply.status, 303, "{}", reply.text());
        let to = reply.header("location").to_owned();
        self.open(&to).await
    }

    /// Anything else, with the cookies.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Reply {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let reply = self.client.raw(method, path, &headers, body).await;
        self.keep(&reply.headers);
        if reply.header("content-type").starts_with("text/html") {
            self.page = reply.text();
        }
        reply
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().expect("cookies are text");
            let (name, rest) = line.split_once('=').expect("a cookie has a name");
            let value = rest.split(';').next().unwrap_or_default();
            if line.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The token of the forms of the page that is open; empty if there is no form.
    #[must_use]
    pub fn form_token(&self) -> String {
        let after = self.page.split("name=\"form_token\" value=\"").nth(1);
        after.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }

    /// The value of a hidden field of the page that is open; empty if there is none.
    #[must_use]
    pub fn hidden(&self, name: &str) -> String {
        let after = self.page.split(&format!("type=\"hidden\" name=\"{name}\" value=\"")).nth(1);
        after.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }

    /// A cookie's value.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Sets a cookie, as somebody else might.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn encode(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).expect("text can be encoded")
}
