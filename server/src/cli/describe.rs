//! Commands that only describe what there is.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::ArgMatches;

use crate::Backend;
use crate::backend::{Described, SectionInfo};

/// Prints, and is content if nobody reads on: `mainstay routes | head`.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// `mainstay routes`.
pub(super) fn routes(plan: &Backend, markdown: bool) -> anyhow::Result<()> {
    let mut routes = plan.surface().routes;
    routes.sort_by(|a, b| (&a.path, a.method.as_str()).cmp(&(&b.path, b.method.as_str())));
    let mut page = String::new();
    if markdown {
        page.push_str(
            "# Routes\n\nEvery route with who may use it and the rate limits that it is under. Generated from the code (`make docs`). `signed_in` is everybody\n\
             with an account; staff may do what is `staff`, admins everything. HEAD is answered wherever GET is. `×10`: a call counts as ten.\n\n\
             | method | path | access | limits | operation |\n| --- | --- | --- | --- | --- |\n",
        );
    }
    let width = routes.iter().map(|route| route.path.len()).max().unwrap_or(0);
    for route in &routes {
        let (method, path, access, operation) =
            (route.method.as_str(), &route.path, route.access.name(), &route.operation);
        let limits = match route.cost {
            1 => route.group.name().to_owned(),
            cost => format!("{} ×{cost}", route.group.name()),
        };
        let _infallible = if markdown {
            writeln!(page, "| {method} | `{path}` | {access} | {limits} | `{operation}` |")
        } else {
            writeln!(page, "{method:<7} {path:<width$}  {access:<9}  {limits:<11}  {operation}")
        };
    }
    print(&page)
}

/// `mainstay openapi`.
pub(super) fn openapi(plan: &Backend) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(plan.surface().document.json())?))
}

/// `mainstay errors`.
pub(super) fn errors(plan: &Backend) -> anyhow::Result<()> {
    print(&mainstay_http::errors_markdown(&plan.problems()))
}

/// Well-known names of variables and the keys they set.
pub(super) fn aliases(plan: &Backend) -> Vec<(String, String)> {
    let Described { sections, .. } = plan.describe_settings();
    let keys = sections.into_iter().flat_map(|(_, _, keys)| keys);
    keys.flat_map(|key| key.variables.into_iter().skip(1).map(move |name| (name, key.path.clone()))).collect()
}

/// `mainstay config reference`.
pub(super) fn config_reference(plan: &Backend) -> anyhow::Result<()> {
    let Described { sections, .. } = plan.describe_settings();
    let mut page = String::from(
        "# Configuration\n\n\
         Layers, later ones win: defaults, `mainstay.toml` (or the file that `--config` names), environment, flags. A\n\
         `.env` file in the working directory is read into the environment first. Every key can be set by\n\
         `MAINSTAY__SECTION__KEY`; lists are comma-separated there. Secrets can also come from a file: append `_FILE` to\n\
         the variable, or `_file` to the key. Unknown keys are errors. `mainstay config show` prints what is in force,\n\
         `mainstay config check` says what is wrong.\n\n\
         This page is generated from the code (`make docs`).\n",
    );
    for (name, about, keys) in &sections {
        let title = if name.is_empty() { "Top level".to_owned() } else { format!("`[{name}]`") };
        let _infallible = write!(page, "\n## {title}\n\n{}\n\n", about.trim().replace('\n', " "));
        page.push_str("| key | values | default | meaning |\n| --- | --- | --- | --- |\n");
        for key in keys {
            let variables: Vec<_> = key.variables.iter().skip(1).map(|name| format!("`{name}`")).collect();
            let also =
                if variables.is_empty() { String::new() } else { format!(" Also {}.", variables.join(", ")) };
            let doc = key.doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            let default = if key.secret && !key.default.starts_with("(not") {
                secret_default(key)
            } else {
                format!("`{}`", key.default)
            };
            let _infallible = writeln!(page, "| `{}` | {} | {default} | {doc}{also} |", key.path, key.kind);
        }
    }
    print(&page)
}

/// The database's URL may hold a password and is never shown, but its default holds none.
fn secret_default(key: &mainstay_core::settings::KeyInfo) -> String {
    if key.path == "database.url" {
        "`sqlite://data/mainstay.db?mode=rwc`".to_owned()
    } else {
        "none".to_owned()
    }
}

/// `mainstay config show|check`.
pub(super) fn config(backend: &Backend, matches: &ArgMatches) -> anyhow::Result<()> {
    let Described { sections, values, verdict } = backend.describe_settings();
    if matches.subcommand_name() == Some("show") {
        print(&shown(&sections, &values))?;
    }
    verdict?;
    if matches.subcommand_name() == Some("check") {
        print("The configuration is good.\n")?;
    }
    Ok(())
}

fn shown(sections: &[SectionInfo], values: &[(String, String)]) -> String {
    let mut page = String::new();
    // What could be there under a name of the operator's, and is not, has no values.
    for (name, _, keys) in sections.iter().filter(|(name, ..)| !name.ends_with(".NAME")) {
        if !name.is_empty() {
            let _infallible = write!(page, "\n[{name}]\n");
        }
        for key in keys {
            let value = values.iter().find(|(path, _)| *path == key.path).map_or("", |(_, value)| value);
            let short = key.path.rsplit('.').next().unwrap_or_default();
            let _infallible = match value {
                "(not set)" | "(secret)" => writeln!(page, "# {short} {value}"),
                value => writeln!(page, "{short} = {value}"),
            };
        }
    }
    page
}
