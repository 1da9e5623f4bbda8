//! From a letter to the text and the HTML of a mail.

use askama::Template;
use mainstay_core::text;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Body, Letter};

/// Columns of the text part. Words longer than that, addresses above all, stay whole.
const COLUMNS: usize = 72;
/// Most characters of a subject.
const MOST_SUBJECT: usize = 150;

/// What is the same in all mails of an installation.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// The product's name, in the footer.
    pub product: String,
    /// Where people reach the installation: `http` or `https`. The links of letters begin with
    /// it and with nothing that a request says.
    pub public_url: Url,
}

impl Letterhead {
    /// The address of a path under the public URL (`/invitations/…`), or a whole address as it
    /// is. `None` if it is neither, or not `http` or `https`.
    #[must_use]
    pub fn link(&self, target: &str) -> Option<Url> {
        let url = if target.starts_with('/') {
            // Not `Url::join`: it would take `//elsewhere` for another host, and drop the path
            // under which the installation may be.
            let home = self.public_url.as_str().trim_end_matches('/');
            Url::parse(&format!("{home}{target}"))
        } else {
            Url::parse(target)
        };
        url.ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    }

    /// The host of the public URL; `localhost` where it has none.
    pub(crate) fn host(&self) -> &str {
        self.public_url.host_str().unwrap_or("localhost")
    }
}

/// The two forms of a mail's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Plain text, wrapped at 72 columns.
    pub text: String,
    /// HTML with nothing in it that a mail program would have to fetch.
    pub html: String,
}

/// A letter as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// What it says.
    pub content: Content,
}

/// Renders a letter.
#[must_use]
pub fn render(letter: &impl Letter, head: &Letterhead) -> Rendered {
    let subject = one_line(&letter.subject(), MOST_SUBJECT);
    let parts = Parts::of(letter.body(), head);
    let html = Html {
        subject: &subject,
        greeting: parts.greeting.as_deref(),
        paragraphs: &parts.paragraphs,
        facts: &parts.facts,
        code: parts.code.as_deref(),
        action: parts.action.as_ref(),
        note: parts.note.as_deref(),
        product: &parts.product,
        home: &parts.home,
    };
    let text = Text { blocks: parts.text_blocks(), product: &parts.product, home: &parts.home };
    let html = html.render().expect("the template only writes to a String");
    let text = text.render().expect("the template only writes to a String");
    Rendered { subject, content: Content { text, html } }
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    subject: &'a str,
    greeting: Option<&'a str>,
    paragraphs: &'a [Vec<String>],
    facts: &'a [Fact],
    code: Option<&'a str>,
    action: Option<&'a Action>,
    note: Option<&'a [String]>,
    product: &'a str,
    home: &'a str,
}

#[derive(Template)]
#[template(path = "letter.txt")]
struct Text<'a> {
    blocks: Vec<String>,
    product: &'a str,
    home: &'a str,
}

struct Fact {
    name: String,
    value: String,
}

struct Action {
    label: String,
    url: String,
}

/// A body with every text cleaned and every link made.
struct Parts {
    greeting: Option<String>,
    paragraphs: Vec<Vec<String>>,
    facts: Vec<Fact>,
    code: Option<String>,
    action: Option<Action>,
    note: Option<Vec<String>>,
    product: String,
    home: String,
}

impl Parts {
    fn of(body: Body, head: &Letterhead) -> Self {
        let Body { greeting, paragraphs, facts, code, action, note } = body;
        let line = |text: String| one_line(&text, usize::MAX);
        Self {
            greeting: greeting.map(line),
            paragraphs: paragraphs.iter().map(|text| lines(text)).collect(),
            facts: facts
                .into_iter()
                .map(|(name, value)| Fact { name: line(name), value: line(value) })
                .collect(),
            code: code.map(line),
            action: action.and_then(|(label, target)| {
                let url = head.link(&target)?.to_string();
                Some(Action { label: line(label), url })
            }),
            note: note.map(|text| lines(&text)),
            product: line(head.product.clone()),
            home: head.public_url.to_string(),
        }
    }

    fn text_blocks(&self) -> Vec<String> {
        let wrap_all =
            |lines: &[String]| lines.iter().map(|line| wrap(line, "")).collect::<Vec<_>>().join("\n");
        let mut blocks: Vec<String> = self.greeting.iter().map(|greeting| wrap(greeting, "")).collect();
        blocks.extend(self.paragraphs.iter().map(|paragraph| wrap_all(paragraph)));
        if !self.facts.is_empty() {
            let facts = self.facts.iter().map(|Fact { name, value }| wrap(&format!("{name}: {value}"), "  "));
            blocks.push(facts.collect::<Vec<_>>().join("\n"));
        }
        blocks.extend(self.code.iter().map(|code| format!("    {code}")));
        // The address alone on its line: nothing sticks to it when a program makes it a link.
        blocks.extend(self.action.iter().map(|Action { label, url }| format!("{label}:\n{url}")));
        blocks.extend(self.note.iter().map(|note| wrap_all(note)));
        blocks
    }
}

/// One line without control characters, of at most `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let line = text::clean_line(text).replace(char::is_control, "");
    match line.char_indices().nth(most) {
        Some((end, _)) => line[..end].to_owned(),
        None => line,
    }
}

fn lines(text: &str) -> Vec<String> {
    text.trim().lines().map(|line| one_line(line, usize::MAX)).collect()
}

/// Breaks a line between words; what follows the first line is set in by `hang`.
fn wrap(line: &str, hang: &str) -> String {
    let mut wrapped = String::with_capacity(line.len());
    let mut column = 0;
    for word in line.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            wrapped.push('\n');
            wrapped.push_str(hang);
            column = hang.len();
        } else if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += width;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str) -> Letterhead {
        Letterhead { product: "Mainstay".to_owned(), public_url: url.parse().unwrap() }
    }

    #[test]
    fn links_stay_under_the_public_url() {
        let link = |home: &str, target: &str| head(home).link(target).map(|url| url.to_string());
        assert_eq!(link("https://a.example", "/x?t=1").as_deref(), Some("https://a.example/x?t=1"));
        assert_eq!(link("https://a.example/app/", "/x").as_deref(), Some("https://a.example/app/x"));
        assert_eq!(
            link("https://a.example", "//evil.example/x").as_deref(),
            Some("https://a.example//evil.example/x")
        );
        assert_eq!(link("https://a.example", "https://b.example/").as_deref(), Some("https://b.example/"));
        for bad in ["javascript:alert(1)", "data:text/html,x", "x", ""] {
            assert_eq!(link("https://a.example", bad), None, "{bad:?}");
        }
    }

    #[test]
    fn text_is_wrapped_between_words_and_addresses_stay_whole() {
        let url = format!("https://example.com/{}", "x".repeat(100));
        let wrapped = wrap(&format!("{} {url} {}", "word ".repeat(20).trim(), "end ".repeat(30).trim()), "");
        assert!(wrapped.lines().any(|line| line == url));
        assert!(wrapped.lines().filter(|line| *line != url).all(|line| line.chars().count() <= COLUMNS));
        assert_eq!(wrapped.split_whitespace().count(), 51);
    }

    #[test]
    fn a_line_has_no_controls_and_a_bounded_length() {
        assert_eq!(one_line(" a\r\nBcc: b\0\u{1b}[1m ", 100), "a Bcc: b[1m");
        assert_eq!(one_line("çığ çığ", 3), "çığ");
    }
}
