//! The page of error codes, from the table of codes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mainstay_core::ProblemKind;

fn by_status<'a>(kinds: &[&'a ProblemKind]) -> BTreeMap<u16, Vec<&'a ProblemKind>> {
    let mut groups: BTreeMap<u16, Vec<&ProblemKind>> = BTreeMap::new();
    for kind in kinds {
        groups.entry(kind.status).or_default().push(kind);
    }
    groups.values_mut().for_each(|group| group.sort_by_key(|kind| kind.code));
    groups
}

/// `docs/errors.md`.
#[must_use]
pub fn errors_markdown(kinds: &[&ProblemKind]) -> String {
    let mut page = String::from(
        "# Error codes\n\n\
         Every error is an RFC 9457 problem: `application/problem+json` with `type`, `title`, `status`, `detail`,\n\
         `instance`, `code` and `request_id`, and for 422 `errors`, a list of `{field, code, message}` with every fault\n\
         at once. Compare with `code`; it never changes its meaning. A running server shows this list at `/docs/errors`.\n\n\
         This page is generated from the code (`make docs`).\n",
    );
    for (status, group) in by_status(kinds) {
        let _infallible =
            write!(page, "\n## {status}\n\n| code | title | when, and what to do |\n| --- | --- | --- |\n");
        for kind in group {
            let _infallible = writeln!(page, "| `{}` | {} | {} |", kind.code, kind.title, kind.help);
        }
    }
    page
}

/// `/docs/errors`.
pub(crate) fn errors_html(kinds: &[&ProblemKind]) -> String {
    let mut rows = String::new();
    for (status, group) in by_status(kinds) {
        let _infallible = write!(rows, "<h2>{status}</h2><dl>");
        for kind in group {
            let _infallible = write!(
                rows,
                "<dt id=\"{code}\"><a href=\"#{code}\"><code>{code}</code></a> {title}</dt><dd>{help}</dd>",
                code = kind.code,
                title = escape(kind.title),
                help = code_spans(&escape(kind.help))
            );
        }
        rows.push_str("</dl>");
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Error codes · Mainstay</title><link rel=\"stylesheet\" href=\"/docs/errors.css\">\
         <main><p><a href=\"/docs\">API reference</a></p><h1>Error codes</h1>\
         <p>Every error is a problem with a stable <code>code</code>. Compare with it; its meaning never changes.</p>{rows}</main></html>"
    )
}

pub(crate) const ERRORS_CSS: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{margin:0}\
main{max-width:46rem;margin:0 auto;padding:1.5rem}h2{margin:2rem 0 .5rem;border-bottom:1px solid color-mix(in srgb,currentColor 25%,transparent)}\
dt{font-weight:600;margin-top:1rem;padding:.15rem .4rem;border-radius:.3rem}dt:target{background:color-mix(in srgb,#e0a800 30%,transparent)}\
dd{margin:.2rem 0 0 .4rem}a{color:inherit}code{font-size:.92em}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Every second stretch between backticks is code.
fn code_spans(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// `/docs`: Scalar's API reference, whose program comes out of the binary.
pub(crate) const REFERENCE_HTML: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Mainstay API</title></head><body>\
<noscript>This page needs JavaScript. The document itself is at <a href=\"/openapi.json\">/openapi.json</a>.</noscript>\
<script id=\"api-reference\" data-url=\"/openapi.json\" \
data-configuration='{\"withDefaultFonts\":false,\"hideClientButton\":true,\"telemetry\":false,\"agent\":{\"disabled\":true},\"mcp\":{\"disabled\":true},\"showDeveloperTools\":\"never\",\"defaultHttpClient\":{\"targetKey\":\"shell\",\"clientKey\":\"curl\"},\"persistAuth\":true}'></script>\
<script src=\"/docs/scalar.js\"></script></body></html>";
