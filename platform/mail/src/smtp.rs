//! Handing mails to an SMTP server (RFC 5321).
//!
//! A connection lives for a batch of mails, and the commands are given one by one: which of
//! them was refused decides whether the mail is given up or tried again.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use mainstay_core::settings::expose;
use secrecy::SecretString;
use url::{Host, Url, form_urlencoded};

use crate::message::Outgoing;
use crate::render::one_line;

/// Why a mail was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The server could not be reached, or lets nobody in. Other mails would fare no better.
    #[error("{0}")]
    Away(String),
    /// Not now: later it may work.
    #[error("{0}")]
    NotNow(String),
    /// The server will never take this mail for this recipient.
    #[error("{0}")]
    Refused(String),
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    None,
    StartTls,
    Tls,
}

/// What a URL says about a server.
#[derive(Clone)]
pub(crate) struct SmtpServer {
    host: String,
    port: u16,
    encryption: Encryption,
    credentials: Option<Credentials>,
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpServer({}:{}, {:?})", self.host, self.port, self.encryption)
    }
}

impl SmtpServer {
    /// Reads a URL. The error says what it must be, and never what it was: it may hold a password.
    pub(crate) fn parse(url: &SecretString) -> Result<Self, &'static str> {
        let url = Url::parse(expose(url))
            .map_err(|_| "must be a URL such as smtp://user:password@mail.example.com:587")?;
        let tls = match url.query() {
            None => None,
            Some("tls=none") => Some(false),
            Some("tls=required") => Some(true),
            Some(_) => return Err("can end with ?tls=none or ?tls=required, nothing else"),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("must end after the host and the port");
        }
        // The parser leaves hosts of schemes that it does not know as they are.
        let host = url.host_str().and_then(|host| Host::parse(host).ok()).ok_or("must name a host")?;
        let is_local = match &host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let (encryption, usual_port) = match (url.scheme(), tls) {
            ("smtps", Some(false)) => return Err("can't be smtps:// and ?tls=none"),
            ("smtps", _) => (Encryption::Tls, 465),
            ("smtp", Some(false)) => (Encryption::None, if is_local { 25 } else { 587 }),
            ("smtp", None) if is_local => (Encryption::None, 25),
            ("smtp", _) => (Encryption::StartTls, 587),
            _ => return Err("must begin with smtp:// or smtps://"),
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return Err("must have a user and a password, or neither"),
            (user, Some(password)) => Some(Credentials::new(decode(user), decode(password))),
        };
        let host = match host {
            Host::Domain(name) => name,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Ok(Self { host, port: url.port().unwrap_or(usual_port), encryption, credentials })
    }
}

/// What stands percent-encoded in a part of a URL.
fn decode(part: &str) -> String {
    let as_form = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(as_form.as_bytes()).map(|(text, _)| text.into_owned()).collect()
}

/// The way to a server.
#[derive(Clone)]
pub(crate) struct Smtp {
    server: SmtpServer,
    tls: Option<TlsParameters>,
    hello: ClientId,
    timeout: Duration,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl Smtp {
    /// `host` is who we say we are.
    ///
    /// # Errors
    /// If the file of authorities can't be used.
    pub(crate) fn new(
        server: SmtpServer,
        ca_file: Option<&Path>,
        host: &str,
        timeout: Duration,
    ) -> Result<Self, String> {
        let tls = match server.encryption {
            Encryption::None => None,
            Encryption::StartTls | Encryption::Tls => Some(tls_parameters(&server.host, ca_file)?),
        };
        let hello = match host.trim_matches(['[', ']']).parse() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(host.to_owned()),
        };
        Ok(Self { server, tls, hello, timeout })
    }

    /// Connects, encrypts and signs in. Whatever goes wrong here is no mail's fault.
    pub(crate) async fn connect(&self) -> Result<Connection, DeliveryError> {
        let away = |fault: String| DeliveryError::Away(format!("{:?}: {fault}", self.server));
        let implicit = (self.server.encryption == Encryption::Tls).then(|| self.tls.clone()).flatten();
        let address = (self.server.host.as_str(), self.server.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &self.hello, implicit, None);
        let mut smtp = self.timed(connecting).await.map_err(|fault| away(fault.text()))?;
        if let (Encryption::StartTls, Some(tls)) = (self.server.encryption, &self.tls) {
            let upgrade = smtp.starttls(tls.clone(), &self.hello);
            self.timed(upgrade).await.map_err(|fault| away(fault.text()))?;
        }
        if let Some(credentials) = &self.server.credentials {
            let signing_in = smtp.auth(&[Mechanism::Plain, Mechanism::Login], credentials);
            self.timed(signing_in).await.map_err(|fault| away(fault.text()))?;
        }
        Ok(Connection { smtp, path: self.clone() })
    }

    async fn timed<T>(
        &self,
        step: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.timeout, step).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Fault::Smtp(error)),
            Err(_) => Err(Fault::Silence(self.timeout)),
        }
    }
}

fn tls_parameters(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(file) = ca_file {
        let fault = |error: &dyn fmt::Display| format!("mail.ca_file {}: {error}", file.display());
        let pem = std::fs::read(file).map_err(|error| fault(&error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| fault(&error))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| format!("mail.smtp_url: {error}"))
}

/// What went wrong in one step.
enum Fault {
    Smtp(lettre::transport::smtp::Error),
    Silence(Duration),
}

impl Fault {
    /// For a person, with the server's answer in it.
    fn text(&self) -> String {
        match self {
            Self::Smtp(error) => {
                let mut text = error.to_string();
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    let cause_text = cause.to_string();
                    if !text.contains(&cause_text) {
                        text = format!("{text}: {cause_text}");
                    }
                    source = cause.source();
                }
                one_line(&text, 500)
            }
            Self::Silence(timeout) => format!("no answer within {} s", timeout.as_secs()),
        }
    }

    fn is_permanent(&self) -> bool {
        matches!(self, Self::Smtp(error) if error.is_permanent())
    }
}

/// A connection that has said hello.
pub(crate) struct Connection {
    smtp: AsyncSmtpConnection,
    path: Smtp,
}

impl Connection {
    /// Delivers a mail. After an error the connection is of no use.
    pub(crate) async fn deliver(&mut self, mail: &Outgoing) -> Result<(), DeliveryError> {
        let not_now = |step: &str, fault: &Fault| DeliveryError::NotNow(format!("{step}: {}", fault.text()));
        // For good where it is this mail's or this recipient's fault. A refused sender is a matter of settings,
        // which somebody may put right while the mail waits.
        let judged = |step: &str, fault: &Fault| match fault.is_permanent() {
            true => DeliveryError::Refused(format!("{step}: {}", fault.text())),
            false => not_now(step, fault),
        };
        let mut options = Vec::new();
        if !AsRef::<str>::as_ref(&mail.to).is_ascii() || !AsRef::<str>::as_ref(&mail.from).is_ascii() {
            if !self.smtp.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(DeliveryError::Refused(
                    "the mail server takes no addresses outside ASCII (SMTPUTF8)".to_owned(),
                ));
            }
            options.push(MailParameter::SmtpUtfEight);
            options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let path = &self.path;
        let from = self.smtp.command(Mail::new(Some(mail.from.clone()), options));
        path.timed(from).await.map_err(|fault| not_now("sender", &fault))?;
        let to = self.smtp.command(Rcpt::new(mail.to.clone(), Vec::new()));
        path.timed(to).await.map_err(|fault| judged("recipient", &fault))?;
        let data = self.smtp.command(Data);
        path.timed(data).await.map_err(|fault| judged("data", &fault))?;
        // Servers look into a mail before they answer. Giving up here makes a duplicate, so
        // only the time for the whole delivery ends the wait.
        match self.smtp.message(&mail.bytes).await {
            Ok(_accepted) => Ok(()),
            Err(error) => Err(judged("content", &Fault::Smtp(error))),
        }
    }

    /// Asks for an answer.
    pub(crate) async fn noop(&mut self) -> Result<(), DeliveryError> {
        let noop = self.smtp.command(lettre::transport::smtp::commands::Noop);
        self.path.timed(noop).await.map(|_| ()).map_err(|fault| DeliveryError::Away(fault.text()))
    }

    /// Says goodbye. The mails are delivered whatever comes of it.
    pub(crate) async fn quit(mut self) {
        let quit = self.smtp.quit();
        if let Err(fault) = self.path.timed(quit).await {
            tracing::debug!(error = fault.text(), "closing an SMTP connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<SmtpServer, &'static str> {
        SmtpServer::parse(&url.to_owned().into())
    }

    #[test]
    fn a_connection_is_encrypted_unless_it_stays_on_the_machine_or_the_url_says_no() {
        for (url, encryption, port) in [
            ("smtp://mail.example.com", Encryption::StartTls, 587),
            ("smtp://mail.example.com:25/", Encryption::StartTls, 25),
            ("smtp://mail.example.com?tls=none", Encryption::None, 587),
            ("smtps://mail.example.com", Encryption::Tls, 465),
            ("smtps://localhost:4650", Encryption::Tls, 4650),
            ("smtp://localhost:2525", Encryption::None, 2525),
            ("smtp://127.0.0.1", Encryption::None, 25),
            ("smtp://[::1]:25", Encryption::None, 25),
            ("smtp://localhost?tls=required", Encryption::StartTls, 587),
            ("smtp://10.0.0.1", Encryption::StartTls, 587),
        ] {
            let server = parse(url).unwrap();
            assert_eq!((server.encryption, server.port), (encryption, port), "{url}");
        }
    }

    #[test]
    fn a_url_that_means_nothing_is_refused_without_repeating_it() {
        for url in [
            "",
            "mail.example.com",
            "http://mail.example.com",
            "smtp://",
            "smtp://user@mail.example.com",
            "smtp://:hush@mail.example.com",
            "smtp://u:hush@h?tls=maybe",
            "smtps://u:hush@h?tls=none",
            "smtp://u:hush@h/path",
            "smtp://u:hush@h#x",
        ] {
            assert!(!parse(url).unwrap_err().contains("hush"), "{url:?}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_printed() {
        let server = parse("smtp://ada%40example.com:p%20+&=%C3%BC%2B@mail.example.com").unwrap();
        assert_eq!(
            server.credentials,
            Some(Credentials::new("ada@example.com".to_owned(), "p +&=ü+".to_owned()))
        );
        assert!(!format!("{server:?}").contains("ada"));
    }
}
