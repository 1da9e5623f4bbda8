//! Starts and stops the servers under test, and runs `mainstay`'s commands.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::client;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The `mainstay` binary with one database and a folder to work in.
#[derive(Debug, Clone)]
pub(crate) struct Mainstay {
    pub(crate) binary: PathBuf,
    /// Working directory: logs, and what the server keeps beside its database.
    pub(crate) folder: PathBuf,
    pub(crate) database_url: String,
    /// Further environment, `NAME`, `value`.
    pub(crate) settings: Vec<(String, String)>,
}

impl Mainstay {
    fn command(&self, log: &str) -> Result<(Command, PathBuf)> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(log);
        let file = File::create(&path)?;
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.folder)
            // The caller's settings must not reach the server unseen.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .env("DATABASE_URL", &self.database_url)
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        Ok((command, path))
    }

    /// Runs one command to its end and returns how long it took.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Duration> {
        let shown = format!("mainstay {}", arguments.join(" "));
        let (mut command, log) = self.command("command.log")?;
        let began = Instant::now();
        let status = command
            .args(arguments)
            .status()
            .await
            .with_context(|| format!("running {}", self.binary.display()))?;
        if !status.success() {
            bail!("`{shown}` failed ({status}):\n{}", tail(&log));
        }
        Ok(began.elapsed())
    }

    /// Starts `serve` and waits until `/readyz` answers 200.
    pub(crate) async fn serve(&self) -> Result<Server> {
        let port = free_port()?;
        let (mut command, log) = self.command("serve.log")?;
        command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]);
        Server::start(command, port, "/readyz", log).await
    }
}

/// Starts this program as the bare server.
pub(crate) async fn serve_bare(folder: &Path) -> Result<Server> {
    let port = free_port()?;
    let log = folder.join("bare.log");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["bare", "--port", &port.to_string()])
        // Open as long as this program lives: the bare server ends with it.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .kill_on_drop(true);
    Server::start(command, port, "/", log).await
}

/// A server that runs, until it is stopped or dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
    /// From just before the process was started to the first good answer.
    pub(crate) start_time: Duration,
}

impl Server {
    async fn start(mut command: Command, port: u16, probe: &'static str, log: PathBuf) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let began = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", command.as_std().get_program().to_string_lossy()))?;
        let pid = child.id().context("the server ended at once")?;
        loop {
            if client::status_of(address, probe).is_ok_and(|status| status == 200) {
                return Ok(Self { child, pid, address, start_time: began.elapsed() });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended ({status}):\n{}", tail(&log));
            }
            if began.elapsed() > START_TIMEOUT {
                bail!("the server was not ready after {} s:\n{}", START_TIMEOUT.as_secs(), tail(&log));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Asks it to end, and makes it end if it does not.
    pub(crate) async fn stop(mut self) -> Result<()> {
        // The standard library can only kill; a shell is everywhere.
        let asked =
            Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &self.pid.to_string()]).status().await;
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        if !asked.is_ok_and(|status| ExitStatus::success(&status)) || ended.is_err() {
            eprintln!("note: the server did not end when asked and was killed");
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// A port of the loopback address that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
