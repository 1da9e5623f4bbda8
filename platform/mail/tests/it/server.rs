//! An SMTP server in a process of its own (`tests/smtp_server.py`).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use mainstay_mail::MailSettings;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct SmtpProcess {
    pub(crate) port: u16,
    received: UnboundedReceiver<String>,
    /// Reads all the time: a server that can't write stops to serve.
    _reading: JoinSet<()>,
    certificates: tempfile::TempDir,
    _process: Child,
}

/// A mail as the server got it, read by Python's mail parser.
#[derive(Debug, Deserialize)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) is_encrypted: bool,
    pub(crate) is_signed_in: bool,
    pub(crate) host: String,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) html: String,
    pub(crate) defects: Vec<String>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        assert!(found.next().is_none(), "two {name} in {:?}", self.headers);
        value
    }
}

impl SmtpProcess {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp_server.py");
        let mut process = Command::new(python())
            .arg(script)
            .arg("--certificates")
            .arg(certificates.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (write, mut received) = unbounded_channel();
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if write.send(line).is_err() {
                    break;
                }
            }
        });
        let port = tokio::time::timeout(PATIENCE, received.recv()).await.unwrap();
        let port = port.expect("the server says where it listens").parse().unwrap();
        Self { port, received, _reading: reading, certificates, _process: process }
    }

    /// The next mail that it was sent.
    pub(crate) async fn received(&mut self) -> Received {
        let line = tokio::time::timeout(PATIENCE, self.received.recv()).await.expect("a mail arrives");
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.certificates.path().join("ca.pem")
    }

    /// Leads mails here without encryption.
    pub(crate) fn plain(&self, settings: &mut MailSettings) {
        self.at(settings, &format!("smtp://127.0.0.1:{}", self.port));
    }

    pub(crate) fn at(&self, settings: &mut MailSettings, url: &str) {
        settings.smtp_url = Some(url.to_owned().into());
        settings.ca_file = Some(self.ca_file()).filter(|file| file.exists());
        settings.timeout_s = 20;
    }
}

/// The Python that has aiosmtpd.
fn python() -> PathBuf {
    let given = std::env::var_os("MAINSTAY_TEST_SMTP_PYTHON").map(PathBuf::from);
    let has_aiosmtpd = |python: &PathBuf| {
        let mut import = std::process::Command::new(python);
        import.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    given
        .into_iter()
        .chain(["/usr/bin/python3", "python3"].map(PathBuf::from))
        .find(has_aiosmtpd)
        .expect("no Python with aiosmtpd is here; `scripts/services install` installs one")
}
