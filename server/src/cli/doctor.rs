//! `mainstay doctor` and `mainstay healthcheck`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ArgMatches;
use mainstay_app::Environment;
use mainstay_core::settings::Sources;
use mainstay_db::Dialect;
use mainstay_db::migrate::State;
use mainstay_limits::{Fail, RedisReport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::text;
use crate::{Backend, limiting};

/// What a check found.
enum Finding {
    Good(String),
    Note(String),
    Bad(String),
}

/// Checks each thing the server depends on and prints a line for it.
pub(super) async fn run(backend: &Backend) -> anyhow::Result<()> {
    let mut bad = 0;
    for (what, finding) in [
        ("configuration", Finding::Good("every key is known and in range".to_owned())),
        ("environment", environment(backend)),
        ("database", database(backend).await),
        ("replicas", replicas(backend).await),
        ("schema", schema(backend).await),
        ("address", address(backend).await),
        ("proxies", proxies(backend)),
        ("mail", mail(backend).await),
        ("limits", limits(backend).await),
    ] {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok  ", text),
            Finding::Note(text) => ("note", text),
            Finding::Bad(text) => {
                bad += 1;
                ("BAD ", text)
            }
        };
        println!("{mark}  {what:<14} {text}");
    }
    backend.platform.db.close().await;
    if bad > 0 {
        bail!("{bad} of the checks failed");
    }
    Ok(())
}

fn environment(backend: &Backend) -> Finding {
    match backend.platform.environment {
        Environment::Production => Finding::Good("production".to_owned()),
        Environment::Development => {
            Finding::Note("development: set environment = \"production\" where people rely on it".to_owned())
        }
    }
}

async fn limits(backend: &Backend) -> Finding {
    if backend.limits.is_none() {
        return Finding::Note(
            "switched off by limits.enabled: nobody is kept from guessing passwords".to_owned(),
        );
    }
    let settings = &backend.limits_config.settings;
    // Faults of the address were reported before.
    let Some(options) = limiting::redis_options(&backend.redis, &mut Sources::new()) else {
        return Finding::Good("counted in this process's memory, which is right for one node".to_owned());
    };
    let report = match mainstay_limits::inspect(&options).await {
        Ok(report) => report,
        Err(error) => {
            let meanwhile = limiting::meanwhile(settings.fail);
            return Finding::Bad(format!("Redis does not answer ({error}); {meanwhile}"));
        }
    };
    let RedisReport { version, maxmemory_policy, maxmemory_bytes, is_cluster, is_primary } = report;
    let bounded = maxmemory_bytes > 0;
    if is_cluster {
        Finding::Bad(format!("Redis {version} is part of a cluster; limits need one server"))
    } else if !is_primary {
        Finding::Bad(format!("Redis {version} is a replica and takes no writes"))
    } else if maxmemory_policy != "noeviction" && bounded {
        Finding::Bad(format!(
            "Redis {version} forgets counters when it is full: set maxmemory-policy noeviction, not {maxmemory_policy}"
        ))
    } else if maxmemory_policy != "noeviction" {
        Finding::Note(format!(
            "Redis {version} would forget counters once it has a maxmemory: set maxmemory-policy noeviction, not \
             {maxmemory_policy}"
        ))
    } else if settings.nodes == 1 && settings.fail == Fail::Local {
        Finding::Note(format!(
            "counted in Redis {version}; limits.nodes is 1, so while it is away each node admits the whole limit"
        ))
    } else {
        Finding::Good(format!("counted in Redis {version} by {} nodes", settings.nodes))
    }
}

async fn mail(backend: &Backend) -> Finding {
    let mails = &backend.platform.mails;
    match (mails.check().await, mails.has_smtp()) {
        (Err(error), _) => Finding::Bad(error.to_string()),
        (Ok(()), true) => Finding::Good("the SMTP server answers".to_owned()),
        (Ok(()), false) => {
            let folder = mails.settings().folder.display();
            Finding::Note(format!("no smtp_url: mails are only written to {folder} and shown in the mailbox"))
        }
    }
}

async fn database(backend: &Backend) -> Finding {
    let db = &backend.platform.db;
    match tokio::time::timeout(Duration::from_secs(5), db.version()).await {
        Ok(Ok(version)) => {
            let major: u32 =
                version.split(['.', ' ']).next().and_then(|major| major.parse().ok()).unwrap_or(0);
            if db.dialect() == Dialect::Postgres && major < 15 {
                return Finding::Bad(format!("PostgreSQL {version}; 15 or later is needed"));
            }
            Finding::Good(format!("{} {version}", db.dialect().name()))
        }
        Ok(Err(error)) => Finding::Bad(format!("{} does not answer: {error}", db.dialect().name())),
        Err(_) => Finding::Bad(format!("{} does not answer within 5 s", db.dialect().name())),
    }
}

/// Each replica: does it answer, is it a copy of this primary that still follows, and how closely?
async fn replicas(backend: &Backend) -> Finding {
    let found = backend.platform.db.check_replicas().await;
    if found.is_empty() {
        return Finding::Good("none".to_owned());
    }
    let bound = Duration::from_millis(backend.database.replica_max_lag_ms);
    let (mut bad, mut late, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for (place, finding) in found {
        match finding {
            Err(wrong) => bad.push(format!("{place} {wrong}")),
            Ok(took) if took > bound => late.push(format!("{place} is {} ms behind", took.as_millis())),
            Ok(took) => good.push(format!("{place} has all within {} ms", took.as_millis())),
        }
    }
    match (bad.is_empty(), late.is_empty()) {
        (false, _) => Finding::Bad([bad, late, good].concat().join("; ")),
        (true, false) => Finding::Note(format!(
            "{}; beyond {} ms none is read from",
            [late, good].concat().join("; "),
            bound.as_millis()
        )),
        (true, true) => Finding::Good(good.join("; ")),
    }
}

async fn schema(backend: &Backend) -> Finding {
    match backend.migrator().status().await {
        Err(error) => Finding::Bad(format!("the history of migrations can't be read: {error}")),
        Ok(lines) => {
            let count = |wanted: fn(&State) -> bool| lines.iter().filter(|line| wanted(&line.state)).count();
            let pending = count(|state| *state == State::Pending);
            let changed = count(|state| matches!(state, State::Changed(_)));
            match (pending, changed) {
                (0, 0) => Finding::Good("up to date".to_owned()),
                (_, 0) if backend.platform.db.dialect() == Dialect::Sqlite => {
                    Finding::Note(format!("{pending} migration(s) pending; serve applies them"))
                }
                (_, 0) => Finding::Bad(format!("{pending} migration(s) pending: run `mainstay migrate up`")),
                _ => Finding::Bad(format!("{changed} migration(s) were changed after they had been applied")),
            }
        }
    }
}

async fn address(backend: &Backend) -> Finding {
    let address = backend.http.address();
    match TcpListener::bind(address).await {
        Ok(_) => Finding::Good(format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Finding::Note(format!("{address} is taken; by a running server, if all is well"))
        }
        Err(error) => Finding::Bad(format!("{address} can't be listened on: {error}")),
    }
}

fn proxies(backend: &Backend) -> Finding {
    let http = &backend.http;
    if http.is_tls() && http.trusted_proxies.is_empty() {
        Finding::Note(
            "TLS must end at a proxy, but http.trusted_proxies is empty: every client looks like the proxy"
                .to_owned(),
        )
    } else {
        Finding::Good(format!("{} trusted network(s)", http.trusted_proxies.len()))
    }
}

/// Asks `/readyz` of a running server; an error if it is not ready.
pub(super) async fn healthcheck(matches: &ArgMatches) -> anyhow::Result<()> {
    let port = std::env::var("MAINSTAY__HTTP__PORT")
        .or_else(|_| std::env::var("PORT"))
        .unwrap_or_else(|_| "8080".to_owned());
    let address = text(matches, "address").map_or_else(|| format!("127.0.0.1:{port}"), str::to_owned);
    let ask = async {
        let mut stream = TcpStream::connect(&address).await?;
        stream
            .write_all(
                format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), ask).await.context("no answer within 5 s")?;
    let answer = answer.with_context(|| format!("asking {address}"))?;
    let status = answer.lines().next().unwrap_or_default();
    if status.contains(" 200 ") { Ok(()) } else { bail!("{address} is not ready: {status}") }
}
