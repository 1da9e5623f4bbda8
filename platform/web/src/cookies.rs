use std::fmt;

use http::HeaderValue;

/// A cookie to set. No script can read it, and no other site's request but a plain link brings it along.
#[derive(Clone)]
pub struct Cookie {
    name: &'static str,
    value: String,
    secure: bool,
    max_age_s: Option<u64>,
}

impl Cookie {
    /// A cookie that ends with the browser.
    pub(crate) fn new(name: &'static str, value: String, secure: bool) -> Self {
        Self { name, value, secure, max_age_s: None }
    }

    pub(crate) fn lasting(self, max_age_s: u64) -> Self {
        Self { max_age_s: Some(max_age_s), ..self }
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let Self { name, value, secure, max_age_s } = self;
        let secure = if *secure { "; Secure" } else { "" };
        let age = max_age_s.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
        let line = format!("{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}");
        let mut header = HeaderValue::try_from(line).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({})", self.name)
    }
}
