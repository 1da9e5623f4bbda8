//! Settings: each crate declares its section with [`settings!`](crate::settings!); the
//! declaration gives the type, the defaults, the checks and the reference page.
//!
//! Layers, later ones win: defaults, `mainstay.toml`, environment
//! (`MAINSTAY__SECTION__KEY` and a few well-known names), flags. Every fault of
//! every layer is reported at once, with the key's full path and where its
//! value came from; an unknown key is a fault that names the nearest right one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// A type that a setting can have.
pub trait Setting: Sized {
    /// What values look like, for the reference: `integer`, `text`, `list of networks` …
    fn kind() -> String;

    /// Reads a value from TOML or, where it came as text, from the environment or a flag.
    ///
    /// # Errors
    /// What it must be instead.
    fn read(raw: &RawSetting) -> Result<Self, String>;

    /// The value as `config show` prints it; secrets never.
    fn show(&self) -> String;

    /// The value when nothing is set, if the type has one of its own ([`Option`]).
    const SECRET: bool = false;
}

/// A value before it is read.
#[derive(Clone, Debug)]
pub enum RawSetting {
    /// From the environment or a flag.
    Text(String),
    /// From the file.
    Toml(toml::Value),
}

impl RawSetting {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Toml(toml::Value::String(text)) => Some(text),
            Self::Toml(_) => None,
        }
    }
}

impl Setting for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        match raw {
            RawSetting::Toml(toml::Value::Boolean(value)) => Ok(*value),
            _ => match raw.text() {
                Some("true" | "1" | "yes" | "on") => Ok(true),
                Some("false" | "0" | "no" | "off") => Ok(false),
                _ => Err("must be true or false".to_owned()),
            },
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! number_settings {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn kind() -> String {
                "whole number".to_owned()
            }
            fn read(raw: &RawSetting) -> Result<Self, String> {
                let number = match raw {
                    RawSetting::Toml(toml::Value::Integer(number)) => (*number).try_into().ok(),
                    _ => raw.text().and_then(|text| text.trim().replace('_', "").parse().ok()),
                };
                number.ok_or_else(|| format!("must be a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
number_settings!(u16, u32, u64, usize);

impl Setting for String {
    fn kind() -> String {
        "text".to_owned()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        raw.text().map(str::to_owned).ok_or_else(|| "must be text".to_owned())
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for PathBuf {
    fn kind() -> String {
        "path".to_owned()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        String::read(raw).map(Self::from)
    }
    fn show(&self) -> String {
        format!("{:?}", self.display().to_string())
    }
}

impl Setting for IpAddr {
    fn kind() -> String {
        "IP address".to_owned()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        let parse = |text: &str| {
            if text == "localhost" { Some(Self::from([127, 0, 0, 1])) } else { text.parse().ok() }
        };
        raw.text().and_then(parse).ok_or_else(|| "must be an IP address such as 127.0.0.1 or ::".to_owned())
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Setting for SecretString {
    fn kind() -> String {
        "secret text".to_owned()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        String::read(raw).map(Into::into)
    }
    fn show(&self) -> String {
        "(secret)".to_owned()
    }
    const SECRET: bool = true;
}

impl<T: Setting> Setting for Option<T> {
    fn kind() -> String {
        T::kind()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        // An empty variable is how a shell says "unset".
        if raw.text() == Some("") { Ok(None) } else { T::read(raw).map(Some) }
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "(not set)".to_owned(), T::show)
    }
    const SECRET: bool = T::SECRET;
}

impl<T: Setting> Setting for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        match raw {
            RawSetting::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| T::read(&RawSetting::Toml(item.clone()))).collect()
            }
            RawSetting::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| T::read(&RawSetting::Text(item.to_owned())))
                .collect(),
            RawSetting::Toml(_) => Err("must be a list".to_owned()),
        }
    }
    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
    const SECRET: bool = T::SECRET;
}

/// Declares a setting whose values are a few words.
#[macro_export]
macro_rules! setting_words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$variant_meta])* $variant),* }

        impl $crate::settings::Setting for $name {
            fn kind() -> String {
                [$(concat!("`", $word, "`")),*].join(" or ")
            }
            fn read(raw: &$crate::settings::RawSetting) -> Result<Self, String> {
                match String::read(raw)?.as_str() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("must be {}", [$(concat!("\"", $word, "\"")),*].join(" or "))),
                }
            }
            fn show(&self) -> String {
                match self { $(Self::$variant => format!("{:?}", $word)),* }
            }
        }
    };
}

/// One key, for the reference page.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// `section.key`, or just the key at the top level.
    pub path: String,
    /// What its values look like, range included.
    pub kind: String,
    /// Its default as text.
    pub default: String,
    /// What it does.
    pub doc: String,
    /// Variables of the environment that set it, the most specific first.
    pub variables: Vec<String>,
    /// Whether it is never printed.
    pub secret: bool,
}

/// A section of the configuration. Declared by [`settings!`](crate::settings!).
pub trait Section: Sized {
    /// Its name: the TOML table. Empty for the top level.
    const NAME: &'static str;
    /// What it is about.
    const DOC: &'static str;

    /// Every key.
    fn keys() -> Vec<KeyInfo>;

    /// Reads it; faults go into `sources`.
    fn load(sources: &mut Sources) -> Self;

    /// Path and printable value of each key.
    fn show(&self) -> Vec<(String, String)>;
}

/// A section that there may be several of, each under a name of the operator's choice:
/// `[limits.policies.search]`. Declared by [`settings!`](crate::settings!) with `in each`.
pub trait NamedSection: Sized {
    /// What stands before the name: `limits.policies`.
    const PREFIX: &'static str;
    /// What they are about.
    const DOC: &'static str;

    /// Every key, for `NAME`.
    fn keys() -> Vec<KeyInfo>;

    /// Reads all that were given, by name; faults go into `sources`.
    fn load_all(sources: &mut Sources) -> BTreeMap<String, Self>;

    /// Path and printable value of each key of the one with this name.
    fn show(&self, name: &str) -> Vec<(String, String)>;
}

#[doc(hidden)]
#[must_use]
pub fn path(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// The variable that sets a key: `http.port` is set by `MAINSTAY__HTTP__PORT`.
#[must_use]
pub fn variable(path: &str) -> String {
    format!("MAINSTAY__{}", path.replace('.', "__").to_uppercase())
}

#[derive(Clone, Debug)]
struct Given {
    raw: RawSetting,
    origin: String,
}

/// What was found in the layers, and the faults found on the way.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    given: BTreeMap<String, Given>,
    known: Vec<String>,
    faults: Vec<String>,
}

/// Every fault of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} fault{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" },
    .0.iter().map(|fault| format!("  - {fault}")).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError(pub Vec<String>);

impl Sources {
    /// No layer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the TOML file's layer.
    pub fn add_toml(&mut self, text: &str, origin: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.add_table("", table, origin),
            Err(error) => self
                .faults
                .push(format!("{origin}: {}", error.to_string().trim_end().replace('\n', "\n    "))),
        }
    }

    fn add_table(&mut self, prefix: &str, table: toml::Table, origin: &str) {
        for (key, value) in table {
            let path = path(prefix, &key);
            match value {
                toml::Value::Table(inner) => self.add_table(&path, inner, origin),
                value => self.set(path, RawSetting::Toml(value), origin.to_owned()),
            }
        }
    }

    /// Adds the environment's layer: `MAINSTAY__SECTION__KEY`, the well-known
    /// names in `aliases` (name, path), and both with `_FILE` for a file that
    /// holds the value.
    pub fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
        aliases: &[(String, String)],
    ) {
        // The specific name wins over the well-known one, whatever the order of the environment.
        let (mut plain, mut specific) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            if let Some(rest) = name.strip_prefix("MAINSTAY__") {
                specific.push((rest.to_lowercase().replace("__", "."), name, value));
                continue;
            }
            let alias =
                |name: &str| aliases.iter().find(|(alias, _)| alias == name).map(|(_, path)| path.clone());
            if let Some(path) = alias(&name) {
                plain.push((path, name, value));
            } else if let Some(path) = name.strip_suffix("_FILE").and_then(alias) {
                plain.push((format!("{path}_file"), name, value));
            }
        }
        // Within each kind a file wins over a value, whatever the order of the environment:
        // `SECRET_KEY=` beside `SECRET_KEY_FILE` is how an unset value often looks.
        for layer in [&mut plain, &mut specific] {
            layer.sort_by_key(|(path, ..)| path.ends_with("_file"));
        }
        for (path, name, value) in plain.into_iter().chain(specific) {
            self.set(path, RawSetting::Text(value), format!("environment {name}"));
        }
    }

    /// Sets one key as a flag does.
    pub fn set_flag(&mut self, path: &str, value: impl Into<String>, flag: &str) {
        self.set(path.to_owned(), RawSetting::Text(value.into()), format!("flag {flag}"));
    }

    fn set(&mut self, path: String, raw: RawSetting, origin: String) {
        // A later layer's value displaces an earlier layer's file of the same key, and the other way round.
        if let Some(value) = path.strip_suffix("_file") {
            self.given.remove(value);
        } else {
            self.given.remove(&format!("{path}_file"));
        }
        self.given.insert(path, Given { raw, origin });
    }

    #[doc(hidden)]
    pub fn take<T: Setting>(
        &mut self,
        path: &str,
        default: impl FnOnce() -> T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        self.known.push(path.to_owned());
        let mut given = self.given.get(path).cloned();
        if T::SECRET {
            let file = format!("{path}_file");
            self.known.push(file.clone());
            if let Some(at) = self.given.get(&file).cloned() {
                given = self.read_file(&file, &at);
            }
        }
        let Some(Given { raw, origin }) = given else { return default() };
        match T::read(&raw).and_then(|value| check(&value).map(|()| value)) {
            Ok(value) => value,
            Err(wrong) => {
                let shown = match (T::SECRET, &raw) {
                    (true, _) => String::new(),
                    (false, RawSetting::Text(text)) => format!(", not {text:?}"),
                    (false, RawSetting::Toml(value)) => format!(", not {value}"),
                };
                self.faults.push(format!("{path} {wrong}{shown} ({origin})"));
                default()
            }
        }
    }

    fn read_file(&mut self, path: &str, at: &Given) -> Option<Given> {
        let Some(file) = at.raw.text() else {
            self.faults.push(format!("{path} must be a path ({})", at.origin));
            return None;
        };
        match std::fs::read_to_string(Path::new(file)) {
            Ok(text) => Some(Given {
                raw: RawSetting::Text(text.trim_end().to_owned()),
                origin: format!("file {file}"),
            }),
            Err(error) => {
                self.faults
                    .push(format!("{path} names {file:?}, which can't be read: {error} ({})", at.origin));
                None
            }
        }
    }

    /// Whether some layer sets this key.
    #[must_use]
    pub fn is_given(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// The names that stand right below `prefix` and have keys of their own, in order.
    #[must_use]
    pub fn names_below(&self, prefix: &str) -> Vec<String> {
        let below = self.given.keys().filter_map(|path| path.strip_prefix(prefix)?.strip_prefix('.'));
        let mut names: Vec<String> =
            below.filter_map(|rest| rest.split_once('.')).map(|(name, _)| name.to_owned()).collect();
        names.dedup();
        names
    }

    /// Adds a fault that concerns several keys.
    pub fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every fault met, unknown keys included.
    pub fn finish(mut self) -> Result<(), SettingsError> {
        for (path, given) in &self.given {
            if self.known.contains(path) {
                continue;
            }
            let nearest =
                self.known.iter().map(|known| (strsim::damerau_levenshtein(known, path), known)).min();
            let hint = match nearest {
                Some((distance, known)) if distance <= 1 + path.len() / 4 => {
                    format!("; did you mean {known}?")
                }
                _ => "; `mainstay config reference` lists every key".to_owned(),
            };
            self.faults.push(format!("{path} is not a known setting ({}){hint}", given.origin));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(SettingsError(self.faults)) }
    }
}

/// The text of a secret, for the one place that needs it.
#[must_use]
pub fn expose(secret: &SecretString) -> &str {
    secret.expose_secret()
}

impl fmt::Display for KeyInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Declares a [`Section`].
///
/// ```
/// mainstay_core::settings! {
///     /// The kettle.
///     pub struct KettleSettings in "kettle" {
///         /// Water, in millilitres.
///         volume_ml: u32 = 500, in 100..=2000;
///         /// Who made it.
///         maker: Option<String> = None, env "KETTLE_MAKER";
///     }
/// }
/// use mainstay_core::settings::{Section, Sources};
/// let mut sources = Sources::new();
/// sources.add_toml("[kettle]\nvolume_ml = 1000", "mainstay.toml");
/// let kettle = KettleSettings::load(&mut sources);
/// assert_eq!(kettle.volume_ml, 1000);
/// assert!(sources.finish().is_ok());
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident in each $prefix:literal { $($keys:tt)* }
    ) => {
        $crate::settings!(@keys $(#[doc = $doc])* $vis struct $name { $($keys)* });

        impl $crate::settings::NamedSection for $name {
            const PREFIX: &'static str = $prefix;
            const DOC: &'static str = concat!($($doc, "\n",)*);

            fn keys() -> Vec<$crate::settings::KeyInfo> {
                Self::keys_in(concat!($prefix, ".NAME"))
            }

            fn load_all(sources: &mut $crate::settings::Sources) -> std::collections::BTreeMap<String, Self> {
                let names = sources.names_below($prefix);
                let load = |name: String| {
                    let section = Self::load_from(sources, &$crate::settings::path($prefix, &name));
                    (name, section)
                };
                names.into_iter().map(load).collect()
            }

            fn show(&self, name: &str) -> Vec<(String, String)> {
                self.show_in(&$crate::settings::path($prefix, name))
            }
        }
    };
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident in $section:literal { $($keys:tt)* }
    ) => {
        $crate::settings!(@keys $(#[doc = $doc])* $vis struct $name { $($keys)* });

        impl $crate::settings::Section for $name {
            const NAME: &'static str = $section;
            const DOC: &'static str = concat!($($doc, "\n",)*);

            fn keys() -> Vec<$crate::settings::KeyInfo> {
                Self::keys_in($section)
            }

            fn load(sources: &mut $crate::settings::Sources) -> Self {
                Self::load_from(sources, $section)
            }

            fn show(&self) -> Vec<(String, String)> {
                self.show_in($section)
            }
        }
    };
    (
        @keys
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $key_doc:literal])* $key:ident: $type:ty = $default:expr $(, in $range:expr)? $(, env $alias:literal)?;)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $key_doc])* pub $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $name {
            fn keys_in(section: &str) -> Vec<$crate::settings::KeyInfo> {
                let defaults = Self::default();
                vec![$({
                    let path = $crate::settings::path(section, stringify!($key));
                    let kind = <$type as $crate::settings::Setting>::kind();
                    $(let kind = format!("{kind}, {} to {}", $range.start(), $range.end());)?
                    let variables = [$crate::settings::variable(&path) $(, $alias.to_owned())?].to_vec();
                    $crate::settings::KeyInfo {
                        path,
                        kind,
                        default: $crate::settings::Setting::show(&defaults.$key),
                        doc: concat!($($key_doc, "\n",)*).trim().to_owned(),
                        variables,
                        secret: <$type as $crate::settings::Setting>::SECRET,
                    }
                }),*]
            }

            fn load_from(sources: &mut $crate::settings::Sources, section: &str) -> Self {
                Self {$(
                    $key: sources.take(
                        &$crate::settings::path(section, stringify!($key)),
                        || $default,
                        |_value: &$type| {
                            $(if !$range.contains(_value) {
                                return Err(format!("must be from {} to {}", $range.start(), $range.end()));
                            })?
                            Ok(())
                        },
                    ),
                )*}
            }

            fn show_in(&self, section: &str) -> Vec<(String, String)> {
                vec![$((
                    $crate::settings::path(section, stringify!($key)),
                    $crate::settings::Setting::show(&self.$key),
                )),*]
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::settings! {
        /// A section.
        pub struct Example in "example" {
            /// A port.
            port: u16 = 8080, in 1..=9000, env "PORT";
            /// Names.
            names: Vec<String> = vec![];
            /// A password.
            password: Option<SecretString> = None, env "PASSWORD";
        }
    }

    fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Example, Vec<String>> {
        let mut sources = Sources::new();
        sources.add_toml(toml, "mainstay.toml");
        let aliases = [("PORT", "example.port"), ("PASSWORD", "example.password")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()));
        sources.add_environment(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())), &aliases);
        let example = Example::load(&mut sources);
        sources.finish().map(|()| example).map_err(|error| error.0)
    }

    #[test]
    fn later_layers_win() {
        let example =
            load("[example]\nport = 1", &[("PORT", "2"), ("MAINSTAY__EXAMPLE__PORT", "3")]).unwrap();
        assert_eq!(example.port, 3);
        assert_eq!(load("[example]\nport = 1", &[("PORT", "2")]).unwrap().port, 2);
        assert_eq!(load("", &[]).unwrap().port, 8080);
    }

    #[test]
    fn every_fault_is_told_with_its_origin_and_the_nearest_key() {
        let faults =
            load("[example]\nport = 70000\nnmaes = []", &[("MAINSTAY__EXAMPLE__PROT", "x")]).unwrap_err();
        let text = faults.join("\n");
        assert!(
            text.contains("example.port must be a whole number from 0 to 65535, not 70000 (mainstay.toml)"),
            "{text}"
        );
        assert!(text.contains("did you mean example.names?"), "{text}");
        assert!(text.contains("environment MAINSTAY__EXAMPLE__PROT); did you mean example.port?"), "{text}");
    }

    #[test]
    fn an_empty_variable_does_not_displace_a_file() {
        let file = std::env::temp_dir().join(format!("mainstay-settings-empty-{}", std::process::id()));
        std::fs::write(&file, "hush").unwrap();
        let path = file.to_str().unwrap();
        for variables in
            [[("PASSWORD", ""), ("PASSWORD_FILE", path)], [("PASSWORD_FILE", path), ("PASSWORD", "")]]
        {
            assert_eq!(expose(load("", &variables).unwrap().password.as_ref().unwrap()), "hush");
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_range_is_kept_and_lists_are_comma_separated() {
        assert!(load("", &[("PORT", "9001")]).unwrap_err()[0].contains("must be from 1 to 9000"));
        assert_eq!(load("", &[("MAINSTAY__EXAMPLE__NAMES", "a, b")]).unwrap().names, ["a", "b"]);
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let file = std::env::temp_dir().join(format!("mainstay-settings-{}", std::process::id()));
        std::fs::write(&file, "hush\n").unwrap();
        let example = load("", &[("PASSWORD_FILE", file.to_str().unwrap())]).unwrap();
        std::fs::remove_file(&file).unwrap();

        assert_eq!(expose(example.password.as_ref().unwrap()), "hush");
        assert!(!format!("{example:?} {:?}", example.show()).contains("hush"));
    }

    crate::settings! {
        /// A shelf.
        pub struct Shelf in each "shelves" {
            /// Its length.
            length: u32 = 1, in 1..=9;
            /// What is on it.
            holds: Vec<String> = vec![];
        }
    }

    #[test]
    fn sections_of_any_name_are_read_and_their_faults_told_with_the_name() {
        let mut sources = Sources::new();
        sources.add_toml(
            "[shelves.low]\nlength = 2\nholds = [\"a\"]\n[shelves.high]\nlenght = 3",
            "mainstay.toml",
        );
        let variable = ("MAINSTAY__SHELVES__HIGH__LENGTH".to_owned(), "10".to_owned());
        sources.add_environment([variable], &[]);
        let shelves = Shelf::load_all(&mut sources);
        assert_eq!(shelves.keys().collect::<Vec<_>>(), ["high", "low"]);
        assert_eq!((shelves["low"].length, shelves["low"].holds.len()), (2, 1));
        assert_eq!(shelves["low"].show("low")[0], ("shelves.low.length".to_owned(), "2".to_owned()));
        assert_eq!(Shelf::keys()[0].path, "shelves.NAME.length");

        let faults = sources.finish().unwrap_err().0.join("\n");
        assert!(faults.contains("shelves.high.length must be from 1 to 9"), "{faults}");
        assert!(faults.contains("shelves.high.lenght is not a known setting (mainstay.toml); did you mean shelves.high.length?"), "{faults}");
    }
}
