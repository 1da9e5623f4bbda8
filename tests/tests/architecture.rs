//! The rules between the crates, and for what comes in from outside, that no compiler holds.
//!
//! They are checked on what Cargo says about the workspace, so that `make check` needs no
//! further tool. The lists of licences and of forbidden crates are those of `deny.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Who stands on whom, lowest first. A crate uses crates of lower floors only: neither those
/// beside it nor those above. Apps share a floor, so apps never import apps.
const FLOORS: &[&[&str]] = &[
    &["platform/core"],
    &["platform/telemetry", "platform/transfer"],
    &["platform/db", "platform/redis"],
    // The cache reads the log of invalidations, which is the database's.
    &["platform/events", "platform/cache", "platform/limits"],
    &["platform/mail"],
    &["platform/auth"],
    &["platform/http"],
    &["platform/web"],
    &["platform/app"],
    &["apps/*"],
    &["server"],
    // Boots whole servers in tests. Any crate's tests may use it.
    &[TESTKIT],
    &["tests", "bench", "examples/*"],
];

const TESTKIT: &str = "platform/testkit";

/// These see the program as its users do, over the network, and link nothing of it.
const BLACK_BOXES: &[&str] = &["tests", "bench"];

/// What an app written from outside is given.
const PUBLIC: &[&str] = &["server", TESTKIT];

/// What we build for: the machines of most users, and the static program of the image.
const TARGETS: &[&str] = &["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn crates_use_lower_floors_only() {
    let crates = workspace_crates();
    assert!(crates.len() > FLOORS.len() / 2, "too few crates were found: {crates:?}");

    let faults: Vec<String> = crates
        .iter()
        .flat_map(|user| user.uses.iter().map(move |used| (user, used)))
        .filter_map(|(user, used)| {
            let why = objection(&user.folder, &used.folder, used.is_dev)?;
            Some(format!("{} must not use {}: {why}", user.folder, used.folder))
        })
        .collect();
    assert_none(&faults);
}

#[test]
fn every_crate_has_a_floor() {
    let faults: Vec<String> = workspace_crates()
        .iter()
        .filter(|krate| floor(&krate.folder).is_none())
        .map(|krate| format!("{} is missing in FLOORS of {}", krate.folder, file!()))
        .collect();
    assert_none(&faults);
}

#[test]
fn the_floors_object_to_what_they_should() {
    for (user, used, is_dev, allowed) in [
        ("apps/library", "platform/http", false, true),
        ("apps/library", "apps/identity", false, false),
        ("apps/library", "apps/identity", true, false),
        ("apps/library", "server", false, false),
        ("platform/http", "apps/library", false, false),
        ("platform/http", "server", true, false),
        ("platform/db", "platform/testkit", true, true),
        ("platform/db", "platform/testkit", false, false),
        ("platform/testkit", "server", false, true),
        ("tests", "server", false, false),
        ("examples/bookmarks", "server", false, true),
        ("examples/bookmarks", "platform/testkit", true, true),
        ("examples/bookmarks", "platform/db", false, false),
    ] {
        let objection = objection(user, used, is_dev);
        assert_eq!(objection.is_none(), allowed, "{user} uses {used}: {objection:?}");
    }
}

#[test]
fn versions_and_lints_are_chosen_once_for_all_crates() {
    let mut faults = Vec::new();
    for krate in workspace_crates() {
        let manifest = read_toml(&krate.manifest);
        let mut object = |what: &str| faults.push(format!("{}/Cargo.toml: {what}", krate.folder));

        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !is_inherited(manifest.get("package").and_then(|package| package.get(key))) {
                object(&format!("write `{key}.workspace = true`"));
            }
        }
        if !is_inherited(manifest.get("lints")) {
            object("write `workspace = true` under [lints]");
        }
        for name in own_versions(&manifest) {
            object(&format!(
                "`{name}` wants its version in the root's [workspace.dependencies], \
                 and `workspace = true` here"
            ));
        }
    }
    assert_none(&faults);
}

#[test]
fn everything_from_outside_comes_from_crates_io() {
    let lock = read_toml(&root().join("Cargo.lock"));
    let packages = lock["package"].as_array().expect("Cargo.lock lists packages");
    let faults: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let source = package.get("source")?.as_str()?;
            (source != CRATES_IO).then(|| format!("{} comes from {source}", package["name"]))
        })
        .collect();
    assert_none(&faults);
}

#[test]
fn licences_are_permissive() {
    let allowed = strings(&read_toml(&root().join("deny.toml"))["licenses"]["allow"]);
    let faults: Vec<String> = resolved_packages()
        .iter()
        .filter(|package| !licence_is_allowed(&package.licence, &allowed))
        .map(|package| format!("{}: `{}`", package.name, package.licence))
        .collect();
    assert_none(&faults);
}

#[test]
fn forbidden_crates_are_absent() {
    let deny = read_toml(&root().join("deny.toml"));
    let bans = deny["bans"]["deny"].as_array().expect("bans.deny is a list");
    assert!(!bans.is_empty());

    let packages = resolved_packages();
    let faults: Vec<String> = bans
        .iter()
        .filter(|ban| packages.iter().any(|package| Some(package.name.as_str()) == ban["crate"].as_str()))
        .map(|ban| format!("{}: {}; see `cargo tree --invert`", ban["crate"], ban["reason"]))
        .collect();
    assert_none(&faults);
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"].map(String::from);
    let allowed = BTreeSet::from(allowed);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-2.0-only OR MIT AND ISC", true),
        ("MIT AND (GPL-2.0-only OR ISC)", true),
        ("(MIT OR ISC) AND GPL-2.0-only", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("MIT MIT", false),
        ("(MIT", false),
    ] {
        assert_eq!(licence_is_allowed(expression, &allowed), expected, "{expression}");
    }
}

/// Why a crate must not use another; `None` when it may.
fn objection(user: &str, used: &str, is_dev: bool) -> Option<&'static str> {
    if BLACK_BOXES.contains(&user) {
        return Some("it sees the program from outside only");
    }
    // A crate may name itself to have its own features in its tests.
    if is_dev && (used == TESTKIT || used == user) {
        return None;
    }
    if user.starts_with("examples/") && !PUBLIC.contains(&used) {
        return Some("an example has what the crate `mainstay` gives it, nothing else");
    }
    // A crate without a floor has a test of its own.
    let (user, used) = (floor(user)?, floor(used)?);
    (used >= user).then_some("its floor is not a lower one")
}

/// How high a folder stands; `None` when it is in no row of the table.
fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|row| {
        row.iter().any(|entry| match entry.strip_suffix("/*") {
            Some(parent) => Path::new(folder).parent() == Some(Path::new(parent)),
            None => *entry == folder,
        })
    })
}

/// A crate of the workspace.
#[derive(Debug)]
struct WorkspaceCrate {
    /// Relative to the root: `apps/library`.
    folder: String,
    manifest: PathBuf,
    uses: Vec<Use>,
}

/// That a crate of the workspace depends on another one.
#[derive(Debug)]
struct Use {
    folder: String,
    /// For its tests only.
    is_dev: bool,
}

fn workspace_crates() -> Vec<WorkspaceCrate> {
    let metadata = cargo(&["metadata", "--format-version=1", "--no-deps", "--locked"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("Cargo prints JSON");
    let folder_of = |path: &Path| {
        let folder = path.strip_prefix(root()).expect("the workspace is one folder");
        folder.to_str().expect("folders have plain names").to_owned()
    };
    let packages = metadata["packages"].as_array().expect("Cargo lists packages");
    packages
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
            let dependencies = package["dependencies"].as_array().expect("a list");
            let uses = dependencies.iter().filter_map(|dependency| {
                let folder = folder_of(Path::new(dependency["path"].as_str()?));
                Some(Use { folder, is_dev: dependency["kind"] == "dev" })
            });
            WorkspaceCrate {
                folder: folder_of(manifest.parent().expect("a manifest is in a folder")),
                uses: uses.collect(),
                manifest,
            }
        })
        .collect()
}

/// A package that is compiled into what we build or test.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ResolvedPackage {
    name: String,
    licence: String,
}

/// Asks `cargo tree`, not `cargo metadata`: the latter also lists optional dependencies that
/// no enabled feature asks for.
fn resolved_packages() -> BTreeSet<ResolvedPackage> {
    let mut arguments = vec!["tree", "--workspace", "--locked", "--prefix=none", "--format={p}|{l}|"];
    for target in TARGETS {
        arguments.extend(["--target", target]);
    }
    let packages: BTreeSet<_> = cargo(&arguments)
        .lines()
        .filter_map(|line| {
            let (package, rest) = line.split_once('|')?;
            let (name, _version) = package.split_once(' ')?;
            let (licence, _repeated) = rest.split_once('|')?;
            Some(ResolvedPackage { name: name.to_owned(), licence: licence.to_owned() })
        })
        .collect();
    assert!(packages.len() > 100, "only {} packages were found", packages.len());
    packages
}

/// Whether an SPDX licence expression can be met with these licences alone. `/` is the way
/// older crates write `OR`.
fn licence_is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    any_of(&mut words, allowed) == Some(true) && words.is_empty()
}

// The words are a stack, the next one last. `None` is a syntax error.

fn any_of(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = all_of(words, allowed)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        met |= all_of(words, allowed)?;
    }
    Some(met)
}

fn all_of(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    match words.pop()? {
        "(" => {
            let met = any_of(words, allowed)?;
            (words.pop()? == ")").then_some(met)
        }
        licence if words.pop_if(|word| *word == "WITH").is_some() => {
            Some(allowed.contains(&format!("{licence} WITH {}", words.pop()?)))
        }
        licence => Some(allowed.contains(licence)),
    }
}

/// The dependencies of a manifest that do not take their version from the workspace.
fn own_versions(manifest: &toml::Table) -> Vec<String> {
    let for_targets = manifest.get("target").and_then(toml::Value::as_table).into_iter();
    let for_targets = for_targets.flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    for_targets
        .chain([manifest])
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|section| table.get(section)?.as_table())
        })
        .flatten()
        .filter(|(_, dependency)| !is_inherited(Some(dependency)))
        .map(|(name, _)| name.clone())
        .collect()
}

fn is_inherited(value: Option<&toml::Value>) -> bool {
    value.and_then(|value| value.get("workspace")) == Some(&toml::Value::Boolean(true))
}

fn strings(list: &toml::Value) -> BTreeSet<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|value| value.as_str().expect("a list of strings").to_owned()).collect()
}

fn read_toml(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is in a folder of the root")
}

/// What a Cargo command prints. Cargo tells its tests where it is itself.
fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(program).args(arguments).current_dir(root()).output().expect("Cargo can be run");
    assert!(
        output.status.success(),
        "cargo {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("Cargo prints UTF-8")
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
