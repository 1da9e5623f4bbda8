//! Scopes: what a credential may be used for, out of what its owner may do.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;
use mainstay_core::Invalid;
use mainstay_core::input::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// One pattern of a set of scopes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `*`: everything that the owner may do.
    All,
    /// `read`: every GET and HEAD.
    Read,
    /// `library:read` or `library:write`.
    Area {
        /// The area: the lower-case name that an app's routes stand under.
        area: Arc<str>,
        /// Whether it covers changes too.
        write: bool,
    },
}

/// A text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be *, read, <area>:read or <area>:write")]
pub struct NoScope;

impl Scope {
    /// The scope that a request with this method to this area takes: writing,
    /// unless it only reads.
    #[must_use]
    pub fn needed(area: &str, method: &Method) -> Self {
        Self::Area { area: area.into(), write: !reads(method) }
    }

    /// The area it is about. `None` for those that are about all of them.
    #[must_use]
    pub fn area(&self) -> Option<&str> {
        match self {
            Self::All | Self::Read => None,
            Self::Area { area, .. } => Some(area),
        }
    }

    fn allows(&self, wanted: &str, method: &Method) -> bool {
        match self {
            Self::All => true,
            Self::Read => reads(method),
            Self::Area { area, write } => **area == *wanted && (*write || reads(method)),
        }
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        match text {
            "*" => return Ok(Self::All),
            "read" => return Ok(Self::Read),
            _ => {}
        }
        let (area, verb) = text.split_once(':').ok_or(NoScope)?;
        let named =
            (1..=50).contains(&area.len()) && area.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let write = match verb {
            "read" => false,
            "write" => true,
            _ => return Err(NoScope),
        };
        if named { Ok(Self::Area { area: area.into(), write }) } else { Err(NoScope) }
    }
}

impl Text for Scope {
    fn schema() -> Value {
        json!({"type": "string", "pattern": r"^(\*|read|[a-z_]{1,50}:(read|write))$"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse().map_err(|error: NoScope| Invalid::new("invalid_scope", error.to_string()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Read => f.write_str("read"),
            Self::Area { area, write } => write!(f, "{area}:{}", if *write { "write" } else { "read" }),
        }
    }
}

/// A set of scopes: a request passes if one of them covers it. Cheap to clone.
///
/// As text, in the database and in OAuth's answers, the patterns with spaces
/// between them; in JSON a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Arc<BTreeSet<Scope>>);

impl Scopes {
    /// `*`: everything that the owner may do.
    #[must_use]
    pub fn all() -> Self {
        Self::from_iter([Scope::All])
    }

    /// Whether a request with this method to this area is covered.
    #[must_use]
    pub fn allow(&self, area: &str, method: &Method) -> bool {
        self.0.iter().any(|scope| scope.allows(area, method))
    }

    /// The patterns, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// As the database and OAuth have it.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.iter().map(Scope::to_string).collect::<Vec<_>>().join(" ")
    }

    /// From the database. Patterns that this version does not know allow nothing.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        text.split(' ').filter_map(|scope| scope.parse().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(Arc::new(scopes.into_iter().collect()))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::to_string))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse::<Scope>().map_err(serde::de::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::from_text(text)
    }

    #[test]
    fn a_scope_covers_its_area_and_writing_includes_reading() {
        let table = [
            ("*", [true, true, true, true]),
            ("read", [true, false, true, false]),
            ("library:read", [true, false, false, false]),
            ("library:write", [true, true, false, false]),
            ("library:read blog:write", [true, false, true, true]),
            ("", [false; 4]),
        ];
        for (text, expected) in table {
            let scopes = scopes(text);
            let found = [
                scopes.allow("library", &Method::HEAD),
                scopes.allow("library", &Method::DELETE),
                scopes.allow("blog", &Method::GET),
                scopes.allow("blog", &Method::PATCH),
            ];
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn methods_that_nobody_knows_count_as_writing() {
        let method = Method::from_bytes(b"QUERY").unwrap();
        assert!(!scopes("read library:read").allow("library", &method));
        assert!(!scopes("read library:read").allow("library", &Method::OPTIONS));
    }

    #[test]
    fn what_is_no_scope_is_refused_and_allows_nothing() {
        for bad in [
            "",
            "**",
            "write",
            "Read",
            "library",
            "library:",
            ":read",
            "library:all",
            "Lib:read",
            "a:b:read",
            "a b:read",
        ] {
            assert_eq!(bad.parse::<Scope>(), Err(NoScope), "{bad:?}");
        }
        assert_eq!(scopes("root  library:admin read"), scopes("read"));
        assert!("x".repeat(51).parse::<Scope>().is_err());
    }

    #[test]
    fn json_is_a_list() {
        let given = scopes("library:write *");
        assert_eq!(serde_json::to_string(&given).unwrap(), r#"["*","library:write"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(r#"["*","library:write"]"#).unwrap(), given);
        assert!(serde_json::from_str::<Scopes>(r#"["root"]"#).is_err());
    }

    proptest! {
        #[test]
        fn text_round_trips(texts in proptest::collection::vec("\\*|read|[a-z_]{1,10}:(read|write)", 0..6)) {
            let scopes: Scopes = texts.iter().map(|text| text.parse().unwrap()).collect();
            prop_assert_eq!(Scopes::from_text(&scopes.to_text()), scopes);
        }

        #[test]
        fn more_scopes_never_allow_less(
            texts in proptest::collection::vec("\\*|read|(a|b):(read|write)", 0..4),
            one in "\\*|read|(a|b):(read|write)",
        ) {
            let few: Scopes = texts.iter().map(|text| text.parse().unwrap()).collect();
            let more: Scopes = texts.iter().chain([&one]).map(|text| text.parse().unwrap()).collect();
            for area in ["a", "b", "c"] {
                for method in [Method::GET, Method::HEAD, Method::POST] {
                    prop_assert!(!few.allow(area, &method) || more.allow(area, &method));
                }
            }
        }
    }
}
