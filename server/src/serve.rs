//! `mainstay serve`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mainstay_app::Environment;
use mainstay_db::{Dialect, MigrateOnStart};
use mainstay_http::TrustedProxies;
use mainstay_http::server::{ConnectionStats, TimeoutPhase, serve, watch_signals};
use mainstay_telemetry::prometheus_client::metrics::family::Family;
use mainstay_telemetry::prometheus_client::metrics::gauge::Gauge;
use mainstay_telemetry::{LogFormat, Metrics};
use tokio::net::TcpListener;

use crate::Backend;

/// How long background work may take to finish what it is at.
const STOPPING: Duration = Duration::from_secs(10);

/// Brings the database up to date and serves until told to stop.
pub(crate) async fn run(
    backend: Backend,
    listener: TcpListener,
    demo: bool,
    started: Instant,
) -> anyhow::Result<()> {
    if demo && backend.platform.environment == Environment::Production {
        bail!("--demo is refused in production");
    }
    raise_descriptor_limit();
    migrate(&backend).await?;
    let mut lines = if demo { backend.seed_demo().await? } else { Vec::new() };
    lines.extend(backend.start_apps().await?);

    let address = listener.local_addr()?;
    let stats = Arc::new(ConnectionStats::default());
    export(&stats, &backend.platform.metrics);
    let proxies = TrustedProxies::parse(&backend.http.trusted_proxies).map_err(anyhow::Error::msg)?;
    let options = backend.http.server_options(proxies, stats);
    let drain = backend.drain.clone();
    let signals = drain.clone();
    #[expect(clippy::disallowed_methods, reason = "waits for a signal as long as the process lives")]
    tokio::spawn(async move {
        if let Err(error) = watch_signals(signals).await {
            tracing::error!(%error, "signals can't be watched; only killing ends this process");
        }
    });

    let router = backend.surface().router;
    backend.platform.cache.start();
    let background = backend.background().start();
    print_banner(&backend, address, started, demo, &lines);
    serve(listener, router, options, drain).await;
    background.stop(STOPPING).await;
    backend.platform.cache.stop();
    backend.platform.db.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Connections are descriptors, and many systems allow a process 1024 of them
/// until it asks for more.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}

async fn migrate(backend: &Backend) -> anyhow::Result<()> {
    let migrator = backend.migrator();
    let apply = match backend.database.migrate_on_start {
        MigrateOnStart::Always => true,
        MigrateOnStart::Never => false,
        MigrateOnStart::Auto => backend.platform.db.dialect() == Dialect::Sqlite,
    };
    if apply {
        let count =
            migrator.up(None, |step| tracing::info!(step.version, step.app, step.name, "migrated")).await;
        count.context("bringing the database up to date")?;
        return Ok(());
    }
    let pending = migrator.pending().await.context("looking at the database")?;
    if pending > 0 {
        bail!(
            "the database is {pending} migration(s) behind. Run `mainstay migrate up` once, \
             or set database.migrate_on_start = \"always\""
        );
    }
    Ok(())
}

fn export(stats: &Arc<ConnectionStats>, metrics: &Metrics) {
    let open: Gauge = metrics.register("http_connections_open", "Open connections", Gauge::default());
    let accepted: Gauge =
        metrics.register("http_connections_accepted", "Connections accepted so far", Gauge::default());
    let refused: Gauge = metrics.register(
        "http_connections_refused",
        "Connections refused: too many of one address",
        Gauge::default(),
    );
    type ByPhase = Family<[(&'static str, &'static str); 1], Gauge>;
    let timed_out =
        metrics.register("http_connections_timed_out", "Connections cut, by phase", ByPhase::default());
    let stats = stats.clone();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.before_render(move || {
        open.set(number(stats.open()));
        accepted.set(number(stats.accepted()));
        refused.set(number(stats.refused_per_address()));
        for phase in TimeoutPhase::ALL {
            timed_out.get_or_create(&[("phase", phase.as_str())]).set(number(stats.timed_out(phase)));
        }
    });
}

fn print_banner(backend: &Backend, address: SocketAddr, started: Instant, demo: bool, lines: &[String]) {
    if backend.telemetry.format == LogFormat::Json {
        // Who asked for JSON gets nothing else.
        tracing::info!(%address, started_ms = started.elapsed().as_secs_f64() * 1000.0, "ready");
        // Not into the log: among them may be the one-time token that makes an administrator.
        lines.iter().for_each(|line| eprintln!("{line}"));
        return;
    }
    let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = format!("http://{host}:{}", address.port());
    println!("Mainstay {} is ready ({} ms)", env!("CARGO_PKG_VERSION"), started.elapsed().as_millis());
    println!("  API reference  {url}/docs");
    println!("  API            {url}/api/v1");
    println!("  Health         {url}/readyz");
    if backend.telemetry.metrics {
        println!("  Metrics        {url}/metrics");
    }
    println!(
        "  Database       {}",
        if demo { "sqlite, thrown away at the end" } else { backend.platform.db.dialect().name() }
    );
    for line in lines {
        println!("{line}");
    }
}
