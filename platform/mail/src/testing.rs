//! Checks of letters, for the tests of those who write them.

use url::Url;

use crate::{Body, Letter, Letterhead, Rendered, render};

/// The tags of our layout. Any other came out of a field.
const TAGS: &[&str] = &[
    "!doctype", "html", "head", "meta", "title", "style", "body", "table", "tr", "td", "p", "br", "a", "span",
];
/// Those of them that are never closed.
const VOID: &[&str] = &["!doctype", "meta", "br"];

/// A letterhead for tests: `Mainstay` at `https://mainstay.example`.
#[must_use]
pub fn letterhead() -> Letterhead {
    let public_url = Url::parse("https://mainstay.example").expect("this is a URL");
    Letterhead { product: "Mainstay".to_owned(), public_url }
}

/// Renders every sample of a letter and checks what all letters must keep: a template's name, a
/// subject of 1 to 99 characters, every text of the body in both parts, a link that leads
/// somewhere, HTML whose tags are ours and closed.
///
/// Let one sample hold markup (`<b>`), so that there is something to escape.
///
/// # Panics
/// If a sample breaks a rule, or there is none.
pub fn check_letter<L: Letter>() {
    let name = L::TEMPLATE;
    assert!(
        (1..=100).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
        "{name:?} is no name of a template"
    );
    let samples = L::samples();
    assert!(!samples.is_empty(), "{name} has no samples");
    for (number, sample) in samples.iter().enumerate() {
        let rendered = render(sample, &letterhead());
        check(&format!("{name}, sample {number}"), &sample.body(), &rendered, &sample.subject());
    }
}

fn check(name: &str, body: &Body, rendered: &Rendered, subject: &str) {
    let Rendered { subject: shown, content } = rendered;
    assert!(
        (1..100).contains(&shown.chars().count()),
        "{name}: the subject {shown:?} has not 1 to 99 characters"
    );
    assert_eq!(shown, subject, "{name}: the subject is not one clean line");
    let Body { greeting, paragraphs, facts, code, action, note } = body;
    assert!(!paragraphs.is_empty(), "{name} says nothing");
    let (flat_text, shown_html) = (flat(&content.text), flat(&unescape(&without_tags(&content.html))));
    let facts = facts.iter().flat_map(|(name, value)| [name, value]);
    for said in greeting.iter().chain(paragraphs).chain(facts).chain(code).chain(note) {
        let said = flat(&said.replace(char::is_control, " "));
        assert!(flat_text.contains(&said), "{name}: {said:?} is not in the text part:\n{}", content.text);
        assert!(shown_html.contains(&said), "{name}: {said:?} is not in the HTML part:\n{}", content.html);
    }
    if let Some((label, target)) = action {
        let url = letterhead().link(target);
        let url = url.unwrap_or_else(|| panic!("{name}: {label:?} leads to {target:?}, which is no link"));
        assert!(
            content.text.lines().any(|line| line == url.as_str()),
            "{name}: {url} is no line of the text"
        );
        assert!(unescape(&content.html).contains(&format!("href=\"{url}\"")), "{name}: no link to {url}");
    }
    check_tags(name, &content.html);
}

/// Text without its line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without_tags(html: &str) -> String {
    html.split('<')
        .map(|part| part.split_once('>').map_or(part, |(_, text)| text))
        .collect::<Vec<_>>()
        .join(" ")
}

fn unescape(html: &str) -> String {
    [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#38;", "&"),
    ]
    .iter()
    .fold(html.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

/// Whether every tag is one of ours and closed in its turn.
fn check_tags(name: &str, html: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{name}: a stray < before {part:?}"));
        let word = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        assert!(TAGS.contains(&word), "{name}: <{tag}> came into the HTML");
        let loads = [" on", "src=", "url("].iter().any(|bad| tag.contains(bad));
        assert!(!loads, "{name}: <{tag}> runs or fetches something");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(word), "{name}: <{tag}> closes another tag");
        } else if !VOID.contains(&word) {
            open.push(word);
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} are not closed");
}
