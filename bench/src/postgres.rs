//! A fresh database on the PostgreSQL the benchmark is given, by way of `psql`.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::process::{self, ProcessTree};

/// Where the server's URL comes from.
pub(crate) const URL_VARIABLE: &str = "MAINSTAY_TEST_POSTGRES_URL";

/// A database of this run's own; dropped with this value.
pub(crate) struct Database {
    server_url: String,
    name: String,
}

impl Database {
    /// Creates it. The URL's user must be allowed to.
    pub(crate) fn create(server_url: &str) -> Result<Self> {
        let name = format!("mainstay_bench_{}", std::process::id());
        psql(server_url, &format!("create database {name}"))?;
        Ok(Self { server_url: server_url.to_owned(), name })
    }

    pub(crate) fn url(&self) -> Result<String> {
        with_database(&self.server_url, &self.name)
    }

    /// Does now what autovacuum and the checkpointer would do at some moment
    /// of the measurement after 100,000 rows came in.
    pub(crate) fn settle(&self) -> Result<()> {
        psql(&self.url()?, "vacuum (analyze)")?;
        if let Err(error) = psql(&self.url()?, "checkpoint") {
            eprintln!("note: no checkpoint before measuring: {error:#}");
        }
        Ok(())
    }

    /// Version and the settings that decide what a commit costs.
    pub(crate) fn settings(&self) -> Result<Value> {
        let show = |setting| psql(&self.server_url, &format!("show {setting}"));
        Ok(json!({
            "version": show("server_version")?,
            "fsync": show("fsync")?,
            "synchronous_commit": show("synchronous_commit")?,
            "shared_buffers": show("shared_buffers")?,
        }))
    }

    /// PostgreSQL's processes. Fails where they are out of sight: on another
    /// machine, or in a container.
    pub(crate) fn processes(&self) -> Result<ProcessTree> {
        // The checkpointer lives as long as the server does, and its parent is
        // the postmaster.
        let pid: u32 =
            psql(&self.server_url, "select pid from pg_stat_activity where backend_type = 'checkpointer'")?
                .parse()
                .context("asking for the checkpointer's process")?;
        ensure!(
            process::name(pid).is_ok_and(|name| name.starts_with("postgres")),
            "PostgreSQL's processes are not to be seen from here"
        );
        Ok(ProcessTree { root: process::parent(pid)? })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = psql(&self.server_url, &format!("drop database {} with (force)", self.name));
        if let Err(error) = dropped {
            eprintln!("note: database {} is left behind: {error:#}", self.name);
        }
    }
}

/// Runs one statement and returns what it prints, bare.
///
/// The URL, password included, is in the machine's list of processes meanwhile:
/// the server is meant to be a throw-away one.
fn psql(url: &str, statement: &str) -> Result<String> {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--dbname", url])
        .args(["--command", statement])
        .output()
        .context("running psql (Debian: the package postgresql-client)")?;
    if !output.status.success() {
        bail!("psql, '{statement}': {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `url` with another database's name.
fn with_database(url: &str, name: &str) -> Result<String> {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = address.split_once("://").context("a PostgreSQL URL begins with postgres://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_replaced_and_nothing_else() {
        for (url, expected) in [
            ("postgres://u:p@127.0.0.1:5433/postgres", "postgres://u:p@127.0.0.1:5433/b"),
            ("postgres://127.0.0.1", "postgres://127.0.0.1/b"),
            ("postgres:///postgres?host=/run/pg&port=5433", "postgres:///b?host=/run/pg&port=5433"),
        ] {
            assert_eq!(with_database(url, "b").unwrap(), expected);
        }
        assert!(with_database("127.0.0.1:5432", "b").is_err());
    }
}
