//! Whether a browser sends a change from a page of ours.

use http::{HeaderMap, HeaderName, Method, header};
use mainstay_core::Problem;
use url::Url;

mainstay_core::problems! {
    /// A change that no page of ours sent.
    pub CROSS_SITE = 403 "cross_site", "Not sent from a page of this server",
        "A form of the console was sent from somewhere else, or has become too old. Open the page again and send it from there. Programs use the API under `/api/v1` with a token.";
}

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme, host and port of a URL, as browsers write it.
pub(crate) fn origin_of(url: &str) -> String {
    Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// Refuses what changes something and does not come from a page of this very origin. A sibling
/// under the same domain is as foreign as any other. Browsers without `Sec-Fetch-Site` (and all of
/// them without TLS, except on localhost) are known by their `Origin`; without either nothing passes.
pub(crate) fn check(origin: &str, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let passes = match (text(&SEC_FETCH_SITE), text(&header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(given)) => given == origin || is_host(given, text(&header::HOST)),
        (None, None) => false,
    };
    if passes { Ok(()) } else { Err(CROSS_SITE.because("This was not sent from a page of this server.")) }
}

/// Whether an origin is the host that was asked: `localhost` is reached under several names.
fn is_host(origin: &str, host: Option<&str>) -> bool {
    let given = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    given.is_some_and(|given| !given.is_empty() && Some(given) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_may_change_something() {
        let passes = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, http::HeaderValue::from_static(value));
            }
            check("https://app.example.com", &Method::POST, &headers).is_ok()
        };
        let (site, origin, host) = ("sec-fetch-site", "origin", "host");
        assert!(passes(&[(site, "same-origin")]));
        assert!(passes(&[(origin, "https://app.example.com")]));
        assert!(passes(&[(origin, "http://localhost:8080"), (host, "localhost:8080")]));
        for refused in [
            &[][..],
            &[(site, "same-site")],
            &[(site, "cross-site")],
            &[(site, "none")],
            &[(site, "")],
            &[(site, "cross-site"), (origin, "https://app.example.com")],
            &[(origin, "null")],
            &[(origin, "null"), (host, "null")],
            &[(origin, "")],
            &[(origin, "https://"), (host, "")],
            &[(origin, "https://evil.example.com"), (host, "app.example.com")],
            &[(origin, "https://app.example.com.evil.org"), (host, "app.example.com")],
        ] {
            assert!(!passes(refused), "{refused:?}");
        }
        assert!(check("", &Method::GET, &HeaderMap::new()).is_ok());
        assert_eq!(origin_of("https://App.example.com:443/x/"), "https://app.example.com");
        assert_eq!(origin_of("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
    }
}
