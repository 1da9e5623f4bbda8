//! Small texts in pages.

use mainstay_core::Timestamp;

/// A moment for people: `2026-01-31 09:30 UTC`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// Where to go next, if that is a page of this server: a path that no browser can take for
/// another host's address.
#[must_use]
pub fn local_path(next: &str) -> Option<&str> {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let rest = next.strip_prefix('/')?;
    (plain && next.len() <= 500 && !rest.starts_with('/')).then_some(next)
}

/// A text whose addresses are links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked<'a>(pub Vec<Line<'a>>);

/// A line of a [`Linked`] text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// As it is.
    Plain(&'a str),
    /// An address, alone on its line.
    Link(&'a str),
}

impl<'a> Linked<'a> {
    /// Reads a text. Only an `http` or `https` address that has a line to itself becomes a link.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let line = |line: &'a str| {
            let word = line.trim();
            let address = word.starts_with("https://") || word.starts_with("http://");
            if address && !word.contains(char::is_whitespace) { Line::Link(word) } else { Line::Plain(line) }
        };
        Self(text.lines().map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_short() {
        assert_eq!(moment(Timestamp::from_millis(1_769_851_800_000)), "2026-01-31 09:30 UTC");
    }

    #[test]
    fn only_paths_of_this_server_are_local() {
        for good in ["/", "/console/account", "/a?b=c&d=%2F%2Fevil.example", "/login#x"] {
            assert_eq!(local_path(good), Some(good));
        }
        let long = format!("/{}", "x".repeat(500));
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            " /x",
            "/x\r\nSet-Cookie: a=b",
            "/ü",
            "/x y",
            "///evil.example",
            &long,
        ] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn addresses_with_a_line_to_themselves_become_links() {
        let text = "Hello\n  https://a.example/x?y=z\njavascript:alert(1)\nsee https://b.example now";
        let expected = [
            Line::Plain("Hello"),
            Line::Link("https://a.example/x?y=z"),
            Line::Plain("javascript:alert(1)"),
            Line::Plain("see https://b.example now"),
        ];
        assert_eq!(Linked::of(text).0, expected);
    }
}
