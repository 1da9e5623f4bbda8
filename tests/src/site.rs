use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Process, program, with_open_files};
use crate::{Backing, Client, Database, Finished};

/// The password of accounts that tests make.
pub const PASSWORD: &str = "correct horse battery";

/// The longest that a command may take that does no bulk work. Generous: it is
/// there to end what hangs, not to measure.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// An installation: a folder, a database and settings.
#[derive(Debug)]
pub struct Site {
    environment: BTreeMap<String, String>,
    has_own_limits: bool,
    // Dropped in this order: the database's name comes from the folder's.
    database: Option<Database>,
    folder: TempDir,
}

impl Site {
    /// An empty folder and nothing else: not even the setting of a database.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn bare() -> Self {
        let folder = tempfile::Builder::new().prefix("mainstay-e2e-").tempdir().unwrap();
        Self { environment: BTreeMap::new(), has_own_limits: false, database: None, folder }
    }

    /// An empty folder and an empty database of the kind that the run is on.
    ///
    /// # Panics
    /// If no database can be made.
    #[must_use]
    pub fn new() -> Self {
        let mut site = Self::bare();
        let name = site.folder().file_name().unwrap().to_string_lossy().replace('-', "_");
        let database = Database::make(&name);
        site.environment.insert("DATABASE_URL".to_owned(), database.url().to_owned());
        site.database = Some(database);
        site
    }

    /// A bare site in a new folder within this one's.
    ///
    /// # Panics
    /// If the folder can't be made.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(self.folder()).unwrap();
        Self { environment: BTreeMap::new(), has_own_limits: false, database: None, folder }
    }

    /// Sets a variable of the environment that commands run in.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Leaves the rate limits as they are by themselves, or as the file and [`Site::set`] have them.
    /// Otherwise they count and never refuse: all of a test's callers have one address.
    #[must_use]
    pub fn with_own_limits(mut self) -> Self {
        self.has_own_limits = true;
        self
    }

    /// The folder that commands run in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    /// Takes the database away, from under whoever uses it. PostgreSQL only.
    pub fn drop_database(&self) {
        if let Some(database) = &self.database {
            database.take_away();
        }
    }

    /// Starts a command. Its environment is the site's, with the tests' own `PATH` and `HOME`.
    #[must_use]
    pub fn start(&self, arguments: &[&str], input: &str) -> Process {
        let mut command = with_open_files(&program(), arguments);
        self.furnish(&mut command);
        Process::start(command, input)
    }

    fn furnish(&self, command: &mut Command) {
        command.current_dir(self.folder()).env_clear();
        if !self.has_own_limits {
            for name in ["ANONYMOUS", "SIGNED_IN", "SERVICES", "AUTH", "UPLOADS"] {
                command.env(format!("MAINSTAY__LIMITS__{name}"), "1000000000/min");
            }
        }
        command.envs(&self.environment);
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, "")
    }

    /// The same with a text on its standard input.
    #[must_use]
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Finished {
        self.start(arguments, input).finish_blocking(COMMAND_LIMIT)
    }

    /// Starts a server on a free port and waits until it is ready. It brings the
    /// database up to date first, whichever it is.
    pub async fn serve(&self) -> Server {
        self.serve_with(&[]).await
    }

    /// The same with further arguments.
    pub async fn serve_with(&self, arguments: &[&str]) -> Server {
        if Backing::of_run() == Backing::Postgres && self.database.is_some() {
            let _ = self.run(&["migrate", "up"]).success();
        }
        let arguments = [&["serve", "--port", "0"], arguments].concat();
        Server::started(self.start(&arguments, "")).await
    }

    /// Makes an administrator, `admin@example.com` with [`PASSWORD`].
    ///
    /// # Panics
    /// If that fails.
    pub fn create_admin(&self) {
        let arguments = ["users", "create-admin", "--email", "admin@example.com", "--password-stdin"];
        let _ = self.run_with(&arguments, &format!("{PASSWORD}\n")).success();
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// A server that is ready; killed when dropped.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Waits until a `serve` that was just started is ready.
    ///
    /// # Panics
    /// If it ends, or is not ready within a minute.
    pub async fn started(mut process: Process) -> Self {
        let deadline = Instant::now() + COMMAND_LIMIT;
        let address = loop {
            let said = process.stdout();
            let line = said.lines().find_map(|line| line.trim().strip_prefix("API reference"));
            if let Some(url) =
                line.map(str::trim).and_then(|url| url.strip_prefix("http://")?.strip_suffix("/docs"))
            {
                break url.parse().unwrap();
            }
            assert!(process.is_running(), "the server ended instead of starting");
            assert!(Instant::now() < deadline, "the server is not ready after a minute");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let server = Self { process, address };
        // The banner may come a moment before the listener is served.
        loop {
            if server.client().get("/readyz").await.status == 200 {
                return server;
            }
            assert!(Instant::now() < deadline, "/readyz is not 200 after a minute");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Somebody who makes requests.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Somebody who is signed in.
    ///
    /// # Panics
    /// If the sign-in is refused.
    pub async fn sign_in(&self, email: &str, password: &str) -> Client {
        let client = self.client();
        let reply = client.post("/api/v1/auth/login", json!({"email": email, "password": password})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        client.with_token(reply.json["access_token"].as_str().unwrap())
    }

    /// The administrator of [`Site::create_admin`].
    pub async fn admin(&self) -> Client {
        self.sign_in("admin@example.com", PASSWORD).await
    }
}
