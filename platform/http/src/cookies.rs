//! Reading cookies.

use http::{HeaderMap, header};

/// The name of the cookie that holds a browser's session. Over TLS its prefix makes browsers
/// refuse one that another host, or a page without TLS, wants to set.
#[must_use]
pub const fn session_name(is_tls: bool) -> &'static str {
    if is_tls { "__Host-mainstay" } else { "mainstay" }
}

/// The cookie of this name. `None` if there is none, or several with different values: which of
/// them is ours, nobody can tell.
#[must_use]
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_only_if_it_is_one() {
        let found = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, http::HeaderValue::from_static(line));
            }
            find(&headers, "a").map(str::to_owned)
        };
        assert_eq!(found(&["b=1; a=2;c=3"]).as_deref(), Some("2"));
        assert_eq!(found(&["b=1", "a=2"]).as_deref(), Some("2"));
        assert_eq!(found(&["a=x=y"]).as_deref(), Some("x=y"));
        assert_eq!(found(&["a=1; a=1"]).as_deref(), Some("1"));
        for none in [&["a=1; a=2"][..], &["aa=1; A=1; a"], &[]] {
            assert_eq!(found(none), None, "{none:?}");
        }
    }
}
