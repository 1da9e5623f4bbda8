//! What clients notice while the Redis under them hangs, dies, comes back empty and is full.

use std::{
    fs::File,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::process::{Child, Command};

use crate::{
    Options,
    load::Plan,
    redis::Redis,
    run,
    seed::{self, Amounts},
    server::{self, Mainstay},
    workload::{HOT_PRODUCT, LIMITED_ADMITTED, Workload},
};

/// What each of the phases begins with, in this order.
const PHASES: [Phase; 7] = [
    Phase { name: "is well", event: Event::Nothing },
    Phase { name: "hangs", event: Event::Stop },
    Phase { name: "goes on", event: Event::Continue },
    Phase { name: "is killed", event: Event::Kill },
    Phase { name: "starts again, empty", event: Event::Start },
    Phase { name: "is full", event: Event::Fill },
    Phase { name: "has room again", event: Event::Empty },
];

/// Where every call asks Redis: the one counts in it, the other finds nearly nothing in its own memory.
const WORKLOADS: [&Workload; 2] = [&LIMITED_ADMITTED, &HOT_PRODUCT];

/// So small a memory holds a few dozen products.
const SETTINGS: [(&str, &str); 1] = [("MAINSTAY__CACHE__L1_BYTES", "65536")];

/// The first part of a phase passes as the one before ended.
const BEFORE: f64 = 0.2;

struct Phase {
    name: &'static str,
    event: Event,
}

#[derive(Clone, Copy)]
enum Event {
    Nothing,
    Stop,
    Continue,
    Kill,
    Start,
    Fill,
    Empty,
}

/// What clients saw in one phase.
#[derive(Debug, Serialize)]
pub(crate) struct Seen {
    pub(crate) workload: &'static str,
    pub(crate) redis: &'static str,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: f64,
    pub(crate) errors: u64,
    /// The 99th percentile against the one while all is well.
    pub(crate) p99_ratio: Option<f64>,
}

/// Starts `mainstay` anew with a Redis that is this program's to harm, and harms it under load.
pub(crate) async fn faults(
    options: &Options,
    mainstay: &Mainstay,
    amounts: Amounts,
    folder: &Path,
) -> Result<Vec<Seen>> {
    let mut victim = Victim::start(folder).await?;
    let mut mainstay = mainstay.clone();
    mainstay.settings.retain(|(name, _)| name != "REDIS_URL");
    mainstay.settings.push(("REDIS_URL".to_owned(), victim.redis.url.clone()));
    mainstay.settings.extend(SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let server = mainstay.serve().await?;
    // The tokens of a server at another address are not for this one.
    let facts = &seed::facts(&server, amounts)?;
    let mut seen: Vec<Seen> = Vec::new();
    for workload in WORKLOADS {
        workload.try_once(server.address, facts)?;
        let plan = Plan {
            target: server.address,
            connections: options.connections as usize,
            warmup_ms: 0,
            measured_ms: (options.faults * 1e3) as u64,
            expected_status: workload.expected_status,
            requests: workload.requests(server.address, facts, 0),
        };
        let plan = serde_json::to_vec(&plan)?;
        // What is loaded and opened once is not the phase's.
        run::load(&plan).await?;
        let well = seen.len();
        for phase in PHASES {
            let event = async {
                tokio::time::sleep(Duration::from_secs_f64(options.faults * BEFORE)).await;
                victim.meet(phase.event).await.with_context(|| format!("Redis {}", phase.name))
            };
            let (tally, happened) = tokio::join!(run::load(&plan), event);
            happened?;
            let tally = tally.with_context(|| format!("workload '{}'", workload.name))?;
            let well = seen.get(well).and_then(|well| well.p99_ms);
            seen.push(Seen {
                workload: workload.name,
                redis: phase.name,
                requests_per_s: tally.requests_per_s,
                p50_ms: tally.p50_ms,
                p99_ms: tally.p99_ms,
                max_ms: tally.max_ms,
                errors: tally.errors,
                p99_ratio: tally.p99_ms.zip(well).map(|(now, well)| now / well),
            });
        }
    }
    server.stop().await?;
    Ok(seen)
}

/// A Redis that ends with this value.
struct Victim {
    program: PathBuf,
    process: Option<Child>,
    port: u16,
    redis: Redis,
    log: File,
}

impl Victim {
    async fn start(folder: &Path) -> Result<Self> {
        let port = server::free_port()?;
        let redis = Redis { url: format!("redis://127.0.0.1:{port}/0") };
        let log = File::create(folder.join("victim.log"))?;
        // On Debian one program comes under several names and is what it is called, and the package
        // redis-tools has all but the server's.
        let program = folder.join("redis-server");
        symlink(found(&["redis-server", "redis-check-rdb"])?, &program)?;
        let mut victim = Self { program, process: None, port, redis, log };
        victim.revive().await?;
        Ok(victim)
    }

    async fn revive(&mut self) -> Result<()> {
        let child = Command::new(&self.program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"])
            .stdin(Stdio::null())
            .stdout(self.log.try_clone()?)
            .stderr(self.log.try_clone()?)
            .kill_on_drop(true)
            .spawn()
            .context("starting redis-server")?;
        self.process = Some(child);
        let began = Instant::now();
        while let Err(error) = self.redis.version() {
            ensure!(began.elapsed() < Duration::from_secs(10), "Redis does not answer: {error:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn meet(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Nothing => {}
            Event::Stop => self.signal("-STOP").await?,
            Event::Continue => self.signal("-CONT").await?,
            Event::Kill => {
                if let Some(mut process) = self.process.take() {
                    process.kill().await?;
                }
            }
            Event::Start => self.revive().await?,
            // Less than it has already: it takes no more writes.
            Event::Fill => self.redis.set("maxmemory", "1")?,
            Event::Empty => self.redis.set("maxmemory", "0")?,
        }
        Ok(())
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.process.as_ref().and_then(Child::id).context("Redis has ended")?;
        // The standard library can only kill; a shell is everywhere.
        let script = ["-c", "kill \"$1\" \"$2\"", "sh", signal, &pid.to_string()];
        ensure!(Command::new("sh").args(script).status().await?.success(), "kill {signal} {pid}");
        Ok(())
    }
}

/// The first of these programs that is on the path.
fn found(names: &[&str]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.find(|place| place.is_file()).context("Redis is not installed (Debian: the package redis-tools)")
}
