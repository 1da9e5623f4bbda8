use std::env;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How often a process is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let path = match env::var_os("MAINSTAY_BIN") {
        Some(path) => PathBuf::from(path),
        // …/target/debug/deps/it-0123456789abcdef lies two levels below the programs.
        None => {
            let own = env::current_exe().unwrap();
            own.ancestors().nth(2).unwrap().join("mainstay")
        }
    };
    // Each site runs in a folder of its own, so a relative path would lead nowhere. Cargo runs
    // tests in their crate's folder; the variable was most likely written in the workspace's.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path =
        [Path::new("."), workspace].map(|folder| folder.join(&path)).into_iter().find(|path| path.is_file());
    path.and_then(|path| path.canonicalize().ok()).expect(
        "the program under test is missing: build it with `cargo build -p mainstay`, or name it in MAINSTAY_BIN",
    )
}

/// `program` with `arguments`, allowed to open as many files as the system
/// permits, up to 8192: the usual limit is 1024.
#[must_use]
pub fn with_open_files(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(r#"ulimit -n 8192 2>/dev/null || ulimit -n "$(ulimit -H -n)"; exec "$0" "$@""#);
    command.arg(program).args(arguments);
    command
}

/// What a process can be told.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Please stop.
    Term,
    /// Be gone.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to the standard output.
    pub stdout: String,
    /// What it wrote to the standard error.
    pub stderr: String,
    /// The most memory it held at once, in bytes: at its last look before the end.
    pub peak_bytes: u64,
}

impl Finished {
    /// Its standard output, if it went well.
    ///
    /// # Panics
    /// If its exit code is not 0.
    #[must_use]
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "it should succeed\n{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Its standard error, if it failed in an orderly way.
    ///
    /// # Panics
    /// If its exit code is not 1, or it said nothing.
    #[must_use]
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.code, Some(1), "it should exit with 1\n{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(!self.stderr.trim().is_empty(), "a failure must say why");
        self.stderr
    }
}

type Text = Arc<Mutex<Vec<u8>>>;

/// A running process; killed when dropped. What it writes is collected, and
/// printed if the test fails.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Text,
    stderr: Text,
    readers: Vec<JoinHandle<()>>,
    peak_bytes: u64,
}

impl Process {
    /// Starts it.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn start(mut command: Command, input: &str) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // A process that ends without reading closes the pipe; that is its right.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let (stdout, stderr) = (Text::default(), Text::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), stdout.clone()),
            collect(child.stderr.take().unwrap(), stderr.clone()),
        ];
        Self { child, stdout, stderr, readers, peak_bytes: 0 }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to the standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// What it has written to the standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Term => "TERM",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status().unwrap();
        assert!(sent.success(), "the process is gone already\n{}", self.stderr());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.look().is_none()
    }

    /// Sockets it holds.
    #[must_use]
    pub fn sockets(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap();
        files
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .filter(|target| is_socket(target))
            .count()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes longer than `limit`.
    pub async fn finish(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.look() {
                break status;
            }
            assert!(Instant::now() < deadline, "the process did not end within {limit:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        self.finished(status)
    }

    /// Kills it. What it held until then is known.
    pub async fn finish_after_kill(mut self) -> Finished {
        let _ = self.look();
        self.signal(Signal::Kill);
        self.finish(Duration::from_secs(20)).await
    }

    /// [`Process::finish`] where there is no runtime.
    pub(crate) fn finish_blocking(mut self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.look() {
                break status;
            }
            assert!(Instant::now() < deadline, "the process did not end within {limit:?}");
            sleep(LOOK_EVERY);
        };
        self.finished(status)
    }

    fn look(&mut self) -> Option<ExitStatus> {
        let about = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let peak = about
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        self.peak_bytes = self.peak_bytes.max(peak.unwrap_or(0_u64) * 1024);
        self.child.try_wait().unwrap()
    }

    fn finished(&mut self, status: ExitStatus) -> Finished {
        for reader in self.readers.drain(..) {
            reader.join().expect("the thread that reads its output");
        }
        Finished {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            peak_bytes: self.peak_bytes,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- process {}, standard output\n{}--- standard error\n{}---",
                self.id(),
                self.stdout(),
                self.stderr()
            );
        }
    }
}

fn is_socket(target: &Path) -> bool {
    target.to_string_lossy().starts_with("socket:")
}

fn collect(from: impl Read + Send + 'static, to: Text) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            to.lock().unwrap().append(&mut line);
        }
    })
}
