//! Sending what is due.
//!
//! A mail is claimed before it is sent, by moving its `due_at` behind a lease: two senders never
//! work on it at once, and one that dies leaves it to be tried again when the lease is over. What
//! a server took but never acknowledged is sent again, with the same Message-ID.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_core::{Actor, Timestamp};
use mainstay_db::WriteUnit;
use sea_orm::{DbErr, Value};

use crate::MailSent;
use crate::entity::{Column, Model};
use crate::mails::Way;
use crate::message::{Outgoing, Written};
use crate::smtp::{Connection, DeliveryError, Smtp};
use crate::{MailStatus, Mails, address, folder, repo};

/// The first pause between attempts is a random share of this: a minute on average.
const FIRST_PAUSE: Duration = Duration::from_secs(120);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What [`Mails::send_due`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Mails that were sent.
    pub sent: u64,
    /// Mails that will be tried again.
    pub retried: u64,
    /// Mails that were given up.
    pub failed: u64,
    /// Why the server could not be used, if it could not: the rest of the mails were left alone,
    /// due as before. Wait a little before the next call.
    pub away: Option<String>,
}

/// What came of one attempt.
enum Outcome {
    Sent,
    Retried,
    Failed,
    /// The lease was over before the mail could be marked: another sender has it.
    Lost,
}

impl Mails {
    /// Sends what is due: at most `limit` mails, a few at the same time. May run on many nodes
    /// at once. Dropped in the middle, it leaves the mails that it was about to be sent again
    /// when their leases are over.
    ///
    /// # Errors
    /// If the database fails. What was sent until then is marked.
    pub async fn send_due(&self, limit: u64) -> Result<SendReport, DbErr> {
        let due = repo::due(self.0.db.primary(), self.0.clock.now(), limit).await?;
        let senders = self.0.settings.concurrency.min(due.len());
        let batch = Batch {
            waiting: Mutex::new(due.into_iter()),
            report: Mutex::default(),
            is_over: AtomicBool::new(false),
        };
        let results = join_all((0..senders).map(|_| self.send_from(&batch))).await;
        results.into_iter().collect::<Result<(), DbErr>>()?;
        Ok(batch.report.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of the senders of a batch.
    async fn send_from(&self, batch: &Batch) -> Result<(), DbErr> {
        let mut carrier = Carrier { way: &self.0.way, connection: None };
        let mut result = Ok(());
        while let Some(row) = batch.next() {
            result = self.send(row, &mut carrier, batch).await;
            if result.is_err() {
                batch.is_over.store(true, Ordering::Relaxed);
                break;
            }
        }
        if let Some(connection) = carrier.connection {
            connection.quit().await;
        }
        result
    }

    async fn send(&self, row: Model, carrier: &mut Carrier<'_>, batch: &Batch) -> Result<(), DbErr> {
        let Some(row) = self.claim(row).await? else { return Ok(()) };
        let outcome = match self.deliver(&row, carrier).await {
            Ok(()) => self.mark_sent(&row).await?,
            Err(error) => {
                carrier.connection = None;
                if let DeliveryError::Away(reason) = &error {
                    batch.end(reason);
                }
                self.mark_undelivered(&row, &error).await?
            }
        };
        batch.count(&outcome);
        if let Some(name) = outcome.name() {
            self.0.outcomes.get_or_create(&[("outcome", name)]).inc();
        }
        Ok(())
    }

    /// The mail as it is now that it is ours; `None` if another sender took it.
    async fn claim(&self, mut row: Model) -> Result<Option<Model>, DbErr> {
        let until = self.0.clock.now().after(self.0.settings.lease());
        let unit = self.0.db.write(&ACTOR).await?;
        if !repo::claim(&unit, &row, until).await? {
            return Ok(None);
        }
        unit.commit().await?;
        row.attempts += 1;
        row.due_at = until.millis();
        Ok(Some(row))
    }

    async fn deliver(&self, row: &Model, carrier: &mut Carrier<'_>) -> Result<(), DeliveryError> {
        let mail = self.write(row)?;
        let limit = self.0.settings.delivery_timeout();
        let late = || DeliveryError::NotNow(format!("not delivered within {} s", limit.as_secs()));
        let delivery = carrier.deliver(row, mail);
        tokio::time::timeout(limit, delivery).await.unwrap_or_else(|_| Err(late()))
    }

    fn write(&self, row: &Model) -> Result<Outgoing, DeliveryError> {
        let refused = |fault: &str| DeliveryError::Refused(fault.to_owned());
        let to = address::mailbox(row.name.as_deref(), &row.address);
        let to = to.ok_or_else(|| refused("this is not an e-mail address"))?;
        let sealed = row.sealed_content.as_deref().ok_or_else(|| refused("its content is gone"))?;
        // Somebody may find the right secret while the mail waits.
        let content = self.open(row.id, sealed).ok_or_else(|| {
            DeliveryError::NotNow("its content was sealed with another secret_key".to_owned())
        })?;
        Outgoing::write(Written {
            id: row.id,
            created_at: Timestamp::from_millis(row.created_at),
            from: self.0.from.clone(),
            to,
            subject: &row.subject,
            content,
            host: self.0.letterhead.host(),
        })
        .map_err(|error| DeliveryError::Refused(error.to_string()))
    }

    async fn mark_sent(&self, row: &Model) -> Result<Outcome, DbErr> {
        // Nobody reads a folder's mails anywhere but here: the mailbox keeps what they say.
        let content = if self.has_smtp() { None } else { row.sealed_content.clone() };
        let changes = vec![
            (Column::Status, MailStatus::Sent.name().into()),
            (Column::SealedContent, content.into()),
            (Column::LastError, None::<String>.into()),
            (Column::SentAt, self.0.clock.now().millis().into()),
        ];
        let mut attempt = 1;
        loop {
            match self.mark(row, changes.clone(), true).await {
                // The mail is gone: each try that saves the mark saves a duplicate.
                Err(error) if attempt < 4 => {
                    tracing::warn!(%error, mail.id = %row.id, "marking a mail as sent failed");
                    tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                    attempt += 1;
                }
                marked => return Ok(if marked? { Outcome::Sent } else { Outcome::Lost }),
            }
        }
    }

    async fn mark_undelivered(&self, row: &Model, error: &DeliveryError) -> Result<Outcome, DbErr> {
        let now = self.0.clock.now();
        let last = Timestamp::from_millis(row.created_at).after(self.0.settings.retried());
        let is_final = matches!(error, DeliveryError::Refused(_)) || now >= last;
        let mut changes = vec![(Column::LastError, error.to_string().replace('\0', "").into())];
        if is_final {
            changes.push((Column::Status, MailStatus::Failed.name().into()));
            if row.confidential {
                changes.push((Column::SealedContent, None::<String>.into()));
            }
        } else {
            let next = now.after(self.pause(row.attempts)).min(last);
            changes.push((Column::DueAt, next.millis().into()));
        }
        if !self.mark(row, changes, false).await? {
            return Ok(Outcome::Lost);
        }
        let (id, template) = (row.id, &row.template);
        if is_final {
            tracing::warn!(mail.id = %id, template, attempts = row.attempts, %error, "a mail was given up");
            return Ok(Outcome::Failed);
        }
        tracing::info!(mail.id = %id, template, attempts = row.attempts, %error, "a mail will be tried again");
        Ok(Outcome::Retried)
    }

    /// Changes a mail that is ours. False if it is ours no longer.
    async fn mark(&self, row: &Model, changes: Vec<(Column, Value)>, is_sent: bool) -> Result<bool, DbErr> {
        let unit = self.0.db.write(&ACTOR).await?;
        if !repo::change(&unit, row.id, row.attempts, changes).await? {
            return Ok(false);
        }
        if is_sent {
            announce_sent(&unit, row);
        }
        unit.commit().await?;
        Ok(true)
    }

    /// Full jitter: a random share of a bound that doubles with each attempt.
    fn pause(&self, attempts: i64) -> Duration {
        let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(16);
        let bound = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
        let random = u64::from_le_bytes(self.0.rng.bytes::<8>());
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(1 + random % millis)
    }
}

const ACTOR: Actor = Actor::system("mail");

/// Tells those who wait for it that a mail is on its way, in the transaction that marks it.
fn announce_sent(unit: &WriteUnit, row: &Model) {
    if row.reference.is_some() {
        let (mail_id, template) = (row.id.into(), row.template.clone());
        unit.emit(&MailSent { mail_id, template, reference: row.reference });
    }
}

/// What several senders work on.
struct Batch {
    waiting: Mutex<std::vec::IntoIter<Model>>,
    report: Mutex<SendReport>,
    is_over: AtomicBool,
}

impl Batch {
    fn next(&self) -> Option<Model> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Leaves the rest alone: a server that is away would cost each of them an attempt, and the
    /// pauses that follow.
    fn end(&self, reason: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        self.report.lock().unwrap_or_else(PoisonError::into_inner).away = Some(reason.to_owned());
    }

    fn count(&self, outcome: &Outcome) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Sent => report.sent += 1,
            Outcome::Retried => report.retried += 1,
            Outcome::Failed => report.failed += 1,
            Outcome::Lost => {}
        }
    }
}

impl Outcome {
    const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Sent => Some("sent"),
            Self::Retried => Some("retried"),
            Self::Failed => Some("failed"),
            Self::Lost => None,
        }
    }
}

/// Takes mails where they go; keeps the connection from one to the next.
struct Carrier<'a> {
    way: &'a Way,
    connection: Option<Connection>,
}

impl Carrier<'_> {
    async fn deliver(&mut self, row: &Model, mail: Outgoing) -> Result<(), DeliveryError> {
        match self.way {
            Way::Smtp(smtp) => self.over_smtp(smtp, &mail).await,
            Way::Folder(path) => {
                let name = folder::file_name(row.id, Timestamp::from_millis(row.created_at));
                let path = path.clone();
                let writing = tokio::task::spawn_blocking(move || folder::write(&path, &name, &mail.bytes));
                let written =
                    writing.await.map_err(|_| DeliveryError::NotNow("writing broke off".to_owned()))?;
                written.map_err(|error| DeliveryError::NotNow(format!("mail.folder: {error}")))
            }
        }
    }

    async fn over_smtp(&mut self, smtp: &Smtp, mail: &Outgoing) -> Result<(), DeliveryError> {
        // A server may have hung up since the last mail, which says nothing about this one.
        if let Some(connection) = &mut self.connection
            && connection.noop().await.is_err()
        {
            self.connection = None;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(smtp.connect().await?),
        };
        connection.deliver(mail).await
    }
}
