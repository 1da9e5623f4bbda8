//! A website, and its address.

use std::fmt;

use mainstay_core::input::Text;
use mainstay_core::{Invalid, Patch, Sorting, Timestamp, UserId};
use serde_json::{Value, json};
use url::Url;

use super::organization::Name;
use super::{OrganizationId, WebsiteId};

/// The address of a website in its one spelling: `http` or `https`, host in lower case and ASCII, no
/// port that goes without saying, no fragment, no credentials. At most 2,000 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebsiteUrl(String);

impl WebsiteUrl {
    /// Reads an address; white space at the ends goes.
    ///
    /// # Errors
    /// `invalid_url` or `too_long`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const MOST: usize = 2_000;
        let invalid = || Invalid::new("invalid_url", "must be an address such as https://www.example.com/");
        let too_long = || Invalid::new("too_long", format!("must have at most {MOST} characters"));
        if text.chars().count() > MOST {
            return Err(too_long());
        }
        // The parser passes over tabs and line breaks; what somebody typed there was no address.
        if text.trim().contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(invalid());
        }
        let mut url = Url::parse(text.trim()).map_err(|_| invalid())?;
        let plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) || !plain {
            return Err(invalid());
        }
        url.set_fragment(None);
        // Escapes may have made it longer, and an index's entry has a largest size.
        if url.as_str().len() > MOST { Err(too_long()) } else { Ok(Self(url.into())) }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for WebsiteUrl {
    fn schema() -> Value {
        json!({
            "type": "string", "format": "uri", "maxLength": 2000, "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
            "examples": ["https://www.example.com/"],
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Display for WebsiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

mainstay_core::text_type! {
    /// What a website is about: 1 to 2,000 characters.
    pub struct Description(1..=2000);
}

mainstay_core::input! {
    /// A website to add.
    pub struct NewWebsite {
        /// Its name: 1 to 100 characters.
        name: Name,
        /// Its address, `http` or `https`. No two websites of an organization share one.
        url: WebsiteUrl,
        /// What it is about, up to 2,000 characters. None if absent or `null`.
        description: Option<Description>,
    }
}

mainstay_core::input! {
    /// What is to change about a website. What is absent stays as it is.
    pub struct WebsitePatch {
        /// Its name: 1 to 100 characters.
        name: Patch<Name>,
        /// Its address, `http` or `https`.
        url: Patch<WebsiteUrl>,
        /// What it is about; `null` takes it away.
        description: Patch<Option<Description>>,
    }
}

/// A website.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Website {
    /// Names it.
    pub id: WebsiteId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What it is about. `None` if nothing is said.
    pub description: Option<String>,
    /// Who added it. The account may be gone since.
    pub created_by: UserId,
    /// Counts its changes, from 1: the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Website {
    /// The website as it is after this change.
    #[must_use]
    pub fn patched(&self, patch: WebsitePatch) -> Self {
        let WebsitePatch { name, url, description } = patch;
        let mut website = self.clone();
        website.name = name.map(Name::into_string).over(website.name);
        website.url = url.map(|url| url.0).over(website.url);
        website.description =
            description.map(|text| text.map(Description::into_string)).over(website.description);
        website
    }
}

/// The orders that websites are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebsiteOrder {
    /// By name, without case and accents.
    Name,
    /// By when they were added.
    CreatedAt,
}

impl Sorting for WebsiteOrder {
    const ALL: &'static [(&'static str, Self)] = &[("name", Self::Name), ("created_at", Self::CreatedAt)];
    const DEFAULT: (Self, bool) = (Self::Name, false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for (text, expected) in [
            ("https://Example.COM", "https://example.com/"),
            (" http://example.com:80/a#part ", "http://example.com/a"),
            ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
            ("https://example.com:8443/?q=1", "https://example.com:8443/?q=1"),
        ] {
            assert_eq!(WebsiteUrl::parse(text).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn what_is_no_public_address_is_refused() {
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "javascript:alert(1)",
            "https://",
            "https://me:secret@example.com",
            "https://exa mple.com",
            "https://example.com/\nx",
            "file:///etc/passwd",
        ] {
            assert_eq!(WebsiteUrl::parse(bad).unwrap_err().code, "invalid_url", "{bad:?}");
        }
        let escapes = format!("https://example.com/{}", "ä".repeat(400));
        assert_eq!(WebsiteUrl::parse(&escapes).unwrap_err().code, "too_long");
    }
}
