use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use mainstay_auth::{Access, Caller};
use mainstay_core::Rng;
use mainstay_core::seal::RootKey;
use mainstay_http::cookies::session_name;

use crate::Cookie;
use crate::seal::Seal;

/// What pages are made with. Cheap to clone.
#[derive(Clone)]
pub struct Web(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) seal: Seal,
    pub(crate) is_tls: bool,
    links: RwLock<Vec<NavLink>>,
}

/// A link in the head of every page.
#[derive(Clone, Copy, Debug)]
pub struct NavLink {
    /// Its text.
    pub label: &'static str,
    /// Where it leads.
    pub path: &'static str,
    /// Where else pages of that part are.
    pub also: &'static [&'static str],
    /// What is there, in a sentence: the home page says it.
    pub about: &'static str,
    /// Who sees it.
    pub access: Access,
}

impl NavLink {
    /// `aria-current` of the link on the page at `path`: that page itself, or another of its part.
    pub(crate) fn current(&self, path: &str) -> Option<&'static str> {
        let is_within = |part: &&str| {
            path.strip_prefix(*part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match path {
            _ if path == self.path => Some("page"),
            _ if std::iter::once(&self.path).chain(self.also).any(is_within) => Some("true"),
            _ => None,
        }
    }
}

impl Web {
    /// For a server that people reach at `public_url`.
    #[must_use]
    pub fn new(root_key: &RootKey, rng: Arc<dyn Rng>, public_url: &str) -> Self {
        let is_tls = public_url.starts_with("https://");
        Self(Arc::new(Inner { seal: Seal::new(root_key, rng), is_tls, links: RwLock::default() }))
    }

    /// Adds a link to the head of every page.
    pub fn link(&self, link: NavLink) {
        self.0.links.write().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    pub(crate) fn links_for(&self, caller: &Caller) -> Vec<NavLink> {
        let links = self.0.links.read().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter(|link| link.access.check(caller).is_ok()).copied().collect()
    }

    /// The cookie that holds a browser's session, for as long as the session can last.
    #[must_use]
    pub fn session_cookie(&self, value: String, max_age_s: u64) -> Cookie {
        Cookie::new(self.session_name(), value, self.0.is_tls).lasting(max_age_s)
    }

    /// Takes the session's cookie away.
    #[must_use]
    pub fn no_session_cookie(&self) -> Cookie {
        Cookie::new(self.session_name(), String::new(), self.0.is_tls).lasting(0)
    }

    pub(crate) fn session_name(&self) -> &'static str {
        session_name(self.0.is_tls)
    }

    pub(crate) fn guest_name(&self) -> &'static str {
        if self.0.is_tls { "__Host-mainstay-guest" } else { "mainstay-guest" }
    }

    pub(crate) fn flash_name(&self) -> &'static str {
        if self.0.is_tls { "__Host-mainstay-flash" } else { "mainstay-flash" }
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_current_on_its_page_and_on_those_of_its_part() {
        let link = NavLink {
            label: "Things",
            path: "/things",
            also: &["/parts"],
            about: "",
            access: Access::Public,
        };
        for (path, current) in [
            ("/things", Some("page")),
            ("/things/1", Some("true")),
            ("/parts", Some("true")),
            ("/parts/1/edit", Some("true")),
            ("/thingsandmore", None),
            ("/partsandmore/1", None),
            ("/", None),
        ] {
            assert_eq!(link.current(path), current, "{path}");
        }
    }
}
