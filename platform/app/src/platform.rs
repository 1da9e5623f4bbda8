use std::sync::{Arc, Mutex, PoisonError};

use crate::{AccountHooks, AuthorsSlot, PeopleSlot};
use mainstay_auth::Passwords;
use mainstay_cache::Cache;
use mainstay_core::seal::RootKey;
use mainstay_core::settings::{KeyInfo, Section, Sources};
use mainstay_core::{Clock, Ids, Rng};
use mainstay_db::Db;
use mainstay_mail::Mails;
use mainstay_telemetry::Metrics;
use mainstay_web::Web;

mainstay_core::setting_words! {
    /// What the server is run for.
    pub enum Environment {
        /// On a laptop: secrets make themselves, demo data is allowed.
        Development = "development",
        /// For real: refuses a missing, default or short `secret_key`, public URLs without TLS, and demo data.
        Production = "production",
    }
}

/// What an app is given. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Platform {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Makes ids.
    pub ids: Ids,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Keeps what was made once, on this node and for all of them.
    pub cache: Cache,
    /// Queues mails.
    pub mails: Mails,
    /// Where to count.
    pub metrics: Metrics,
    /// Keys for secrets at rest are derived from it.
    pub root_key: RootKey,
    /// What the server is run for.
    pub environment: Environment,
    /// Where people reach the server, without a slash at the end.
    pub public_url: String,
    /// Who takes part in the life of accounts.
    pub account_hooks: AccountHooks,
    /// Where the app that keeps accounts puts its [`People`](crate::People).
    pub people: PeopleSlot,
    /// Where the app that keeps posts puts its [`Authors`](crate::Authors).
    pub authors: AuthorsSlot,
    /// What pages are made with.
    pub web: Web,
    /// The names of the rate limits that an API key can be given.
    pub limit_policies: Arc<[String]>,
    settings: Arc<Mutex<Settings>>,
}

#[derive(Debug)]
struct Settings {
    sources: Sources,
    sections: Vec<(&'static str, &'static str, Vec<KeyInfo>)>,
    shown: Vec<(String, String)>,
}

/// What a [`Platform`] is made from.
#[derive(Debug)]
pub struct PlatformParts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Keeps what was made once, on this node and for all of them.
    pub cache: Cache,
    /// Queues mails.
    pub mails: Mails,
    /// Where to count.
    pub metrics: Metrics,
    /// The installation's root secret.
    pub root_key: RootKey,
    /// What the server is run for.
    pub environment: Environment,
    /// Where people reach the server.
    pub public_url: String,
    /// The names of the rate limits that an API key can be given.
    pub limit_policies: Arc<[String]>,
    /// The layers of the configuration.
    pub sources: Sources,
}

impl Platform {
    /// A platform.
    #[must_use]
    pub fn new(parts: PlatformParts) -> Self {
        let PlatformParts {
            db,
            clock,
            rng,
            passwords,
            cache,
            mails,
            metrics,
            root_key,
            environment,
            public_url,
            limit_policies,
            sources,
        } = parts;
        let ids = Ids::new(clock.clone(), rng.clone());
        let settings = Settings { sources, sections: Vec::new(), shown: Vec::new() };
        let settings = Arc::new(Mutex::new(settings));
        let account_hooks = AccountHooks::default();
        let web = Web::new(&root_key, rng.clone(), &public_url);
        Self {
            db,
            clock,
            rng,
            ids,
            passwords,
            cache,
            mails,
            metrics,
            root_key,
            environment,
            public_url,
            account_hooks,
            people: PeopleSlot::default(),
            authors: AuthorsSlot::default(),
            web,
            limit_policies,
            settings,
        }
    }

    /// An app's section of the configuration. Faults in it are reported
    /// together with everybody else's before the server starts.
    #[must_use]
    pub fn section<S: Section>(&self) -> S {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let section = S::load(&mut settings.sources);
        settings.sections.push((S::NAME, S::DOC, S::keys()));
        settings.shown.extend(section.show());
        section
    }

    /// Adds a fault that concerns several keys of an app's section.
    pub fn settings_fault(&self, text: impl Into<String>) {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).sources.fault(text);
    }

    /// Ends the reading of the configuration: the layers, every section with its keys, and every value to show.
    #[doc(hidden)]
    #[must_use]
    #[expect(clippy::type_complexity, reason = "taken apart where it is called, by the server alone")]
    pub fn take_settings(
        &self,
    ) -> (Sources, Vec<(&'static str, &'static str, Vec<KeyInfo>)>, Vec<(String, String)>) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = std::mem::take(&mut settings.sources);
        (sources, std::mem::take(&mut settings.sections), std::mem::take(&mut settings.shown))
    }
}
