use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_app::{App, Command, Platform};
use mainstay_core::Event;
use mainstay_db::{Migration, WriteUnit};
use mainstay_events::{BoxError, Consumer, Handle};
use mainstay_http::{ApiRouter, Tag};
use mainstay_operations::Operations;
use mainstay_testkit::{Client, Config, Reply, TestApp, json};

pub(crate) const PASSWORD: &str = "a fine engine";

/// Whether the consumer of the test fails, and how often it succeeded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Greeter {
    broken: Arc<AtomicBool>,
    greeted: Arc<AtomicUsize>,
}

impl Greeter {
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn greeted(&self) -> usize {
        self.greeted.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Handle for Greeter {
    async fn handle(&self, _: &WriteUnit, _: &Event) -> Result<(), BoxError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("the greeter is out of order".into());
        }
        self.greeted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// An app with a consumer that may fail.
struct Greetings(Greeter);

impl App for Greetings {
    fn name(&self) -> &'static str {
        "greetings"
    }

    fn migrations(&self) -> Vec<Migration> {
        Vec::new()
    }

    fn routes(&self) -> ApiRouter {
        ApiRouter::new(Tag { name: "Greetings", about: "None." })
    }

    fn consumers(&self) -> Vec<Consumer> {
        vec![Consumer::new("greetings.greeter", &["user.registered"], self.0.clone())]
    }
}

/// A running app with operations on it.
pub(crate) struct Desk {
    pub(crate) app: TestApp,
    pub(crate) greeter: Greeter,
    commands: Vec<Command>,
}

impl Desk {
    pub(crate) async fn boot() -> Self {
        Self::boot_with(Config::defaults()).await
    }

    pub(crate) async fn boot_with(config: Config) -> Self {
        let greeter = Greeter::default();
        let made: Arc<Mutex<Vec<Command>>> = Arc::default();
        let app = TestApp::boot_with(config, |backend| {
            backend.with(|_| Greetings(greeter.clone())).with(|platform: &Platform| {
                let operations = Operations::new(platform);
                *made.lock().unwrap() = operations.commands();
                operations
            })
        })
        .await;
        let commands = std::mem::take(&mut *made.lock().unwrap());
        Self { app, greeter, commands }
    }

    /// Carries out a command as if it had been typed after `mainstay`.
    pub(crate) async fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        let command = self.commands.iter().find(|command| command.arguments.get_name() == words[0]).unwrap();
        command.run(command.arguments.clone().try_get_matches_from(words)?).await
    }

    /// Makes an account and lets the greeter give its event up.
    pub(crate) async fn bury(&self, name: &str) {
        self.app.settle().await;
        self.greeter.set_broken(true);
        register(&self.app.anonymous(), name).await;
        for _ in 0..6 {
            self.app.settle().await;
            self.app.advance(Duration::from_secs(20));
        }
        self.greeter.set_broken(false);
    }
}

pub(crate) async fn register(caller: &Client, name: &str) -> Reply {
    let email = format!("{name}@example.com");
    let body = json!({"email": email, "password": PASSWORD, "username": name});
    let reply = caller.post("/api/v1/auth/register", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

/// One field of each item of a list.
pub(crate) fn each<'a>(reply: &'a Reply, field: &str) -> Vec<&'a str> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let items = reply.json["items"].as_array().unwrap();
    items.iter().map(|item| item[field].as_str().unwrap_or_default()).collect()
}

pub(crate) fn is_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{}", reply.text());
}

pub(crate) const NOBODY: &str = "018f0000-0000-7000-8000-000000000000";
