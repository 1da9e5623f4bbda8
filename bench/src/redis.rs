//! The Redis that a server under test counts and caches in, by way of `redis-cli` and
//! `redis-benchmark`.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, ProcessTree};

/// Where the server's URL comes from.
pub(crate) const URL_VARIABLE: &str = "MAINSTAY_TEST_REDIS_URL";

/// A Redis of this run's own.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    pub(crate) url: String,
}

impl Redis {
    /// Redis's process. Fails where it is out of sight: on another machine, or in a container.
    pub(crate) fn processes(&self) -> Result<ProcessTree> {
        let info = self.ask(&["info", "server"])?;
        let root = info
            .lines()
            .find_map(|line| line.trim().strip_prefix("process_id:"))
            .and_then(|pid| pid.parse().ok())
            .context("Redis does not tell its process")?;
        ensure!(
            process::name(root).is_ok_and(|name| name.starts_with("redis")),
            "Redis's process is not to be seen from here"
        );
        Ok(ProcessTree { root })
    }

    /// The version.
    pub(crate) fn version(&self) -> Result<String> {
        let info = self.ask(&["info", "server"])?;
        let version = info.lines().find_map(|line| line.trim().strip_prefix("redis_version:"));
        Ok(version.context("Redis does not tell its version")?.to_owned())
    }

    /// Changes its configuration while it runs.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<()> {
        let answer = self.ask(&["config", "set", name, value])?;
        ensure!(answer.trim() == "OK", "Redis answered {}", answer.trim());
        Ok(())
    }

    /// The words of the first script call that Redis gets while `act` runs.
    pub(crate) fn overhear(&self, act: impl FnOnce() -> Result<()>) -> Result<Vec<String>> {
        let mut monitor = Command::new("redis-cli")
            .args(["--no-auth-warning", "-u", &self.url, "monitor"])
            .stdout(Stdio::piped())
            .spawn()
            .context("running redis-cli (Debian: the package redis-tools)")?;
        let heard = self.listen(&mut monitor, act);
        monitor.kill()?;
        monitor.wait()?;
        heard
    }

    fn listen(
        &self,
        monitor: &mut std::process::Child,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<String>> {
        let mut lines = BufReader::new(monitor.stdout.take().context("no pipe from redis-cli")?).lines();
        // It says OK when it listens.
        lines.next().context("redis-cli ended")??;
        act()?;
        // So that there is an end to what is heard.
        self.ask(&["echo", "that is all"])?;
        for line in lines {
            let line = line?;
            if line.contains("that is all") {
                break;
            }
            let words = words(&line);
            if words.first().is_some_and(|word| word.eq_ignore_ascii_case("evalsha")) {
                return Ok(words);
            }
        }
        bail!("no script was called")
    }

    /// Calls a second of `command` over `connections` that `redis-benchmark` reaches.
    pub(crate) fn rate(&self, command: &[String], connections: u32) -> Result<f64> {
        let output = Command::new("redis-benchmark")
            .args(["-u", &self.url, "-c", &connections.to_string(), "-n", "200000", "--csv"])
            .args(command)
            .stderr(Stdio::null())
            .output()
            .context("running redis-benchmark (Debian: the package redis-tools)")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().last().context("redis-benchmark printed nothing")?;
        // Its name, which is the command and may hold commas, is in quotes: the rate is what follows it.
        let rate = line.rsplit("\",\"").nth(6);
        rate.and_then(|rate| rate.trim_matches('"').parse().ok())
            .with_context(|| format!("redis-benchmark printed: {line}"))
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli")
            .args(["--no-auth-warning", "-u", &self.url])
            .args(words)
            .output()
            .context("running redis-cli (Debian: the package redis-tools)")?;
        ensure!(output.status.success(), "redis-cli: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The quoted words of a line of `monitor`, whose words hold no quotes here.
fn words(line: &str) -> Vec<String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_monitor_is_taken_apart() {
        let line = r#"1769851800.123456 [0 127.0.0.1:5000] "EVALSHA" "abc" "1" "k" "-1" "l""#;
        assert_eq!(words(line), ["EVALSHA", "abc", "1", "k", "-1", "l"]);
    }
}
