//! Mails on a database of their own.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::seal::RootKey;
use mainstay_core::{Actor, Clock as _, ManualClock, OsRng, Timestamp};
use mainstay_db::Db;
use mainstay_db::testing::TestDatabase;
use mainstay_mail::{
    Body, Letter, MailFilter, MailId, MailSettings, Mails, MailsOptions, NewMail, Recipient, StoredMail,
};
use mainstay_telemetry::Metrics;
use uuid::Uuid;

pub(crate) const ACTOR: Actor = Actor::system("test");
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A letter with everything in it.
#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) subject: String,
    pub(crate) text: String,
}

impl Letter for Report {
    const TEMPLATE: &'static str = "test.report";

    fn subject(&self) -> String {
        self.subject.clone()
    }

    fn body(&self) -> Body {
        Body::new("Hello,")
            .paragraph(&self.text)
            .fact("Severity", "high")
            .fact("Site", "north")
            .code("493-201")
            .action("Open the incident", "/incidents/1?from=mail&x=y")
            .note("You get this because you are on duty.")
    }

    fn samples() -> Vec<Self> {
        [
            ("Pump down", "The pump in the cellar is down."),
            ("<b>Ünal & \"sons\"</b>", "</p><img src=x onerror=alert(1)> ' & \" çığ 🎉"),
            ("Long", &"word ".repeat(400)),
        ]
        .map(|(subject, text)| Self { subject: subject.to_owned(), text: text.trim().to_owned() })
        .into()
    }
}

/// Mails with a database, a clock and a folder.
pub(crate) struct Post {
    pub(crate) mails: Mails,
    pub(crate) db: Db,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Metrics,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) database: Arc<TestDatabase>,
}

impl Post {
    /// Mails that become files.
    pub(crate) async fn to_folder() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut MailSettings)) -> Self {
        let database = Arc::new(TestDatabase::migrated(&mainstay_mail::migrations()).await);
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_769_851_800_000)));
        Self::on(database, clock, change)
    }

    /// Another node on the same database.
    pub(crate) fn beside(&self, change: impl FnOnce(&mut MailSettings)) -> Self {
        Self::on(self.database.clone(), self.clock.clone(), change)
    }

    fn on(
        database: Arc<TestDatabase>,
        clock: Arc<ManualClock>,
        change: impl FnOnce(&mut MailSettings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = database.open_with(clock.clone());
        let mut settings = MailSettings {
            folder: folder.path().join("mail"),
            from: "Mainstay <no-reply@mainstay.example>".to_owned(),
            ..MailSettings::default()
        };
        change(&mut settings);
        let metrics = Metrics::new();
        let mails = Mails::new(MailsOptions {
            db: db.clone(),
            clock: clock.clone(),
            rng: Arc::new(OsRng),
            metrics: metrics.clone(),
            root_key: RootKey::new("a secret of tests"),
            settings,
            letterhead: mainstay_mail::testing::letterhead(),
        });
        Self { mails: mails.unwrap(), db, clock, metrics, folder, database }
    }

    /// Queues a mail and gives its id.
    pub(crate) async fn queue(&self, address: &str) -> MailId {
        let number = self.clock.now().millis() as u128;
        let cause = Uuid::from_u128(number << 64 | u128::from(hash(address)));
        self.queue_letter(cause, address, &Report::samples()[0]).await;
        self.newest(address).await
    }

    pub(crate) async fn queue_letter(&self, cause: Uuid, address: &str, letter: &Report) -> bool {
        let unit = self.db.write(&ACTOR).await.unwrap();
        let added = self.mails.queue(&unit, new_mail(cause, address), letter).await.unwrap();
        unit.commit().await.unwrap();
        added
    }

    async fn newest(&self, address: &str) -> MailId {
        let filter = MailFilter { address: Some(address.to_owned()), ..MailFilter::default() };
        let page = self.mails.list(&ACTOR, &mainstay_core::Paging::first(1), &filter).await.unwrap();
        page.items[0].id
    }

    pub(crate) async fn find(&self, id: MailId) -> StoredMail {
        self.mails.find(id).await.unwrap().unwrap()
    }
}

pub(crate) fn new_mail(cause: Uuid, address: &str) -> NewMail {
    NewMail {
        cause,
        recipient: Recipient { name: Some("Ada Lovelace".to_owned()), address: address.to_owned() },
        reference: None,
        confidential: false,
    }
}

fn hash(text: &str) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::hash::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
