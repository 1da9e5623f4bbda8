//! A private Redis for a test.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mainstay_cache::RedisOptions;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Ends with its value, and with the test's process if that is killed.
pub struct RedisServer {
    folder: TempDir,
    process: Option<Child>,
    port: u16,
}

impl RedisServer {
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
    pub fn stopped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(program(), folder.path().join("redis-server")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, process: None, port }
    }

    /// Whether it runs now; otherwise somebody took its port.
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
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            let connection = redis::Client::open(url(self.port)).unwrap().get_connection();
            if connection.is_ok_and(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("Redis does not answer");
    }

    pub fn options(&self) -> RedisOptions {
        // A busy machine is no fault of the store. The tests of faults wait less.
        RedisOptions::new(&url(self.port)).unwrap().with_timeout(Duration::from_secs(20))
    }

    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(url(self.port)).unwrap().get_connection().unwrap()
    }

    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
    }

    /// It hangs: takes connections, answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
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
