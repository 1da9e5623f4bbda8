use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use mainstay::{Backend, Config, Surface};
use mainstay_app::Platform;
use mainstay_auth::{Passwords, Role, Roles};
use mainstay_cache::Cache;
use mainstay_core::{Actor, Clock, ManualClock, Paging, SeededRng, Timestamp};
use mainstay_db::Db;
use mainstay_db::testing::TestDatabase;
use mainstay_events::Events;
use mainstay_identity::{Email, Identity, NewPassword, NewUser, Username};
use mainstay_mail::{MailFilter, Mails, StoredMail};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::client::Client;
use crate::contract::Contract;

/// A backend inside a test: identity, and whatever apps the test puts on it.
#[derive(Debug)]
pub struct TestApp {
    router: Router,
    contract: Arc<Contract>,
    clock: Arc<ManualClock>,
    identity: Identity,
    passwords: Passwords,
    db: Db,
    users: AtomicU32,
    start_lines: Vec<String>,
    background: Events,
    mails: Mails,
    cache: Cache,
    _mail_folder: Arc<TempDir>,
    // Last: dropped when nothing uses it any more.
    database: Arc<TestDatabase>,
}

/// Where the clock of every test stands at first: 2026-01-31T09:30:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_769_851_800_000);

/// The password of every account that a test makes.
pub(crate) const PASSWORD: &str = "tests only 4711";

impl TestApp {
    /// Boots identity and the apps that `compose` adds, on a database of its own.
    pub async fn boot(compose: impl Fn(Backend) -> Backend) -> Self {
        Self::boot_with(Config::defaults(), compose).await
    }

    /// The same with settings of the test's own:
    /// `Config::defaults().set("http.require_if_match", "true", "test")`.
    pub async fn boot_with(config: Config, compose: impl Fn(Backend) -> Backend) -> Self {
        // What the apps' schema is has to be known before the database is made.
        let described = Config::defaults().set("secret_key", SECRET, "test").set(
            "database.url",
            "sqlite::memory:",
            "test",
        );
        let plan = compose(Backend::new(described).expect("the plan can be built").with(Identity::new));
        let database = Arc::new(TestDatabase::migrated(&plan.migrations()).await);

        let config = with_high_limits(config);
        let clock = Arc::new(ManualClock::at(START));
        let rng = Arc::new(SeededRng::new(42));
        let passwords = Passwords::weak_for_tests(rng.clone());
        let mail_folder = Arc::new(tempfile::tempdir().expect("a temporary folder can be made"));
        let config = config
            .set("mail.folder", mail_folder.path().to_string_lossy(), "test")
            .set("secret_key", SECRET, "test")
            .set("database.url", database.url(), "test");
        let backend =
            Backend::with_parts(config, clock.clone(), rng, passwords).expect("the backend can be built");
        let identity = Identity::new(backend.platform());
        let (kept, kept_passwords) = (identity.clone(), backend.platform().passwords.clone());
        let backend = compose(backend.with(|_| identity));
        backend.check_settings().expect("the test's settings are good");
        let start_lines = backend.start_apps().await.expect("the apps start");

        let Platform { db, mails, cache, .. } = backend.platform().clone();
        let background = backend.background();
        let Surface { router, routes, document } = backend.surface();
        let contract = Arc::new(Contract::new(routes, document, backend.platform().db.clone()));
        Self {
            router,
            contract,
            clock,
            identity: kept,
            passwords: kept_passwords,
            db,
            users: AtomicU32::new(0),
            start_lines,
            background,
            mails,
            cache,
            _mail_folder: mail_folder,
            database,
        }
    }

    /// Does all background work that can be done at this moment: events reach their
    /// consumers, mails are sent, jobs that are due run, the audit log is sealed.
    pub async fn settle(&self) {
        self.background.settle().await.expect("background work succeeds");
        assert!(self.cache.catch_up().await, "the log of invalidations can be read");
    }

    /// The mails to this address so far, the oldest first, after [`TestApp::settle`].
    pub async fn mails_to(&self, address: &str) -> Vec<StoredMail> {
        self.settle().await;
        let filter = MailFilter { address: Some(address.to_owned()), ..MailFilter::default() };
        let page = self.mails.list(&Actor::system("test"), &Paging::first(100), &filter).await;
        let mut mails = Vec::new();
        for mail in page.expect("mails can be listed").items.into_iter().rev() {
            let found = self.mails.find(mail.id).await.expect("mails can be read");
            mails.push(found.expect("a mail that is listed is there"));
        }
        mails
    }

    /// What the apps had to say to the operator when they started.
    #[must_use]
    pub fn start_lines(&self) -> &[String] {
        &self.start_lines
    }

    /// Starts one more node on the same database; gives what its apps had to say.
    pub async fn boot_again(&self, compose: impl Fn(Backend) -> Backend) -> Vec<String> {
        let rng = Arc::new(SeededRng::new(43));
        let passwords = Passwords::weak_for_tests(rng.clone());
        let config = Config::defaults().set("secret_key", SECRET, "test").set(
            "database.url",
            self.database.url(),
            "test",
        );
        let backend = Backend::with_parts(config, self.clock.clone(), rng, passwords)
            .expect("the backend can be built");
        compose(backend).start_apps().await.expect("the apps start")
    }

    /// One more node on the same database, with the same clock.
    pub async fn another_node(&self, compose: impl Fn(Backend) -> Backend) -> Node {
        self.another_node_with(Config::defaults(), compose).await
    }

    /// The same with settings of its own.
    pub async fn another_node_with(&self, config: Config, compose: impl Fn(Backend) -> Backend) -> Node {
        let rng = Arc::new(SeededRng::new(u64::from(44 + self.users.fetch_add(1, Ordering::Relaxed))));
        let passwords = Passwords::weak_for_tests(rng.clone());
        let config = with_high_limits(config);
        let config =
            config.set("secret_key", SECRET, "test").set("database.url", self.database.url(), "test");
        let backend = Backend::with_parts(config, self.clock.clone(), rng, passwords.clone())
            .expect("the backend can be built");
        let identity = Identity::new(backend.platform());
        let kept = identity.clone();
        let backend = compose(backend.with(|_| identity));
        backend.check_settings().expect("the test's settings are good");
        backend.start_apps().await.expect("the apps start");
        let Surface { router, routes, document } = backend.surface();
        let contract = Arc::new(Contract::new(routes, document, backend.platform().db.clone()));
        let cache = backend.platform().cache.clone();
        Node { router, contract, identity: kept, passwords, cache, database: self.database.clone() }
    }

    /// The identity app, for its commands and what no endpoint does.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What hashes and checks passwords on this node.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// The clock that the app goes by.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Moves the app's clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The present moment of the app's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The database, for what no endpoint shows.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// What this node keeps.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The database's own life.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// The routes and the document, for tests about them.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// A caller who is not signed in.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.router.clone(), self.contract.clone(), self.database.clone(), None)
    }

    /// Somebody with a browser, who is not signed in.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(self.anonymous())
    }

    /// A caller with a token of the test's choice.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Client {
        Client::new(self.router.clone(), self.contract.clone(), self.database.clone(), Some(token.to_owned()))
    }

    /// A signed-in caller with an account of their own and no special role.
    pub async fn user(&self) -> Client {
        self.signed_in(Role::User).await
    }

    /// A signed-in member of the staff.
    pub async fn staff(&self) -> Client {
        self.signed_in(Role::Staff).await
    }

    /// A signed-in administrator.
    pub async fn admin(&self) -> Client {
        self.signed_in(Role::Admin).await
    }

    async fn signed_in(&self, role: Role) -> Client {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let username = format!("{role}-{number}");
        let new = NewUser {
            email: Email::parse(&format!("{username}@example.com")).expect("an address"),
            password: NewPassword::parse(PASSWORD).expect("a password"),
            username: Some(Username::parse(&username).expect("a username")),
            name: None,
            roles: Roles::of(&[role]),
            email_verified: true,
        };
        self.identity
            .accounts()
            .register(&Actor::system("test"), new)
            .await
            .expect("the account can be made");
        let body = serde_json::json!({"username": username, "password": PASSWORD});
        let reply = self.anonymous().post("/api/v1/auth/login", body).await;
        self.with_token(reply.json["access_token"].as_str().expect("a sign-in gives a token"))
    }
}

/// One more node on a [`TestApp`]'s database.
#[derive(Debug)]
pub struct Node {
    router: Router,
    contract: Arc<Contract>,
    identity: Identity,
    passwords: Passwords,
    cache: Cache,
    database: Arc<TestDatabase>,
}

impl Node {
    /// What this node keeps: `node.cache().catch_up().await` makes it hear of what others changed.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A caller of this node who is not signed in.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.router.clone(), self.contract.clone(), self.database.clone(), None)
    }

    /// A caller of this node with a token of the test's choice.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Client {
        Client::new(self.router.clone(), self.contract.clone(), self.database.clone(), Some(token.to_owned()))
    }

    /// The identity app on this node.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What hashes and checks passwords on this node.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }
}

/// Limits that count and never refuse, where the test sets no others: its clock stands still, and all
/// callers come from one place.
fn with_high_limits(config: Config) -> Config {
    let limits = ["anonymous", "signed_in", "services", "auth", "uploads"];
    limits
        .into_iter()
        .fold(config, |config, name| config.or_set(&format!("limits.{name}"), "1000000000/min", "test"))
}

/// The limits that a server has by itself, for [`TestApp::boot_with`].
#[must_use]
pub fn default_limits() -> Config {
    let limits = mainstay::limits::LimitsConfig::default().show();
    let text = |value: &str| value.trim_matches('"').to_owned();
    limits.into_iter().fold(Config::defaults(), |config, (key, value)| config.set(&key, text(&value), "test"))
}

const SECRET: &str = "a secret for tests, and long enough";
