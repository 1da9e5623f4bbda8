//! A private Redis for a test.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::RedisOptions;

/// Ends with its value, and with the test's process if that is killed.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    process: Option<Child>,
    port: u16,
}

impl RedisServer {
    /// One that runs.
    ///
    /// # Panics
    /// If there is no Redis on this machine, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        for _ in 0..5 {
            let mut server = Self::stopped();
            if server.launch() {
                return server;
            }
        }
        panic!("Redis did not start");
    }

    /// One that has a port, but does not run.
    ///
    /// # Panics
    /// If there is no Redis on this machine.
    #[must_use]
    pub fn stopped() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        symlink(program(), folder.path().join("redis-server")).expect("a link can be made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        Self { folder, process: None, port }
    }

    /// Starts it. Whether it runs now; otherwise somebody took its port.
    ///
    /// # Panics
    /// If it does not answer within 30 s.
    pub fn launch(&mut self) -> bool {
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.folder.path().join("redis-server"))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv of util-linux runs");
        let process = self.process.insert(process);
        let given_up = Instant::now() + Duration::from_secs(30);
        while Instant::now() < given_up {
            if process.try_wait().expect("it can be waited for").is_some() {
                return false;
            }
            let connection = client(self.port).get_connection();
            if connection.is_ok_and(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("Redis does not answer");
    }

    /// Where it listens, on this machine's loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How it is reached; the names of keys begin with `test:`.
    ///
    /// A busy machine is no fault of Redis: an answer is waited for 20 s. Tests of faults wait less.
    #[must_use]
    pub fn options(&self) -> RedisOptions {
        self.options_under("test:")
    }

    /// The same with names of keys that begin with `prefix`.
    ///
    /// # Panics
    /// Never: the address is one.
    #[must_use]
    pub fn options_under(&self, prefix: &str) -> RedisOptions {
        let options = RedisOptions::new(&url(self.port), prefix).expect("an address");
        options.with_timeout(Duration::from_secs(20))
    }

    /// A connection of the test's own.
    ///
    /// # Panics
    /// If Redis takes none.
    #[must_use]
    pub fn connection(&self) -> redis::Connection {
        client(self.port).get_connection().expect("Redis takes a connection")
    }

    /// What it answers to a command.
    ///
    /// # Panics
    /// If it refuses, or answers something else.
    #[must_use]
    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).expect("Redis answers")
    }

    /// It hangs: takes connections, answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// It dies, if it runs.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it can be waited for");
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().expect("it runs").id();
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("an id of a process");
        kill_process(id, signal).expect("it takes signals");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client(port: u16) -> redis::Client {
    redis::Client::open(url(port)).expect("an address")
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/0")
}

/// Debian has the server under this name too; it is one when it is called so.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["redis-server", "redis-check-rdb"]
        .iter()
        .find_map(|name| {
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.exists())
        })
        .expect("these tests need Redis: run `scripts/services install`")
}
