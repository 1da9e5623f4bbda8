use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Process, Signal};

/// A Redis of the test's own, to be stopped and started; gone when dropped.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Redis {
    /// An empty one.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn start() -> Self {
        for _ in 0..5 {
            let folder = tempfile::Builder::new().prefix("mainstay-redis-").tempdir().unwrap();
            // Debian has the server under another name too; it is one when it is called so.
            symlink(program(), folder.path().join("redis-server")).unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut redis = Self { folder, port, process: None };
            // Somebody else may have taken the port.
            if redis.launch() {
                return redis;
            }
        }
        panic!("Redis did not start");
    }

    /// What `REDIS_URL` is to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Starts it anew, empty. False if it ended at once.
    ///
    /// # Panics
    /// If it neither ends nor answers.
    pub fn launch(&mut self) -> bool {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.folder.path().join("redis-server"))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(self.folder.path());
        let mut process = Process::start(command, "");
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.is_running() {
            if self.say("PING").is_some_and(|answer| answer.starts_with("+PONG")) {
                self.process = Some(process);
                return true;
            }
            assert!(Instant::now() < deadline, "Redis does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// One command and the beginning of its answer, as they are on the wire. `None` without an answer.
    #[must_use]
    pub fn say(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// It hangs: takes connections, answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::Stop);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::Continue);
    }

    /// It is gone, with all it knew.
    pub fn kill(&mut self) {
        self.process = None;
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("Redis runs").signal(signal);
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["redis-server", "redis-check-rdb"]
        .iter()
        .find_map(|name| {
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists())
        })
        .expect("these tests need Redis: run `scripts/services install`")
}
