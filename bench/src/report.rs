//! What is printed: one table, and the same as JSON.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::Value;

use crate::faults::Seen;
use crate::load::Tally;
use crate::seed::{Amounts, Imports};
use crate::soak::Look;

/// Everything a run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Value,
    pub(crate) commit: Option<String>,
    pub(crate) postgresql: Option<Value>,
    pub(crate) connections: u32,
    pub(crate) rounds: u32,
    /// Measured per workload and round.
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) amounts: Amounts,
    pub(crate) redis: Option<String>,
    /// Calls of the limiter's script that `redis-benchmark` gets through, over as many connections.
    pub(crate) limiter_script_per_s: Option<f64>,
    /// What the server's environment was given.
    pub(crate) settings: Vec<(String, String)>,
    /// How long the imports took, by database.
    pub(crate) imports: BTreeMap<&'static str, Imports>,
    pub(crate) at_rest: AtRest,
    pub(crate) rows: Vec<Row>,
    /// What was seen while everything ran at once.
    pub(crate) soaked: Vec<Look>,
    /// What was seen while Redis was harmed.
    pub(crate) faulty: Vec<Seen>,
}

/// Figures without load.
#[derive(Debug, Serialize)]
pub(crate) struct AtRest {
    pub(crate) start_to_ready_ms: f64,
    pub(crate) starts_ms: Vec<f64>,
    pub(crate) idle_rss_bytes: u64,
}

/// One workload on one database, with its rounds.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) database: Option<&'static str>,
    pub(crate) samples: Vec<Sample>,
}

/// One turn of one workload.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) server_cpu_us: Option<f64>,
    pub(crate) client_cpu_us: Option<f64>,
    /// Absent without services, or where they cannot be seen.
    pub(crate) services_cpu_us: Option<f64>,
    pub(crate) peak_rss_bytes: u64,
    /// Requests per second against the bare server's, a moment before.
    pub(crate) ratio_to_bare: Option<f64>,
    /// Of all cores' time: spent by processes that have no part in the turn.
    pub(crate) others_cpu_share: f64,
    /// Of all cores' time: taken by the hypervisor.
    pub(crate) stolen_cpu_share: f64,
}

impl Report {
    fn mean(&self, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let samples = || self.rows.iter().flat_map(|row| &row.samples);
        let count = samples().count();
        (count > 0).then(|| samples().map(of).sum::<f64>() / count as f64)
    }
}

impl Row {
    pub(crate) fn new(workload: &'static str, database: Option<&'static str>) -> Self {
        Self { workload, database, samples: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(&self.samples.iter().filter_map(of).collect::<Vec<_>>())
    }

    fn errors(&self) -> u64 {
        self.samples.iter().map(|sample| sample.tally.errors).sum()
    }

    fn error_kinds(&self) -> BTreeMap<&str, u64> {
        let mut kinds = BTreeMap::new();
        for (kind, times) in self.samples.iter().flat_map(|sample| &sample.tally.error_kinds) {
            *kinds.entry(kind.as_str()).or_default() += times;
        }
        kinds
    }

    fn peak_rss_bytes(&self) -> u64 {
        self.samples.iter().map(|sample| sample.peak_rss_bytes).max().unwrap_or_default()
    }

    fn lowest_and_highest_rate(&self) -> (f64, f64) {
        let rates = self.samples.iter().map(|sample| sample.tally.requests_per_s);
        (rates.clone().fold(f64::INFINITY, f64::min), rates.fold(0.0, f64::max))
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let (lowest, highest) = self.lowest_and_highest_rate();
        [
            self.workload.to_owned(),
            self.database.unwrap_or("-").to_owned(),
            number(self.median(|sample| Some(sample.tally.requests_per_s)), 0),
            format!("{} .. {}", number(Some(lowest), 0), number(Some(highest), 0)),
            number(self.median(|sample| sample.tally.p50_ms), 2),
            number(self.median(|sample| sample.tally.p99_ms), 2),
            number(Some(self.errors() as f64), 0),
            number(self.median(|sample| sample.server_cpu_us), 1),
            number(self.median(|sample| sample.services_cpu_us), 1),
            number(self.median(|sample| sample.client_cpu_us), 1),
            number(Some(mib(self.peak_rss_bytes())), 1),
            number(self.median(|sample| Some(sample.tally.body_bytes)), 0),
            self.median(|sample| sample.ratio_to_bare)
                .map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0)),
        ]
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 14)?;
        row.serialize_field("workload", self.workload)?;
        row.serialize_field("database", &self.database)?;
        let rate = self.median(|sample| Some(sample.tally.requests_per_s));
        row.serialize_field("requests_per_s", &rate)?;
        row.serialize_field("p50_ms", &self.median(|sample| sample.tally.p50_ms))?;
        row.serialize_field("p90_ms", &self.median(|sample| sample.tally.p90_ms))?;
        row.serialize_field("p99_ms", &self.median(|sample| sample.tally.p99_ms))?;
        row.serialize_field("errors", &self.errors())?;
        row.serialize_field("server_cpu_us", &self.median(|sample| sample.server_cpu_us))?;
        let services = self.median(|sample| sample.services_cpu_us);
        row.serialize_field("services_cpu_us", &services)?;
        let client = self.median(|sample| sample.client_cpu_us);
        row.serialize_field("client_cpu_us", &client)?;
        row.serialize_field("peak_rss_bytes", &self.peak_rss_bytes())?;
        let body = self.median(|sample| Some(sample.tally.body_bytes));
        row.serialize_field("body_bytes", &body)?;
        row.serialize_field("ratio_to_bare", &self.median(|sample| sample.ratio_to_bare))?;
        row.serialize_field("rounds", &self.samples)?;
        row.end()
    }
}

const COLUMNS: [&str; 13] = [
    "workload",
    "database",
    "requests/s",
    "lowest .. highest",
    "p50 ms",
    "p99 ms",
    "errors",
    "server µs",
    "services µs",
    "client µs",
    "peak MiB",
    "body B",
    "of bare",
];
/// Columns of words; the others hold numbers and align to the right.
const WORDS: usize = 2;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            f,
            "{} cores ({}), {} MiB, Linux {}; servers, services and load generator share them all",
            machine["cores"],
            machine["cpu"].as_str().unwrap_or_default(),
            machine["memory_mib"],
            machine["kernel"].as_str().unwrap_or_default(),
        )?;
        writeln!(
            f,
            "while measuring, other processes took {} % of the CPU, the hypervisor {} %",
            number(self.mean(|sample| sample.others_cpu_share * 100.0), 1),
            number(self.mean(|sample| sample.stolen_cpu_share * 100.0), 1),
        )?;
        if let Some(commit) = &self.commit {
            writeln!(f, "commit {commit}")?;
        }
        if let Some(postgresql) = &self.postgresql {
            let show = |key: &str| postgresql[key].as_str().unwrap_or_default().to_owned();
            writeln!(
                f,
                "PostgreSQL {}; fsync {}, synchronous_commit {}, shared_buffers {}",
                show("version"),
                show("fsync"),
                show("synchronous_commit"),
                show("shared_buffers"),
            )?;
        }
        if let Some(redis) = &self.redis {
            writeln!(f, "Redis {redis}")?;
        }
        for (name, value) in &self.settings {
            writeln!(f, "set: {name}={value}")?;
        }
        writeln!(
            f,
            "{} books, {} products, {} users with {} posts each",
            count(self.amounts.books),
            count(self.amounts.products),
            count(self.amounts.users),
            crate::seed::POSTS_EACH,
        )?;
        writeln!(
            f,
            "{} keep-alive connections; medians of {} rounds of {} s after {} s of warm-up",
            self.connections, self.rounds, self.seconds, self.warmup,
        )?;
        writeln!(f)?;
        table(f, &self.rows.iter().map(Row::cells).collect::<Vec<_>>())?;
        writeln!(f, "µs: CPU time per request, all threads and processes of that side")?;
        for row in self.rows.iter().filter(|row| row.errors() > 0) {
            let kinds: Vec<String> =
                row.error_kinds().into_iter().map(|(kind, times)| format!("{times} x {kind}")).collect();
            writeln!(
                f,
                "errors of {} ({}): {}",
                row.workload,
                row.database.unwrap_or("-"),
                kinds.join(", ")
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "start to /readyz 200 on SQLite: {:.0} ms (median of {}: {})",
            self.at_rest.start_to_ready_ms,
            self.at_rest.starts_ms.len(),
            self.at_rest.starts_ms.iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(", ")
        )?;
        writeln!(
            f,
            "idle resident memory: {:.1} MiB (SQLite, migrated, empty, 3 s after start)",
            mib(self.at_rest.idle_rss_bytes)
        )?;
        if !self.soaked.is_empty() {
            writeln!(
                f,
                "\neverything at once: minutes, requests/s, p99 ms, errors, resident MiB, cache MiB"
            )?;
        }
        for look in &self.soaked {
            writeln!(
                f,
                "{:<17} {:>5.1} {:>9} {:>7} {:>6} {:>7} {:>6}",
                look.database,
                look.minutes,
                number(Some(look.requests_per_s), 0),
                number(look.p99_ms, 2),
                look.errors,
                number(Some(mib(look.rss_bytes)), 1),
                number(Some(mib(look.cache_bytes)), 1),
            )?;
        }
        if !self.faulty.is_empty() {
            writeln!(
                f,
                "\nwhile Redis: requests/s, p50 ms, p99 ms, the latter against all well, longest ms, errors"
            )?;
        }
        for seen in &self.faulty {
            writeln!(
                f,
                "{:<18} {:<20} {:>9} {:>7} {:>7} {:>6} {:>7} {:>6}",
                seen.workload,
                seen.redis,
                number(Some(seen.requests_per_s), 0),
                number(seen.p50_ms, 2),
                number(seen.p99_ms, 2),
                number(seen.p99_ratio, 2),
                number(Some(seen.max_ms), 1),
                seen.errors,
            )?;
        }
        if let Some(rate) = self.limiter_script_per_s {
            writeln!(
                f,
                "the limiter's script alone, by redis-benchmark over {} connections: {} calls/s",
                self.connections,
                number(Some(rate), 0)
            )?;
        }
        for (database, Imports { books_s, products_s }) in &self.imports {
            writeln!(
                f,
                "import on {database}: {} books in {books_s:.1} s, {} products in {products_s:.1} s",
                count(self.amounts.books),
                count(self.amounts.products),
            )?;
        }
        Ok(())
    }
}

fn table(f: &mut fmt::Formatter<'_>, rows: &[[String; COLUMNS.len()]]) -> fmt::Result {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([COLUMNS[column].chars().count()])
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let mut line = |cells: &[String; COLUMNS.len()]| {
        let mut text = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            text.push_str(&if column < WORDS {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            });
        }
        writeln!(f, "{}", text.trim_end())
    };
    line(&COLUMNS.map(str::to_owned))?;
    line(&widths.map(|width| "-".repeat(width)))?;
    rows.iter().try_for_each(line)
}

/// The middle of the values, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn count(of: usize) -> String {
    number(Some(of as f64), 0)
}

/// With `decimals` and commas between thousands; `-` for none.
fn number(value: Option<f64>, decimals: usize) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = match plain.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (plain.as_str(), String::new()),
    };
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(Some(1_234_567.0), 0), "1,234,567");
        assert_eq!(number(Some(999.46), 1), "999.5");
        assert_eq!(number(Some(1_000.0), 2), "1,000.00");
        assert_eq!(number(None, 2), "-");
    }
}
