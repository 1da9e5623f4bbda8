//! The platform with its apps on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mainstay_app::{App, Command, Environment, Platform, PlatformParts};
use mainstay_auth::Passwords;
use mainstay_cache::{Cache, CacheOptions, CacheSettings, RedisOptions, Steady};
use mainstay_core::seal::RootKey;
use mainstay_core::settings::{KeyInfo, Section, SettingsError, Sources, expose};
use mainstay_core::{Clock, OsRng, ProblemKind, Rng, SystemClock, Timestamp};
use mainstay_db::{DatabaseSettings, Db, DbOptions, Migration, Migrator, ReplicaState, ReplicaStatus};
use mainstay_events::{Events, EventsOptions, EventsSettings, Job, Next, Schedule, Worker};
use mainstay_http::purge_idempotency_keys;
use mainstay_http::server::Drain;
use mainstay_http::{
    ApiRouter, HttpSettings, Idempotency, OpenApi, Probe, RateLimits, RouteInfo, Stack, StackOptions,
    ops_router,
};
use mainstay_limits::LimitsConfig;
use mainstay_mail::{Letterhead, MailSettings, Mails, MailsOptions};
use mainstay_telemetry::{Metrics, TelemetrySettings};

use crate::config::{self, Config, RedisSettings, RootSettings};
use crate::limiting;

/// A section of the configuration: its name, what it is about, its keys.
pub(crate) type SectionInfo = (String, &'static str, Vec<KeyInfo>);

/// The configuration, to be shown.
pub(crate) struct Described {
    pub(crate) sections: Vec<SectionInfo>,
    pub(crate) values: Vec<(String, String)>,
    pub(crate) verdict: Result<(), SettingsError>,
}

/// A backend: the platform and a list of apps.
pub struct Backend {
    pub(crate) platform: Platform,
    pub(crate) http: HttpSettings,
    pub(crate) telemetry: TelemetrySettings,
    pub(crate) database: DatabaseSettings,
    pub(crate) events: EventsSettings,
    pub(crate) mail: MailSettings,
    pub(crate) redis: RedisSettings,
    pub(crate) limits_config: LimitsConfig,
    /// `None`: calls are not limited.
    pub(crate) limits: Option<RateLimits>,
    pub(crate) cache: CacheSettings,
    pub(crate) drain: Drain,
    apps: Vec<Box<dyn App>>,
}

/// What a backend shows to the outside.
#[derive(Debug)]
pub struct Surface {
    /// The router, the whole stack before it.
    pub router: axum::Router,
    /// Every route with its access rule.
    pub routes: Vec<RouteInfo>,
    /// The API's document.
    pub document: OpenApi,
}

impl Backend {
    /// A backend without apps. Opens no connection yet.
    ///
    /// # Errors
    /// If the development secret can't be kept, or the database's URL is none.
    /// Faults of the configuration are reported by [`Backend::check_settings`], all at once.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let rng: Arc<dyn Rng> = Arc::new(OsRng);
        let passwords = Passwords::new(rng.clone());
        Self::build(config, Arc::new(SystemClock), Steady::Processor, rng, passwords)
    }

    /// The same with a clock, randomness and password hashing of the caller's. For tests: time passes
    /// only when the clock says so.
    ///
    /// # Errors
    /// As [`Backend::new`].
    pub fn with_parts(
        config: Config,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        passwords: Passwords,
    ) -> anyhow::Result<Self> {
        Self::build(config, clock, Steady::Clock, rng, passwords)
    }

    fn build(
        config: Config,
        clock: Arc<dyn Clock>,
        steady: Steady,
        rng: Arc<dyn Rng>,
        passwords: Passwords,
    ) -> anyhow::Result<Self> {
        let Config { mut sources, offline } = config;
        let root = RootSettings::load(&mut sources);
        let http = HttpSettings::load(&mut sources);
        let mut database = DatabaseSettings::load(&mut sources);
        let telemetry = TelemetrySettings::load(&mut sources);
        let events = EventsSettings::load(&mut sources);
        let redis = RedisSettings::load(&mut sources);
        let limits_config = LimitsConfig::load(&mut sources);
        let cache_settings = CacheSettings::load(&mut sources);
        http.check(&mut sources);
        database.check(&mut sources);
        if root.environment == Environment::Production && !http.is_tls() {
            sources.fault("http.public_url must be set and begin with https:// in production");
        }
        let root_key = if offline {
            database.url = "sqlite::memory:".to_owned().into();
            RootKey::new("")
        } else {
            config::root_key(&root, expose(&database.url), &*rng, &mut sources)?
        };
        let metrics = Metrics::new();
        let limits = limiting::build(&limits_config, &redis, offline, &clock, &metrics, &mut sources)?;
        let mail_settings = MailSettings::load(&mut sources);
        mail_settings.check(&mut sources);
        let options = DbOptions {
            settings: database.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            metrics: metrics.clone(),
        };
        let db = Db::open(options)?;
        let prefix = format!("{}:cache:", redis.prefix);
        let shared = redis.url.as_ref().map(|url| RedisOptions::new(expose(url), &prefix)).transpose();
        let shared = shared.unwrap_or_else(|error| {
            sources.fault(format!("redis.url: {error}"));
            None
        });
        let cache = Cache::new(CacheOptions {
            settings: cache_settings.clone(),
            clock: clock.clone(),
            steady,
            rng: rng.clone(),
            metrics: metrics.clone(),
            key: root_key.derive("cache keys"),
            db: Some(db.clone()),
            redis: shared,
        })
        .context("redis.url")?;
        let letterhead = Letterhead {
            product: "Mainstay".to_owned(),
            public_url: http.public_url().parse().context("http.public_url")?,
        };
        let mails = MailsOptions {
            db: db.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            metrics: metrics.clone(),
            root_key: root_key.clone(),
            settings: mail_settings.clone(),
            letterhead,
        };
        let mails = Mails::new(mails.clone()).or_else(|error| {
            // The fault is reported with all others, and nothing is served before that.
            sources.fault(error.to_string());
            Mails::new(MailsOptions { settings: MailSettings::default(), ..mails })
        })?;
        let platform = Platform::new(PlatformParts {
            db,
            clock,
            rng,
            passwords,
            cache,
            mails,
            metrics,
            root_key,
            environment: root.environment,
            public_url: http.public_url(),
            limit_policies: limits_config.policies.keys().cloned().collect(),
            sources,
        });
        Ok(Self {
            platform,
            http,
            telemetry,
            database,
            events,
            mail: mail_settings,
            redis,
            limits_config,
            limits,
            cache: cache_settings,
            drain: Drain::new(),
            apps: Vec::new(),
        })
    }

    /// Puts an app on the platform: `backend.with(Library::new)`.
    #[must_use]
    pub fn with<A: App>(mut self, make: impl FnOnce(&Platform) -> A) -> Self {
        self.apps.push(Box::new(make(&self.platform)));
        self
    }

    /// Everything that the platform gives to apps.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The apps, in the order they were added.
    pub fn apps(&self) -> impl Iterator<Item = &dyn App> {
        self.apps.iter().map(|app| &**app)
    }

    /// Ends the reading of the configuration. Call it after the last [`Backend::with`].
    ///
    /// # Errors
    /// Every fault of it, unknown keys included.
    pub fn check_settings(&self) -> Result<(), SettingsError> {
        let (mut sources, ..) = self.platform.take_settings();
        self.check_limits(&mut sources);
        sources.finish()
    }

    /// Every section with its keys, and every value as it may be shown. Ends the reading too.
    pub(crate) fn describe_settings(&self) -> Described {
        let own = [
            (RootSettings::NAME, RootSettings::DOC, RootSettings::keys()),
            (HttpSettings::NAME, HttpSettings::DOC, HttpSettings::keys()),
            (DatabaseSettings::NAME, DatabaseSettings::DOC, DatabaseSettings::keys()),
            (TelemetrySettings::NAME, TelemetrySettings::DOC, TelemetrySettings::keys()),
            (EventsSettings::NAME, EventsSettings::DOC, EventsSettings::keys()),
            (MailSettings::NAME, MailSettings::DOC, MailSettings::keys()),
            (RedisSettings::NAME, RedisSettings::DOC, RedisSettings::keys()),
            (CacheSettings::NAME, CacheSettings::DOC, CacheSettings::keys()),
        ];
        let (mut sources, sections, shown) = self.platform.take_settings();
        let environment = mainstay_core::settings::Setting::show(&self.platform.environment);
        let mut values =
            vec![("environment".to_owned(), environment), ("secret_key".to_owned(), "(secret)".to_owned())];
        values.extend(self.http.show());
        values.extend(self.database.show());
        values.extend(self.telemetry.show());
        values.extend(self.events.show());
        values.extend(self.mail.show());
        values.extend(self.redis.show());
        values.extend(self.limits_config.show());
        values.extend(self.cache.show());
        values.extend(shown);
        self.check_limits(&mut sources);
        let named = |(name, doc, keys): (&str, _, _)| (name.to_owned(), doc, keys);
        let own = own.into_iter().map(named).chain(self.limits_config.sections());
        let sections = own.chain(sections.into_iter().map(named)).collect();
        Described { sections, values, verdict: sources.finish() }
    }

    /// Policies may name routes, which only the apps together know.
    fn check_limits(&self, sources: &mut Sources) {
        let names_routes = self.limits_config.policies.values().any(|policy| !policy.routes.is_empty());
        if names_routes {
            let routes: Vec<RouteInfo> =
                self.routers().iter().flat_map(|router| router.routes().iter().cloned()).collect();
            RateLimits::faults(&self.limits_config, &routes)
                .into_iter()
                .for_each(|fault| sources.fault(fault));
        }
    }

    /// The platform's migrations and every app's.
    #[must_use]
    pub fn migrations(&self) -> Vec<Migration> {
        let own = [
            mainstay_db::trail::migrations(),
            mainstay_events::migrations(),
            mainstay_mail::migrations(),
            mainstay_http::migrations(),
        ];
        own.into_iter().flatten().chain(self.apps.iter().flat_map(|app| app.migrations())).collect()
    }

    /// Runs them.
    #[must_use]
    pub fn migrator(&self) -> Migrator {
        Migrator::new(self.platform.db.clone(), self.migrations())
    }

    /// The background work of this node: every app's consumers, jobs and workers.
    #[must_use]
    pub fn background(&self) -> Events {
        Events::new(EventsOptions {
            settings: self.events.clone(),
            db: self.platform.db.clone(),
            rng: self.platform.rng.clone(),
            metrics: self.platform.metrics.clone(),
            root_key: self.platform.root_key.clone(),
            consumers: self.apps.iter().flat_map(|app| app.consumers()).collect(),
            jobs: self.apps.iter().flat_map(|app| app.jobs()).chain(self.jobs()).collect(),
            workers: self.apps.iter().flat_map(|app| app.workers()).chain([self.sender()]).collect(),
        })
    }

    /// Hands mails over, as many at a time as one look finds due.
    fn sender(&self) -> Worker {
        const PORTION: u64 = 50;
        let mails = self.platform.mails.clone();
        let send = move || {
            let mails = mails.clone();
            async move {
                let report = mails.send_due(PORTION).await?;
                Ok(if report.sent > 0 { Next::Again } else { Next::Wait })
            }
        };
        Worker::new("mail.sender", send).woken_by(mainstay_mail::MAILS)
    }

    /// The platform's own jobs: what is not needed any more goes.
    fn jobs(&self) -> [Job; 3] {
        let (mails, platform) = (self.platform.mails.clone(), self.platform.clone());
        let daily = Schedule::Every(Duration::from_secs(86_400));
        let purge_mails = Job::new("mail.purge", daily, move || {
            let mails = mails.clone();
            async move {
                mails.purge(mails.settings().kept()).await?;
                Ok(())
            }
        });
        let hourly = Schedule::Every(Duration::from_secs(3600));
        let purge_keys = Job::new("http.purge_idempotency_keys", hourly.clone(), move || {
            let Platform { db, clock, .. } = platform.clone();
            async move {
                purge_idempotency_keys(&db, &*clock, u64::MAX).await?;
                Ok(())
            }
        });
        let platform = self.platform.clone();
        let purge_invalidations = Job::new("cache.purge_log", hourly, move || {
            let Platform { db, clock, .. } = platform.clone();
            async move {
                // Twice as long as a node may have missed and still go on from where it was.
                const KEPT_MS: i64 = 2 * 3_600_000;
                let before = Timestamp::from_millis(clock.now().millis() - KEPT_MS);
                db.purge_invalidations(before).await?;
                Ok(())
            }
        });
        [purge_mails, purge_keys, purge_invalidations]
    }

    /// Every app's commands.
    pub(crate) fn commands(&self) -> Vec<Command> {
        self.apps.iter().flat_map(|app| app.commands()).collect()
    }

    /// The table of error codes: the platform's and every app's.
    #[must_use]
    pub fn problems(&self) -> Vec<&'static ProblemKind> {
        let own = mainstay_core::problem::PROBLEMS.iter().chain(mainstay_http::idempotency::PROBLEMS);
        let own = own.chain(mainstay_http::PROBLEMS);
        let shared = mainstay_app::PROBLEMS.iter();
        own.chain(shared).chain(self.apps.iter().flat_map(|app| app.problems())).copied().collect()
    }

    /// Runs what the platform and each app do before the first request. Returns lines for the operator.
    ///
    /// # Errors
    /// If an app can't start.
    pub async fn start_apps(&self) -> anyhow::Result<Vec<String>> {
        if let Some(limits) = &self.limits {
            limits.limiter().start().await;
        }
        let mut lines = Vec::new();
        for app in &self.apps {
            lines.extend(app.start().await?);
        }
        Ok(lines)
    }

    /// Fills an empty database with data to look at.
    pub(crate) async fn seed_demo(&self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for app in &self.apps {
            lines.extend(app.seed_demo().await?);
        }
        Ok(lines)
    }

    /// Every app's routers, and those of what its pages are made of.
    fn routers(&self) -> Vec<ApiRouter> {
        let apps =
            self.apps.iter().flat_map(|app| [app.root_routes(), app.pages(), app.routes().under("/api/v1")]);
        apps.chain([self.platform.web.routes()]).collect()
    }

    /// The routers, the document and the list of routes, all from one declaration each.
    #[must_use]
    pub fn surface(&self) -> Surface {
        let mut routers = self.routers();
        let problems = self.problems();
        // The document holds the operators' routes too, and they serve the document.
        let describe = |document: &OpenApi| {
            ops_router(self.drain.clone(), self.probes(), self.metrics(), document, &problems)
        };
        let version = env!("CARGO_PKG_VERSION");
        let ops = describe(&OpenApi::of([], version));
        let document = OpenApi::of(routers.iter().chain([&ops]), version);
        routers.push(describe(&document));
        let routes: Vec<RouteInfo> =
            routers.iter().flat_map(|router| router.routes().iter().cloned()).collect();
        let error_shapes = routers.iter().filter_map(ApiRouter::error_shape).cloned().collect();
        let router =
            routers.into_iter().fold(axum::Router::new(), |all, router| all.merge(router.into_axum()));
        let stack = Stack::new(StackOptions {
            settings: self.http.clone(),
            authenticator: self.apps.iter().find_map(|app| app.authenticator()),
            routes: routes.clone(),
            rng: self.platform.rng.clone(),
            idempotency: self.idempotency(),
            metrics: self.platform.metrics.clone(),
            error_page: Some(self.platform.web.error_page()),
            limits: self.limits.clone(),
            error_shapes,
        });
        Surface { router: stack.wrap(router), routes, document }
    }

    fn idempotency(&self) -> Idempotency {
        let Platform { db, root_key, rng, metrics, .. } = &self.platform;
        Idempotency::new(db.clone(), root_key, rng.clone(), metrics)
    }

    fn metrics(&self) -> Option<Metrics> {
        self.telemetry.metrics.then(|| self.platform.metrics.clone())
    }

    fn probes(&self) -> Vec<Probe> {
        let db = self.platform.db.clone();
        let replicas = (!db.replicas().is_empty()).then(|| {
            let db = db.clone();
            // Without them the primary answers: the server is as ready as ever.
            Probe::note("replicas", move || std::future::ready(describe(&db.replicas())))
        });
        let database = Probe::new("database", move || {
            let db = db.clone();
            async move {
                // Which error it is stands in the log; whoever asks here may be anybody.
                db.ping().await.map_err(|error| {
                    tracing::warn!(%error, "the database does not answer");
                    "does not answer".to_owned()
                })
            }
        });
        [database].into_iter().chain(replicas).chain(self.limits.as_ref().map(limiting::probe)).collect()
    }
}

/// `ok`, or which replica is out. By number: where they are is nobody's business.
fn describe(replicas: &[ReplicaStatus]) -> String {
    let out = replicas.iter().filter(|replica| replica.state != ReplicaState::InUse);
    let out: Vec<_> =
        out.map(|replica| format!("replica {} is {}", replica.number, replica.state.as_str())).collect();
    if out.is_empty() { "ok".to_owned() } else { format!("out of use: {}", out.join(", ")) }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.apps.iter().map(|app| app.name()).collect();
        f.debug_struct("Backend").field("apps", &names).finish_non_exhaustive()
    }
}
