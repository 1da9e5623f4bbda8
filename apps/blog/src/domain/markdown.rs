//! From Markdown to HTML that a page may show as it is.
//!
//! CommonMark with tables and strikethrough, HTML inside included; then everything goes that is not
//! on a list of harmless tags, attributes and addresses. The HTML is made when a post is written and
//! kept beside its text, with the number of the rules it was made by ([`RENDERER`]): a list of twenty
//! posts must not render twenty texts, and better rules must reach posts that were written before them.

use std::collections::HashSet;
use std::sync::LazyLock;

use pulldown_cmark::{Event, Options, Parser};

/// The rules' number. Count it up whenever the same text gives other HTML: what was kept under another
/// number is made anew when it is read.
pub const RENDERER: i32 = 2;

/// Quotes in quotes in quotes: deeper ones are set like the last. Whoever lays out the HTML, our own
/// sanitizer first, pays for depth with the square of it.
const MOST_DEPTH: usize = 50;
/// Tags and bytes of HTML that one text may hold, for the same reason. What comes after is shown as text.
const MOST_RAW_TAGS: usize = 500;
const MOST_RAW_BYTES: usize = 20_000;

/// The parser makes every row of a table as wide as its head, whatever stands in it: a hundred kilobytes
/// can ask for millions of cells. A text that could have more than these shows its tables as text.
const MOST_CELLS: usize = 50_000;
/// Bytes of HTML that a text may become. No text that somebody would write comes near it.
pub const MOST_HTML: usize = 1_000_000;

/// The HTML of a text. `None` if that would be longer than [`MOST_HTML`].
#[must_use]
pub fn render(content: &str) -> Option<String> {
    let mut options = Options::ENABLE_STRIKETHROUGH;
    options.set(Options::ENABLE_TABLES, tables_fit(content));
    let mut html = String::with_capacity(content.len() * 3 / 2);
    pulldown_cmark::html::push_html(&mut html, bounded(Parser::new_ext(content, options)));
    let fits = |html: &String| html.len() <= MOST_HTML;
    Some(html).filter(fits).map(|html| SANITIZER.clean(&html).to_string()).filter(fits)
}

/// Whether all lines, were they rows of the widest table, would not have too many cells. To be asked before
/// the parser: it makes the cells while it reads.
fn tables_fit(content: &str) -> bool {
    let is_under_head =
        |line: &&str| line.contains('-') && line.chars().all(|c| "|:->".contains(c) || c.is_whitespace());
    let columns = content.lines().filter(is_under_head).map(|line| line.matches('|').count() + 1).max();
    columns.unwrap_or_default() * content.lines().count() <= MOST_CELLS
}

fn bounded<'a>(events: impl Iterator<Item = Event<'a>>) -> impl Iterator<Item = Event<'a>> {
    let (mut depth, mut tags, mut bytes) = (0_usize, 0_usize, 0_usize);
    events.filter_map(move |event| match event {
        Event::Start(_) => {
            depth += 1;
            (depth <= MOST_DEPTH).then_some(event)
        }
        Event::End(_) => {
            depth = depth.saturating_sub(1);
            (depth < MOST_DEPTH).then_some(event)
        }
        Event::Html(raw) | Event::InlineHtml(raw) => {
            tags += raw.matches('<').count();
            bytes += raw.len();
            let fits = tags <= MOST_RAW_TAGS && bytes <= MOST_RAW_BYTES;
            Some(if fits { Event::InlineHtml(raw) } else { Event::Text(raw) })
        }
        _ => Some(event),
    })
}

static SANITIZER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut builder = ammonia::Builder::default();
    builder
        .rm_tags(["area", "map"])
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        // What somebody writes here is no recommendation of ours, and gets no handle on our page.
        .link_rel(Some("nofollow noopener"))
        .add_tag_attributes("code", ["class"])
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            // For those who color code. No other class: a page's own would lend themselves to disguises.
            ("code", "class") => is_language(value).then(|| value.into()),
            _ => Some(value.into()),
        });
    builder
});

fn is_language(class: &str) -> bool {
    let name = class.strip_prefix("language-").unwrap_or_default();
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-_#.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(content: &str) -> String {
        super::render(content).unwrap()
    }

    #[test]
    fn markdown_becomes_html() {
        for (content, html) in [
            ("# Title", "<h1>Title</h1>\n"),
            ("*a* **b** ~~c~~", "<p><em>a</em> <strong>b</strong> <del>c</del></p>\n"),
            (
                "[x](https://example.com)",
                "<p><a href=\"https://example.com\" rel=\"nofollow noopener\">x</a></p>\n",
            ),
            ("```rust\nfn a() {}\n```", "<pre><code class=\"language-rust\">fn a() {}\n</code></pre>\n"),
            ("H<sub>2</sub>O", "<p>H<sub>2</sub>O</p>\n"),
            ("![cat](/cat.png)", "<p><img src=\"/cat.png\" alt=\"cat\"></p>\n"),
            ("a < b & c", "<p>a &lt; b &amp; c</p>\n"),
        ] {
            assert_eq!(render(content), html, "{content}");
        }
        assert!(render("| a |\n|---|\n| b |").contains("<td>b</td>"));
    }

    /// The tags of clean HTML, each with its attributes.
    fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
        let mut found = Vec::new();
        let mut rest = html;
        while let Some((_, tag)) = rest.split_once('<') {
            let end = tag.find([' ', '>']).unwrap_or(tag.len());
            let name = tag[..end].trim_start_matches('/').to_lowercase();
            let mut attributes = Vec::new();
            rest = &tag[end..];
            while let Some(attribute) = rest.strip_prefix(' ') {
                let (name, value) = attribute.split_once("=\"").unwrap_or_else(|| panic!("{html}"));
                let (value, after) = value.split_once('"').unwrap();
                attributes.push((name.to_lowercase(), value.to_lowercase()));
                rest = after;
            }
            rest = rest.strip_prefix('>').unwrap();
            found.push((name, attributes));
        }
        found
    }

    /// Whether nothing in the HTML is more than it seems. Text that merely reads like markup is harmless.
    fn is_harmless(html: &str) -> bool {
        const TAGS: &str = "a abbr b blockquote br caption code col colgroup del details div em h1 h2 h3 hr i img \
            kbd li ol p pre s span strong sub summary sup table tbody td th thead tr u ul";
        const ATTRIBUTES: &str = "align alt class height href open rel src start title width";
        let one_of = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
        tags(html).iter().all(|(tag, attributes)| {
            one_of(TAGS, tag)
                && attributes.iter().all(|(name, value)| {
                    let address: String =
                        value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
                    let scheme = address.split_once(':').map_or("", |(scheme, _)| scheme);
                    // A browser takes it for a scheme only if it looks like one.
                    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                    let safe = !is_scheme || ["", "http", "https", "mailto"].contains(&scheme);
                    one_of(ATTRIBUTES, name) && (safe || !["href", "src"].contains(&name.as_str()))
                })
        })
    }

    #[test]
    fn nothing_in_a_text_can_run() {
        const CORPUS: &[&str] = &[
            "<script>alert(1)</script>",
            "text <script>alert(1)</script> text",
            "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
            "<scr<script>ipt>alert(1)</scr</script>ipt>",
            "<script\n>alert(1)</script\n>",
            "<script>alert(1)",
            "</p><script>alert(1)</script>",
            "<<script>alert(1);//<</script>",
            "<img src=x onerror=alert(1)>",
            "<img src=x onerror\n=\nalert(1)>",
            "<img src=\"x\"onerror=\"alert(1)\">",
            "<img/src=x/onerror=alert(1)>",
            "<img src=`x`onerror=alert(1)>",
            "<img src='x' ONERROR='alert(1)'",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a href=\" javascript:alert(1)\">x</a>",
            "<a href=\"java\tscript:alert(1)\">x</a>",
            "<a href=\"java\nscript:alert(1)\">x</a>",
            "<a href=\"&#106;avascript:alert(1)\">x</a>",
            "<a href=\"&#x6A;&#x61;vascript&colon;alert(1)\">x</a>",
            "<a href=\"\u{1}javascript:alert(1)\">x</a>",
            "<a href=JaVaScRiPt:alert(1)>x</a>",
            "<a href=vbscript:msgbox(1)>x</a>",
            "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
            "[x](javascript:alert(1))",
            "[x](JAVASCRIPT:alert(1))",
            "[x](javascript&colon;alert(1))",
            "[x](&#x6a;avascript:alert(1))",
            "[x](<java\tscript:alert(1)>)",
            "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
            "[x]: javascript:alert(1)\n\n[x]",
            "<javascript:alert(1)>",
            "<data:text/html,x>",
            "![x](javascript:alert(1))",
            "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
            "![x\" onerror=\"alert(1)](y)",
            "[x](https://example.com \"a\\\" onmouseover=\\\"alert(1)\")",
            "[x](https://example.com\"onmouseover=\"alert(1))",
            "<svg onload=alert(1)>",
            "<svg><script>alert(1)</script></svg>",
            "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
            "<svg><style><img src=x onerror=alert(1)></style></svg>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<math href=javascript:alert(1)>x</math>",
            "<iframe src=javascript:alert(1)></iframe>",
            "<iframe srcdoc='<script>alert(1)</script>'>",
            "<object data=javascript:alert(1)>",
            "<embed src=javascript:alert(1)>",
            "<form action=javascript:alert(1)><button formaction=javascript:alert(1)>x</button></form>",
            "<input autofocus onfocus=alert(1)>",
            "<details open ontoggle=alert(1)>x</details>",
            "<video><source onerror=alert(1)></video>",
            "<body onload=alert(1)>",
            "<base href=//evil.example/>",
            "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
            "<link rel=stylesheet href=//evil.example/x.css>",
            "<style>@import '//evil.example/x.css';</style>",
            "<p style=\"background:url(javascript:alert(1))\">x</p>",
            "<div style=position:fixed;inset:0>x</div>",
            "<template><script>alert(1)</script></template>",
            "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
            "<textarea><img src=x onerror=alert(1)></textarea>",
            "<title><img src=x onerror=alert(1)></title>",
            "<xmp><img src=x onerror=alert(1)></xmp>",
            "<!--><img src=x onerror=alert(1)>-->",
            "<!-- --!><img src=x onerror=alert(1)>",
            "<?xml <img src=x onerror=alert(1)> ?>",
            "<![CDATA[<img src=x onerror=alert(1)>]]>",
            "<a id=location name=cookie class=button>x</a>",
            "`<script>alert(1)</script>`",
            "```\n<script>alert(1)</script>\n```",
            "```\" onmouseover=\"alert(1)\nx\n```",
            "```\"><script>alert(1)</script>\nx\n```",
            "    <script>alert(1)</script>",
            "> <script>alert(1)</script>",
            "- <img src=x onerror=alert(1)>",
            "| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
            "# <img src=x onerror=alert(1)>",
            "\\<script>alert(1)\\</script>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "<b onclick=alert(1)>x</b>",
            "<b/onclick=alert(1)//>x</b>",
            "<p title='\"><script>alert(1)</script>'>x</p>",
            "<a href='https://example.com' target=_blank rel=opener>x</a>",
            "<img srcset='x 1x, javascript:alert(1) 2x'>",
            "<area href=javascript:alert(1)>",
        ];
        for content in CORPUS {
            let html = render(content);
            assert!(is_harmless(&html), "{content}\n{html}");
            // Clean HTML stays what it is: nothing in it turns into something else when it is read again.
            assert_eq!(SANITIZER.clean(&html).to_string(), html, "{content}");
            // The same among others of its kind.
            let all = render(&format!("a\n\n{content}\n\nb *{content}* c"));
            assert!(is_harmless(&all), "{content}\n{all}");
        }
        for bad in ["<p onclick=\"x\">", "<a href=\"java\nscript:x\">", "<script>", "<img src=\"data:x\">"] {
            assert!(!is_harmless(bad), "the check works: {bad}");
        }
    }

    #[test]
    fn every_link_is_no_recommendation_and_gets_no_handle() {
        for content in
            ["[x](/y)", "<https://example.com>", "<a href='//x.example' rel=opener target=_top>x</a>"]
        {
            let html = render(content);
            assert!(html.contains("rel=\"nofollow noopener\""), "{html}");
            assert!(!html.contains("target"), "{html}");
        }
    }

    #[test]
    fn depth_and_raw_html_are_bounded() {
        let most = |content: &str, tag: &str| render(content).matches(tag).count();
        assert!(most(&format!("{}x", ">".repeat(5_000)), "<blockquote>") <= MOST_DEPTH);
        assert!(most(&"<div>\n".repeat(16_000), "<div>") <= MOST_RAW_TAGS);
        assert!(most(&"a <b> ".repeat(16_000), "<b>") <= MOST_RAW_TAGS * 2);
        for content in [
            "[".repeat(100_000),
            "*a ".repeat(33_000),
            "![](".repeat(25_000),
            "`".repeat(100_000),
            "<a ".repeat(33_000),
            format!("<a {}>", (0..12_000).map(|n| format!("a{n} ")).collect::<String>()),
            "- ".repeat(50_000),
            "| a ".repeat(25_000),
            // Never closed: open in everything that follows.
            (0..500).map(|n| format!("<b a{n}>")).collect::<String>() + &"\n\na".repeat(30_000),
        ] {
            assert!(is_harmless(&render(&content)));
        }
    }

    #[test]
    fn a_text_does_not_become_many_times_as_much_html() {
        let table = |columns: usize, rows: usize| {
            format!("{}\n{}\n{}\n", "|a".repeat(columns), "|-".repeat(columns), "a\n".repeat(rows))
        };
        for (what, content) in [
            ("wide tables", table(362, 724).repeat(34)),
            ("one wide table", table(10_000, 30_000)),
            ("a wide table in a quote", table(362, 20_000).replace('\n', "\n> ")),
            ("a wide table in a list", table(362, 20_000).replace('\n', "\n   ")),
            (
                "a table without bars at its sides",
                format!("a{}\n-{}\n{}", "|a".repeat(400), "|-".repeat(400), "a\n".repeat(48_000)),
            ),
            ("narrow tables", table(2, 3).repeat(4_000)),
        ] {
            assert!(content.len() <= 200_000, "{what}: {}", content.len());
            let html = render(&content);
            assert!(html.len() < MOST_HTML, "{what}: {}", html.len());
        }
        assert!(render(&table(20, 500)).contains("<td>a</td>"), "what people write is a table");
        assert!(super::render(&"<a@b>".repeat(20_000)).is_none(), "what can't be foreseen is refused");
    }
}
