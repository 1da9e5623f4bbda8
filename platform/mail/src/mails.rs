//! The queue and the mailbox.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use mainstay_core::seal::{RootKey, Sealer};
use mainstay_core::{Actor, Clock, Ids, Page, Paging, Problem, Rng, Timestamp};
use mainstay_db::{Db, WriteUnit, create_private_folder};
use mainstay_telemetry::Metrics;
use mainstay_telemetry::prometheus_client::metrics::{counter::Counter, family::Family};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::address::{self, MOST_BYTES};
use crate::entity::{Column, Entity, Model};
use crate::render::one_line;
use crate::smtp::{DeliveryError, Smtp, SmtpServer};
use crate::{
    Content, Letter, Letterhead, Mail, MailFilter, MailId, MailOrder, MailSettings, MailStatus, NewMail,
    Rendered, StoredMail, render, repo,
};

/// What [`Mails`] are built from.
#[derive(Clone, Debug)]
pub struct MailsOptions {
    /// Where the queue is.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the pauses between attempts and for sealing.
    pub rng: Arc<dyn Rng>,
    /// Where mails are counted.
    pub metrics: Metrics,
    /// What contents are sealed with.
    pub root_key: RootKey,
    /// The `[mail]` section.
    pub settings: MailSettings,
    /// What is the same in all mails.
    pub letterhead: Letterhead,
}

/// The topic of the database's signals that is woken when a mail was queued.
pub const MAILS: &str = "mails";

/// Settings that mails can't be sent with. Names the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailSettingsError(pub(crate) String);

/// Mails: queued in the transaction of what causes them, sent later. Cheap to clone.
#[derive(Clone)]
pub struct Mails(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) settings: MailSettings,
    pub(crate) letterhead: Letterhead,
    pub(crate) from: Mailbox,
    pub(crate) way: Way,
    pub(crate) outcomes: Family<[(&'static str, &'static str); 1], Counter>,
    ids: Ids,
    sealer: Sealer,
}

/// Where mails go.
pub(crate) enum Way {
    Smtp(Smtp),
    Folder(PathBuf),
}

impl fmt::Debug for Mails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.way {
            Way::Smtp(smtp) => write!(f, "Mails({smtp:?})"),
            Way::Folder(folder) => write!(f, "Mails({})", folder.display()),
        }
    }
}

impl Mails {
    /// Reads the settings; connects to nothing.
    ///
    /// # Errors
    /// If the settings are wrong (see [`MailSettings::check`]) or `mail.ca_file` can't be used.
    pub fn new(options: MailsOptions) -> Result<Self, MailSettingsError> {
        let MailsOptions { db, clock, rng, metrics, root_key, settings, letterhead } = options;
        let faults = settings.faults();
        let from = address::sender(&settings.from).filter(|_| faults.is_empty());
        let from = from.ok_or_else(|| MailSettingsError(faults.join("; ")))?;
        let way = match &settings.smtp_url {
            Some(url) => {
                let server = SmtpServer::parse(url)
                    .map_err(|fault| MailSettingsError(format!("mail.smtp_url {fault}")))?;
                let timeout = Duration::from_secs(settings.timeout_s);
                let smtp = Smtp::new(server, settings.ca_file.as_deref(), letterhead.host(), timeout);
                Way::Smtp(smtp.map_err(MailSettingsError)?)
            }
            None => Way::Folder(settings.folder.clone()),
        };
        let outcomes = Family::default();
        let outcomes = metrics.register("mails", "Attempts to send a mail, by what came of them", outcomes);
        Ok(Self(Arc::new(Inner {
            ids: Ids::new(clock.clone(), rng.clone()),
            sealer: root_key.sealer("mail", rng.clone()),
            db,
            clock,
            rng,
            settings,
            letterhead,
            from,
            way,
            outcomes,
        })))
    }

    /// Queues a mail in the caller's transaction. False, and nothing new, if one for this cause,
    /// template and address (whatever its case) is there already.
    ///
    /// Nothing about the letter or the address is an error here, where it would come back with
    /// every try: a mail to what is no address is stored as failed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn queue(&self, unit: &WriteUnit, mail: NewMail, letter: &impl Letter) -> Result<bool, DbErr> {
        let row = self.row(mail, letter);
        let is_new = repo::insert(unit, row).await?;
        if is_new {
            unit.wake(MAILS);
        }
        Ok(is_new)
    }

    fn row<L: Letter>(&self, mail: NewMail, letter: &L) -> Model {
        let NewMail { cause, recipient, reference, confidential } = mail;
        let is_address = address::mailbox(None, &recipient.address).is_some();
        let Rendered { subject, content } = render(letter, &self.0.letterhead);
        let id: Uuid = self.0.ids.make();
        let now = self.0.clock.now().millis();
        let address = address::storable(&recipient.address);
        let status = if is_address { MailStatus::Queued } else { MailStatus::Failed };
        Model {
            id,
            cause,
            template: L::TEMPLATE.to_owned(),
            address_norm: address::storable(&address::normalized(&address)),
            address,
            name: recipient.name.map(|name| one_line(&name, MOST_BYTES)),
            reference,
            confidential,
            subject,
            sealed_content: Some(self.seal(id, &content)),
            status: status.name().to_owned(),
            attempts: 0,
            due_at: now,
            last_error: (!is_address).then(|| "this is not an e-mail address".to_owned()),
            created_at: now,
            sent_at: None,
        }
    }

    fn seal(&self, id: Uuid, content: &Content) -> String {
        let plain = serde_json::to_vec(content).expect("two texts are JSON");
        self.0.sealer.seal(&plain, &id.to_string())
    }

    pub(crate) fn open(&self, id: Uuid, sealed: &str) -> Option<Content> {
        let plain = self.0.sealer.open(sealed, &id.to_string()).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Mails, newest first, without their contents.
    ///
    /// # Errors
    /// 422 for a cursor that this list never gave out, or the database's.
    pub async fn list(
        &self,
        actor: &Actor,
        paging: &Paging<MailOrder>,
        filter: &MailFilter,
    ) -> Result<Page<Mail>, Problem> {
        let MailFilter { address, template, status } = filter;
        let mut rows = Entity::find();
        if let Some(address) = address {
            let normalized = address::storable(&address::normalized(&address::storable(address)));
            rows = rows.filter(Column::AddressNorm.eq(normalized));
        }
        if let Some(template) = template {
            rows = rows.filter(Column::Template.eq(template.replace('\0', "\u{FFFD}")));
        }
        if let Some(status) = status {
            rows = rows.filter(Column::Status.eq(status.name()));
        }
        let MailOrder::CreatedAt = paging.sort;
        let page = mainstay_db::page(self.0.db.read(actor), rows, paging, Column::CreatedAt, Column::Id);
        Ok(page.await?.map(Mail::from))
    }

    /// One mail, with its content if that is still there. `None` if there is no such mail.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(&self, id: MailId) -> Result<Option<StoredMail>, DbErr> {
        let Some(row) = repo::find(self.0.db.primary(), id.uuid()).await? else { return Ok(None) };
        let content = row.sealed_content.as_ref().and_then(|sealed| self.open(row.id, sealed));
        Ok(Some(StoredMail { mail: row.into(), content }))
    }

    /// When the newest mail of this template to this address, whatever its case, was queued, the
    /// caller's own included. `None`: there is none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest(
        &self,
        unit: &WriteUnit,
        address: &str,
        template: &str,
    ) -> Result<Option<Timestamp>, DbErr> {
        let normalized = address::storable(&address::normalized(&address::storable(address)));
        repo::newest(unit, &normalized, template).await
    }

    /// Whether mails go to an SMTP server. Otherwise they go to the folder.
    #[must_use]
    pub fn has_smtp(&self) -> bool {
        matches!(self.0.way, Way::Smtp(_))
    }

    /// Whether mails would be sent now: connects, signs in and asks for an answer, within 5 s.
    /// Without a server: whether the folder is there or can be made.
    ///
    /// # Errors
    /// [`DeliveryError::Away`] with the reason.
    pub async fn check(&self) -> Result<(), DeliveryError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        match &self.0.way {
            Way::Smtp(smtp) => {
                let asked = async {
                    let mut connection = smtp.connect().await?;
                    connection.noop().await?;
                    connection.quit().await;
                    Ok(())
                };
                let late = || DeliveryError::Away(format!("{smtp:?}: no answer within 5 s"));
                tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
            }
            Way::Folder(folder) => create_private_folder(folder)
                .map_err(|error| DeliveryError::Away(format!("mail.folder {}: {error}", folder.display()))),
        }
    }

    /// Removes every mail to this address, whatever its case, because its owner's data
    /// must go; how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_recipient(&self, unit: &WriteUnit, address: &str) -> Result<u64, DbErr> {
        let normalized = address::storable(&address::normalized(&address::storable(address)));
        let theirs = Entity::delete_many().filter(Column::AddressNorm.eq(normalized));
        Ok(theirs.exec(unit).await?.rows_affected)
    }

    /// Removes mails that were sent or given up and are older than that (see
    /// [`MailSettings::kept`]); how many. Files in the folder stay.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge(&self, older_than: Duration) -> Result<u64, DbErr> {
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let before = self.0.clock.now().millis().saturating_sub(age);
        let mut purged = 0;
        loop {
            // Portions: none holds the writer for long.
            let unit = self.0.db.write(&Actor::system("mail")).await?;
            let portion = repo::purge(&unit, Timestamp::from_millis(before)).await?;
            unit.commit().await?;
            if portion == 0 {
                return Ok(purged);
            }
            purged += portion;
        }
    }

    /// The settings that these mails are sent with.
    #[must_use]
    pub fn settings(&self) -> &MailSettings {
        &self.0.settings
    }
}
