//! The `[limits]` section and the policies under it.

use std::collections::BTreeMap;

use mainstay_core::settings::{KeyInfo, NamedSection as _, RawSetting, Section as _, Setting, Sources};

use crate::limiter::Fail;
use crate::policy::{Algorithm, MAX_EXACT, Policy, PolicyError};

/// A limit as the settings have it: `100/min` and the words that [`Policy::parse`] knows, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitText(Option<String>);

impl LimitText {
    /// What `text` says.
    ///
    /// # Errors
    /// See [`Policy::parse`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.trim() == "off" {
            return Ok(Self(None));
        }
        Policy::parse("policy", text).map(|policy| Self(Some(restated(&policy, text))))
    }

    /// Whether there is no limit.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// The policy of this name, which clients know as `shown`. `None` if it is off.
    ///
    /// # Errors
    /// [`PolicyError::Name`] for a name that can't stand in a header.
    pub fn policy(&self, name: &str, shown: &str) -> Result<Option<Policy>, PolicyError> {
        let policy = self.0.as_deref().map(|text| Policy::parse(name, text)?.shown_as(shown));
        policy.transpose()
    }

    /// The same for what is to be guessed at as seldom as is said, to the call, whatever happens:
    /// strict, and exact unless another algorithm was named.
    ///
    /// # Errors
    /// As [`LimitText::policy`].
    pub fn guarded_policy(&self, name: &str) -> Result<Option<Policy>, PolicyError> {
        let Some(policy) = self.policy(name, name)? else { return Ok(None) };
        let named = self.0.as_deref().is_some_and(|text| text.contains("sliding"));
        let plain = policy.algorithm() == Algorithm::Sliding && policy.lease() == 0 && !named;
        if plain && policy.limit() <= MAX_EXACT {
            let exact = Policy::new(name, policy.limit(), policy.window(), Algorithm::Exact)?;
            return Ok(Some(exact.into_strict()));
        }
        Ok(Some(policy.into_strict()))
    }
}

/// The policy in its usual spelling, but with `sliding` where it was said.
fn restated(policy: &Policy, text: &str) -> String {
    let said = text.split_whitespace().any(|word| word == "sliding");
    if said { format!("{policy} sliding") } else { policy.to_string() }
}

impl Setting for LimitText {
    fn kind() -> String {
        "limit such as `100/min`, or `off`".to_owned()
    }
    fn read(raw: &RawSetting) -> Result<Self, String> {
        let text = String::read(raw).map_err(|_| "must be a limit such as \"100/min\"".to_owned())?;
        Self::parse(&text).map_err(|error| format!("is no limit: {error}"))
    }
    fn show(&self) -> String {
        format!("{:?}", self.0.as_deref().unwrap_or("off"))
    }
}

mainstay_core::settings! {
    /// Rate limits: how many calls are admitted in how much time. `100/min`, `5/15min`, `20/s`; words
    /// after that choose how it is counted (`exact`, `sliding`, `gcra burst=N`, `lease=N`, `strict`).
    /// `mainstay limits test POLICY` shows what a client gets. Counted in Redis if `redis.url` is set,
    /// in this process's memory otherwise.
    pub struct LimitsSettings in "limits" {
        /// Whether calls are limited at all.
        enabled: bool = true;
        /// Callers who are not signed in, by address (IPv6: by /64).
        anonymous: LimitText = limit("100/min");
        /// Users, each with all their API keys but those that were given a policy.
        signed_in: LimitText = limit("1000/min");
        /// Other programs with a service credential, each by itself.
        services: LimitText = limit("60000/min");
        /// What can be guessed at or sends mails: signing in, registering, resets. By address, besides the
        /// limits above, and never open whatever `fail` says. Exact if it is at most 150.
        auth: LimitText = limit("10/min");
        /// Uploads, by caller, besides the limits above.
        uploads: LimitText = limit("30/min");
        /// What happens while Redis is away: `local`: each node admits its share, the limit divided by
        /// `nodes`; `open`: everything is admitted (but what `auth` guards is limited as under `local`);
        /// `closed`: nothing is (503).
        fail: Fail = Fail::Local;
        /// How many nodes share the limits, for their shares while Redis is away.
        nodes: u32 = 1, in 1..=10_000;
    }
}

mainstay_core::setting_words! {
    /// Whose calls a policy is for.
    pub enum Callers {
        /// Everybody's.
        Everybody = "everybody",
        /// Those of callers who are not signed in.
        Anonymous = "anonymous",
        /// Those of users, by session or by API key.
        SignedIn = "signed_in",
        /// Those of other programs with a service credential.
        Services = "services",
    }
}

mainstay_core::setting_words! {
    /// What a policy counts by.
    pub enum CountBy {
        /// The user, the API key or the service; the address of a caller who is none of them.
        Caller = "caller",
        /// The address, whoever calls.
        Address = "address",
    }
}

mainstay_core::settings! {
    /// A policy of your own, such as `[limits.policies.search]`. It applies to the routes it names, besides the
    /// limits above; and to each API key that an administrator gives it to, instead of `limits.signed_in`.
    pub struct PolicySettings in each "limits.policies" {
        /// How much is admitted. Must be set.
        limit: Option<LimitText> = None;
        /// What it applies to: groups of routes (`default`, `auth`, `uploads`), areas (`library`), operations
        /// (`search_books`), or `*` for everything that is limited. `mainstay routes` lists them. None: only to the API
        /// keys that it is given to.
        routes: Vec<String> = vec![];
        /// Whose calls it is for.
        callers: Callers = Callers::Everybody;
        /// What it counts by.
        by: CountBy = CountBy::Caller;
    }
}

fn limit(text: &str) -> LimitText {
    LimitText::parse(text).expect("a default is a policy")
}

/// Names that policies of the platform have.
const TAKEN: &[&str] = &["default", "anonymous", "signed_in", "services", "auth", "uploads"];

/// The whole of the section.
#[derive(Clone, Debug, Default)]
pub struct LimitsConfig {
    /// `[limits]`.
    pub settings: LimitsSettings,
    /// `[limits.policies.NAME]`, by name.
    pub policies: BTreeMap<String, PolicySettings>,
}

impl LimitsConfig {
    /// Reads it; faults go into `sources`.
    #[must_use]
    pub fn load(sources: &mut Sources) -> Self {
        let settings = LimitsSettings::load(sources);
        let policies = PolicySettings::load_all(sources);
        if settings.auth.is_off() {
            sources.fault(
                "limits.auth can't be off: it keeps passwords from being guessed. Raise it, or switch all limits off \
                 with limits.enabled = false",
            );
        }
        for (name, policy) in &policies {
            let good = (1..=40).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
            if !good {
                sources.fault(format!(
                    "limits.policies.{name}: a policy's name has 1 to 40 lower-case letters, digits, `_` and `-`"
                ));
            }
            if TAKEN.contains(&name.as_str()) {
                sources.fault(format!("limits.policies.{name}: the name is taken by the platform"));
            }
            match &policy.limit {
                None => {
                    sources.fault(format!("limits.policies.{name}.limit must be set, such as \"100/min\""));
                }
                Some(limit) if limit.is_off() => {
                    sources.fault(format!("limits.policies.{name}.limit can't be off: leave the policy out"));
                }
                Some(_) => {}
            }
        }
        Self { settings, policies }
    }

    /// Every section as the reference or `config show` has it: the policies that there are, or what one looks like.
    #[must_use]
    pub fn sections(&self) -> Vec<(String, &'static str, Vec<KeyInfo>)> {
        let own = (LimitsSettings::NAME.to_owned(), LimitsSettings::DOC, LimitsSettings::keys());
        let names: Vec<&str> = match self.policies.len() {
            0 => vec!["NAME"],
            _ => self.policies.keys().map(String::as_str).collect(),
        };
        let policy = |name: &str| {
            let mut keys = PolicySettings::keys();
            keys.iter_mut().for_each(|key| key.path = key.path.replace(".NAME.", &format!(".{name}.")));
            (format!("{}.{name}", PolicySettings::PREFIX), PolicySettings::DOC, keys)
        };
        std::iter::once(own).chain(names.into_iter().map(policy)).collect()
    }

    /// Path and printable value of each key.
    #[must_use]
    pub fn show(&self) -> Vec<(String, String)> {
        let policies = self.policies.iter().flat_map(|(name, policy)| policy.show(name));
        self.settings.show().into_iter().chain(policies).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> (LimitsConfig, Result<(), String>) {
        let mut sources = Sources::new();
        sources.add_toml(toml, "mainstay.toml");
        let config = LimitsConfig::load(&mut sources);
        (config, sources.finish().map_err(|error| error.to_string()))
    }

    #[test]
    fn the_section_is_read_with_its_policies() {
        let (config, verdict) = load(
            "[limits]\nanonymous = \"60/min gcra\"\nuploads = \"off\"\nfail = \"open\"\nnodes = 3\n\
             [limits.policies.search]\nlimit = \"30/min\"\nroutes = [\"search_books\"]\nby = \"address\"\n",
        );
        verdict.unwrap();
        assert_eq!((config.settings.fail, config.settings.nodes), (Fail::Open, 3));
        assert_eq!(config.settings.uploads.policy("uploads", "uploads").unwrap(), None);
        let anonymous = config.settings.anonymous.policy("anonymous", "default").unwrap().unwrap();
        assert_eq!((anonymous.to_string().as_str(), anonymous.shown()), ("60/min gcra burst=6", "default"));
        let search = &config.policies["search"];
        assert_eq!((search.by, search.callers), (CountBy::Address, Callers::Everybody));
        assert!(
            config.show().contains(&("limits.policies.search.limit".to_owned(), "\"30/min\"".to_owned()))
        );
        assert_eq!(config.sections()[1].0, "limits.policies.search");
        assert_eq!(LimitsConfig::default().sections()[1].0, "limits.policies.NAME");
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        let (_, verdict) = load(
            "[limits]\nanonymous = \"many\"\nauth = \"off\"\nfail = \"ajar\"\n\
             [limits.policies.auth]\nlimit = \"1/min\"\n[limits.policies.Big]\nlimit = \"5/fortnight\"\n\
             [limits.policies.none]\nroutes = []\ncallers = \"cats\"\n",
        );
        let faults = verdict.unwrap_err();
        for fault in [
            "limits.anonymous is no limit: \"many\" is no limit: write calls/window",
            "limits.auth can't be off",
            "limits.fail must be \"local\" or \"open\" or \"closed\"",
            "limits.policies.auth: the name is taken",
            "limits.policies.Big: a policy's name has",
            "limits.policies.Big.limit is no limit: \"fortnight\" is no window",
            "limits.policies.none.limit must be set",
            "limits.policies.none.callers must be \"everybody\"",
        ] {
            assert!(faults.contains(fault), "{fault} in {faults}");
        }
    }

    #[test]
    fn what_guards_is_exact_and_strict_unless_told_otherwise() {
        for (text, expected) in [
            ("10/min", "10/min exact strict"),
            ("10/min sliding", "10/min strict"),
            ("151/min", "151/min strict"),
            ("10/min gcra burst=2", "10/min gcra burst=2 strict"),
        ] {
            let policy = LimitText::parse(text).unwrap().guarded_policy("auth").unwrap().unwrap();
            assert_eq!(policy.to_string(), expected, "{text}");
        }
        assert_eq!(LimitText::parse(" 60/1min  sliding ").unwrap().show(), "\"60/min sliding\"");
    }
}
