//! What others see of a mail.

use mainstay_core::{Sorting, Timestamp};
use uuid::Uuid;

use crate::entity::Model;
use crate::{Content, Recipient};

mainstay_core::uuid_ids! {
    /// Names a mail.
    pub struct MailId;
}

/// A mail to be queued, beside its letter.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// The event that it tells of: there is one mail for an event, a template and an address.
    pub cause: Uuid,
    /// Who it is for.
    pub recipient: Recipient,
    /// What wants to know when it was sent, such as a one-time token whose life counts from
    /// then. `None` if nothing does.
    pub reference: Option<Uuid>,
    /// Whether it holds a secret, such as a link that signs somebody in.
    pub confidential: bool,
}

/// How a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailStatus {
    /// To be sent, for the first time or again.
    Queued,
    /// An SMTP server took it, or it is in the folder.
    Sent,
    /// Given up.
    Failed,
}

impl MailStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Queued, Self::Sent, Self::Failed];

    /// Its name, in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A mail without its content, as the mailbox lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// The event that it tells of.
    pub cause: Uuid,
    /// [`Letter::TEMPLATE`](crate::Letter::TEMPLATE).
    pub template: String,
    /// Who it is for.
    pub recipient: Recipient,
    /// [`NewMail::reference`].
    pub reference: Option<Uuid>,
    /// Whether its content is a secret between us and the recipient.
    pub confidential: bool,
    /// One line.
    pub subject: String,
    /// How it stands.
    pub status: MailStatus,
    /// How many attempts began.
    pub attempts: i64,
    /// When the next attempt is due; while one runs, when another may begin.
    pub due_at: Timestamp,
    /// Why the last attempt failed. `None` before the first failure and once it is sent.
    pub last_error: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was sent. `None` until then.
    pub sent_at: Option<Timestamp>,
}

/// A mail with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMail {
    /// All but the content.
    pub mail: Mail,
    /// What it says. `None` once an SMTP server took it, or if it was sealed with another
    /// `secret_key`.
    pub content: Option<Content>,
}

impl From<Model> for Mail {
    fn from(row: Model) -> Self {
        let Model {
            id,
            cause,
            template,
            address,
            address_norm: _,
            name,
            reference,
            confidential,
            subject,
            sealed_content: _,
            status,
            attempts,
            due_at,
            last_error,
            created_at,
            sent_at,
        } = row;
        Self {
            id: id.into(),
            cause,
            template,
            recipient: Recipient { name, address },
            reference,
            confidential,
            subject,
            // A status of a newer version is none that waits for this one.
            status: MailStatus::named(&status).unwrap_or(MailStatus::Failed),
            attempts,
            due_at: Timestamp::from_millis(due_at),
            last_error,
            created_at: Timestamp::from_millis(created_at),
            sent_at: sent_at.map(Timestamp::from_millis),
        }
    }
}

/// The orders of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOrder {
    /// By the moment they were queued.
    CreatedAt,
}

impl Sorting for MailOrder {
    const ALL: &'static [(&'static str, Self)] = &[("created_at", Self::CreatedAt)];
    const DEFAULT: (Self, bool) = (Self::CreatedAt, true);
}

/// Which mails of the mailbox. All, unless something is set.
#[derive(Clone, Debug, Default)]
pub struct MailFilter {
    /// Those to this address, in whatever case.
    pub address: Option<String>,
    /// Those of this template.
    pub template: Option<String>,
    /// Those that stand like this.
    pub status: Option<MailStatus>,
}
