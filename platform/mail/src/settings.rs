use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::settings::Sources;
use secrecy::SecretString;

use crate::address;
use crate::smtp::SmtpServer;

mainstay_core::settings! {
    /// Outgoing mail.
    pub struct MailSettings in "mail" {
        /// The server that takes mails: `smtp://user:password@host:port` (STARTTLS, required unless the host is
        /// this machine or `?tls=none` stands at the end; `?tls=required` requires it there too) or
        /// `smtps://…` (TLS from the start). Unset: mails are written to `mail.folder`.
        smtp_url: Option<SecretString> = None, env "SMTP_URL";
        /// Who mails are from.
        from: String = "Mainstay <no-reply@localhost>".to_owned();
        /// Where mails are written as `.eml` while there is no server for them.
        folder: PathBuf = PathBuf::from("data/mail");
        /// A file with PEM certificates of further authorities that a mail server may be certified by, beside
        /// those that browsers know.
        ca_file: Option<PathBuf> = None;
        /// Longest wait for a connection and for the answer to each command, in seconds.
        timeout_s: u64 = 10, in 1..=120;
        /// Longest time for the delivery of one mail, in seconds. Too short makes duplicates: a server that takes
        /// a mail later than that gets it again.
        delivery_timeout_s: u64 = 60, in 2..=600;
        /// How many mails are delivered at the same time.
        concurrency: usize = 4, in 1..=32;
        /// How long a mail that could not be delivered is tried again, in hours.
        retry_hours: u64 = 48, in 1..=720;
        /// How long mails that were sent or given up are kept for the mailbox, in days.
        keep_days: u64 = 30, in 1..=3650;
    }
}

impl MailSettings {
    /// Checks what a single key's range can't.
    pub fn check(&self, sources: &mut Sources) {
        for fault in self.faults() {
            sources.fault(fault);
        }
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(url) = &self.smtp_url
            && let Err(fault) = SmtpServer::parse(url)
        {
            faults.push(format!("mail.smtp_url {fault}"));
        }
        if address::sender(&self.from).is_none() {
            faults.push(format!(
                "mail.from must be an address such as \"Mainstay <no-reply@example.com>\", not {:?}",
                self.from
            ));
        }
        faults
    }

    /// How long finished mails are kept, for [`Mails::purge`](crate::Mails::purge).
    #[must_use]
    pub fn kept(&self) -> Duration {
        Duration::from_secs(self.keep_days * 86_400)
    }

    pub(crate) fn retried(&self) -> Duration {
        Duration::from_secs(self.retry_hours * 3600)
    }

    pub(crate) fn delivery_timeout(&self) -> Duration {
        Duration::from_secs(self.delivery_timeout_s)
    }

    /// How long a sender has a mail for itself: surely longer than it may work on it.
    pub(crate) fn lease(&self) -> Duration {
        self.delivery_timeout() + Duration::from_secs(60)
    }
}
