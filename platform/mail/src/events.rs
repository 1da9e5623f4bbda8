//! What the mails tell others.

use mainstay_core::EventData;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::MailId;

/// A mail was handed over to a server, or written to the folder. Told only of mails
/// with a reference: somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSent {
    /// The mail.
    pub mail_id: MailId,
    /// Its template.
    pub template: String,
    /// [`NewMail::reference`](crate::NewMail::reference).
    pub reference: Option<Uuid>,
}

impl EventData for MailSent {
    const KIND: &'static str = "mail.sent";

    fn subject(&self) -> String {
        format!("mail/{}", self.mail_id)
    }
}
