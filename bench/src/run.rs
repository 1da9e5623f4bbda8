//! One run: seed, start, measure in turns, report.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    Options, books, faults,
    load::{Plan, Tally},
    postgres::{self, Database},
    process::{self, ProcessTree},
    products,
    redis::{self, Redis},
    report::{AtRest, Report, Row, Sample, median},
    seed::{self, Amounts},
    server::{self, Mainstay, Server},
    soak,
    workload::{self, Facts, Workload},
};

/// Process starts that the start time is the median of.
const STARTS: usize = 5;
/// How long a started server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);
/// The limits of a server under load: counted like any others, and out of reach. Permits are taken a
/// million at a time where they come from Redis; for what a permit each costs there is a workload.
const RAISED_LIMITS: [(&str, &str); 7] = [
    ("MAINSTAY__LIMITS__ANONYMOUS", "1000000000/min lease=1000000"),
    ("MAINSTAY__LIMITS__SIGNED_IN", "1000000000/min lease=1000000"),
    // Sliding, where the default is an exact log: that one remembers 150 calls at the most.
    ("MAINSTAY__LIMITS__AUTH", "1000000000/min sliding"),
    ("MAINSTAY__LIMITS__POLICIES__COUNTED__LIMIT", "1000000000/min"),
    ("MAINSTAY__LIMITS__POLICIES__BLOCKED__LIMIT", "1/h"),
    // A run takes longer than a token lives by default.
    ("MAINSTAY__IDENTITY__ACCESS_TOKEN_S", "3600"),
    // One address makes all connections, and a slow query is no news here.
    ("MAINSTAY__DATABASE__SLOW_QUERY_MS", "60000"),
];

/// A server under load, with what it answers from.
pub(crate) struct Subject {
    pub(crate) database: &'static str,
    pub(crate) server: Server,
    services: Vec<ProcessTree>,
    pub(crate) facts: Facts,
}

/// Carries out `options` and prints the report.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let binary = binary(options.bin.as_deref())?;
    let postgres_url = postgres_url(options.sqlite_only)?;
    let workloads = chosen(&options.only)?;
    let commit = commit().await;
    // Before anything takes time; and the database comes before the servers that
    // use it, so that on any way out the servers go first.
    let database = postgres_url.as_deref().map(Database::create).transpose()?;

    let redis = redis_url(options.sqlite_only)?.map(|url| Redis { url });
    let amounts = Amounts { books: options.books, products: options.products, users: options.users };

    let folder = tempfile::tempdir().context("making a folder to work in")?;
    let write = |name: &str| File::create(folder.path().join(name)).map(BufWriter::new);
    books::write_csv(amounts.books, write("books.csv")?)?;
    products::write_csv(amounts.products, write("products.csv")?)?;
    let raised = RAISED_LIMITS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let on_sqlite = |name: &str| {
        let folder = folder.path().join(name);
        Mainstay {
            binary: binary.clone(),
            database_url: format!("sqlite://{}/mainstay.db?mode=rwc", folder.display()),
            folder,
            settings: raised.iter().chain(&options.settings).cloned().collect(),
        }
    };

    let at_rest = at_rest(&on_sqlite("empty")).await?;

    let bare = server::serve_bare(folder.path()).await?;
    let mut imports = Vec::new();
    let mut subjects = Vec::new();
    let mut with_redis = None;

    let mainstay = on_sqlite("sqlite");
    imports.push(("SQLite", seed::import(&mainstay, folder.path(), amounts).await?));
    let server = mainstay.serve().await?;
    seed::people(&server, amounts)?;
    let facts = seed::facts(&server, amounts)?;
    subjects.push(Subject { database: "SQLite", server, services: Vec::new(), facts });

    if let (Some(database), Some(redis)) = (&database, &redis) {
        let mut mainstay = Mainstay { database_url: database.url()?, ..on_sqlite("postgresql") };
        mainstay.settings.push(("REDIS_URL".to_owned(), redis.url.clone()));
        imports.push(("PostgreSQL", seed::import(&mainstay, folder.path(), amounts).await?));
        let server = mainstay.serve().await?;
        seed::people(&server, amounts)?;
        database.settle()?;
        let mut services = Vec::new();
        for (name, tree) in [("PostgreSQL", database.processes()), ("Redis", redis.processes())] {
            match tree {
                Ok(tree) => services.push(tree),
                Err(error) => eprintln!("note: no CPU figures of {name}: {error:#}"),
            }
        }
        let facts = seed::facts(&server, amounts)?;
        subjects.push(Subject { database: "PostgreSQL, Redis", server, services, facts });
        with_redis = Some(mainstay);
    }

    for subject in &subjects {
        // What comes after the first call of an hour is refused.
        let _first = workload::LIMITED_REFUSED.try_once(subject.server.address, &subject.facts);
        for workload in &workloads {
            workload
                .try_once(subject.server.address, &subject.facts)
                .with_context(|| format!("on {}, before measuring", subject.database))?;
        }
    }

    let rows = rounds(options, &bare, &subjects, &workloads).await?;
    let script = match (&redis, subjects.last()) {
        (Some(redis), Some(subject)) => {
            let call = redis
                .overhear(|| workload::LIMITED_ADMITTED.try_once(subject.server.address, &subject.facts))?;
            Some(redis.rate(&call, options.connections)?)
        }
        _ => None,
    };
    let mut soaked = Vec::new();
    if options.soak > 0.0 {
        for subject in &subjects {
            soaked.extend(soak::soak(options, subject, &workloads).await?);
        }
    }
    let mut faulty = Vec::new();
    if let Some(mainstay) = with_redis.filter(|_| options.faults > 0.0) {
        faulty = faults::faults(options, &mainstay, amounts, folder.path()).await?;
    }
    let report = Report {
        soaked,
        faulty,
        machine: process::machine(),
        commit,
        postgresql: database.as_ref().map(Database::settings).transpose()?,
        connections: options.connections,
        rounds: options.rounds,
        seconds: options.seconds,
        warmup: options.warmup,
        amounts,
        redis: redis.as_ref().map(Redis::version).transpose()?,
        limiter_script_per_s: script,
        settings: raised.iter().chain(&options.settings).cloned().collect(),
        imports: imports.into_iter().collect(),
        at_rest,
        rows,
    };
    print!("{report}");
    if let Some(path) = &options.json {
        serde_json::to_writer_pretty(File::create(path)?, &report)
            .with_context(|| format!("writing {}", path.display()))?;
    }

    for subject in subjects {
        subject.server.stop().await?;
    }
    Ok(())
}

fn binary(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("mainstay"),
    };
    // Absolute, because the server is started in another folder.
    let path = std::path::absolute(path)?;
    ensure!(
        path.is_file(),
        "{} is not there: build it with `cargo build --release -p mainstay`, or name it with --bin",
        path.display()
    );
    if cfg!(debug_assertions) || path.components().any(|part| part.as_os_str() == "debug") {
        eprintln!("note: a debug build is involved; the figures mean little");
    }
    Ok(path)
}

fn postgres_url(sqlite_only: bool) -> Result<Option<String>> {
    if sqlite_only {
        return Ok(None);
    }
    match std::env::var(postgres::URL_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok(Some(url)),
        _ => bail!(
            "{} is not set: run this through `scripts/services --durable`, \
             or measure on SQLite alone with --sqlite-only",
            postgres::URL_VARIABLE
        ),
    }
}

/// As [`postgres_url`].
fn redis_url(sqlite_only: bool) -> Result<Option<String>> {
    if sqlite_only {
        return Ok(None);
    }
    match std::env::var(redis::URL_VARIABLE) {
        Ok(url) if !url.is_empty() => Ok(Some(url)),
        _ => bail!("{} is not set: run this through `scripts/services --durable`", redis::URL_VARIABLE),
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Workload>> {
    for name in only {
        ensure!(
            workload::ALL.iter().any(|workload| workload.name == name),
            "no workload '{name}'; there are: {}",
            workload::ALL.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(workload::ALL
        .iter()
        .filter(|workload| only.is_empty() || only.iter().any(|name| name == workload.name))
        .collect())
}

/// The commit that is checked out, marked when files differ from it.
async fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .stderr(Stdio::null())
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Start time and idle memory on a migrated SQLite database with nothing in it.
async fn at_rest(mainstay: &Mainstay) -> Result<AtRest> {
    eprintln!("starting on an empty database, {STARTS} times");
    mainstay.run(&["migrate", "up"]).await?;
    let mut starts_ms = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let server = mainstay.serve().await?;
        starts_ms.push(server.start_time.as_secs_f64() * 1e3);
        server.stop().await?;
    }
    let server = mainstay.serve().await?;
    tokio::time::sleep(IDLE).await;
    let idle_rss_bytes = process::rss(server.pid)?;
    server.stop().await?;
    Ok(AtRest { start_to_ready_ms: median(&starts_ms).unwrap_or_default(), starts_ms, idle_rss_bytes })
}

/// Measures in turns: in each round, for each database, the bare server and
/// then every workload, so that a slow minute of the machine hits all alike.
async fn rounds(
    options: &Options,
    bare: &Server,
    subjects: &[Subject],
    workloads: &[&'static Workload],
) -> Result<Vec<Row>> {
    let no_facts = Facts::default();
    let mut bare_row = Row::new(workload::BARE.name, None);
    let mut rows: Vec<Row> = subjects
        .iter()
        .flat_map(|subject| workloads.iter().map(|workload| Row::new(workload.name, Some(subject.database))))
        .collect();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for (subject, rows) in subjects.iter().zip(rows.chunks_mut(workloads.len())) {
            let yardstick = measure(options, round, &workload::BARE, bare, &[], &no_facts).await?;
            let bare_rate = yardstick.tally.requests_per_s;
            bare_row.samples.push(yardstick);
            for (workload, row) in workloads.iter().zip(rows) {
                let mut sample =
                    measure(options, round, workload, &subject.server, &subject.services, &subject.facts)
                        .await?;
                // Against the bare server's turn just before, not its median.
                sample.ratio_to_bare = (bare_rate > 0.0).then(|| sample.tally.requests_per_s / bare_rate);
                row.samples.push(sample);
            }
        }
    }
    rows.insert(0, bare_row);
    Ok(rows)
}

async fn measure(
    options: &Options,
    round: u32,
    workload: &Workload,
    server: &Server,
    services: &[ProcessTree],
    facts: &Facts,
) -> Result<Sample> {
    let plan = Plan {
        target: server.address,
        connections: workload.connections.unwrap_or(options.connections as usize),
        warmup_ms: (options.warmup * 1e3) as u64,
        measured_ms: (options.seconds * 1e3) as u64,
        expected_status: workload.expected_status,
        requests: workload.requests(server.address, facts, u64::from(round)),
    };
    let plan = serde_json::to_vec(&plan)?;
    let services_cpu = || -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for tree in services {
            sum += tree.cpu_time()?;
        }
        Ok(sum)
    };

    process::reset_peak_rss(server.pid).context("resetting the peak of memory")?;
    let services_before = services_cpu()?;
    let server_before = process::cpu_time(server.pid)?;
    let (machine_before, began) = (process::machine_cpu()?, Instant::now());
    let tally = load(&plan).await.with_context(|| format!("workload '{}'", workload.name))?;
    let server_cpu =
        process::cpu_time(server.pid).context("the server has ended")?.saturating_sub(server_before);
    let services_cpu = services_cpu()?.saturating_sub(services_before);

    let machine = process::machine_cpu()?;
    let offered = began.elapsed().as_secs_f64() * process::cores() as f64;
    let client_cpu = Duration::from_secs_f64(tally.client_cpu_s);
    let others = machine
        .processes
        .saturating_sub(machine_before.processes)
        .saturating_sub(server_cpu + services_cpu + client_cpu);
    let stolen = machine.stolen.saturating_sub(machine_before.stolen);

    let per_request =
        |cpu: Duration| (tally.answered > 0).then(|| cpu.as_secs_f64() * 1e6 / tally.answered as f64);
    Ok(Sample {
        server_cpu_us: per_request(server_cpu),
        client_cpu_us: per_request(client_cpu),
        services_cpu_us: per_request(services_cpu).filter(|_| !services.is_empty()),
        peak_rss_bytes: process::peak_rss(server.pid)?,
        ratio_to_bare: None,
        others_cpu_share: others.as_secs_f64() / offered,
        stolen_cpu_share: stolen.as_secs_f64() / offered,
        tally,
    })
}

/// Runs the load generator in a process of its own.
pub(crate) async fn load(plan: &[u8]) -> Result<Tally> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("load")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("no pipe to the load generator")?;
    stdin.write_all(plan).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "the load generator failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}
