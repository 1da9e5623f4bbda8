//! What the kernel knows about a process: CPU time and memory from `/proc`.

use std::{collections::HashMap, fs, io, time::Duration};

/// Linux reports CPU times to user space in hundredths of a second, whatever
/// its own tick (`USER_HZ`, `proc(5)`).
const TICKS_PER_S: f64 = 100.0;

/// CPU time of all threads of `pid`, ended ones included, user and system.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    Ok(read_stat(pid)?.own)
}

/// A process and its descendants, such as PostgreSQL's postmaster and backends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessTree {
    pub(crate) root: u32,
}

impl ProcessTree {
    /// CPU time of the root, its living descendants, and those already waited
    /// for: it never runs backwards when a child ends.
    pub(crate) fn cpu_time(self) -> io::Result<Duration> {
        let mut stats = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while the list is read.
            if let Ok(stat) = read_stat(pid) {
                stats.insert(pid, stat);
            }
        }
        let root = stats
            .get(&self.root)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the service has ended"))?;
        let mut sum = root.own + root.waited_for;
        let mut parents = vec![self.root];
        while let Some(parent) = parents.pop() {
            for (pid, stat) in stats.iter().filter(|(_, stat)| stat.parent == parent) {
                sum += stat.own + stat.waited_for;
                parents.push(*pid);
            }
        }
        Ok(sum)
    }
}

/// The process's parent.
pub(crate) fn parent(pid: u32) -> io::Result<u32> {
    Ok(read_stat(pid)?.parent)
}

/// The process's short name (`comm`).
pub(crate) fn name(pid: u32) -> io::Result<String> {
    Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end().to_owned())
}

/// The most memory that was resident at once, in bytes (`VmHWM`).
pub(crate) fn peak_rss(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// The memory that is resident now, in bytes (`VmRSS`).
pub(crate) fn rss(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// Lets [`peak_rss`] start anew from what is resident now.
pub(crate) fn reset_peak_rss(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The machine, as far as it explains a figure.
pub(crate) fn machine() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| "unknown CPU".to_owned(), |(_, model)| model.to_owned());
    let memory_kib = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(kib)
        .unwrap_or_default();
    serde_json::json!({
        "cores": cores(),
        "cpu": cpu,
        "memory_mib": memory_kib / 1024,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

/// CPU time of the whole machine since boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineCpu {
    /// Spent by processes; interrupts are nobody's and not in it.
    pub(crate) processes: Duration,
    /// Wanted, but given to another machine by the hypervisor.
    pub(crate) stolen: Duration,
}

pub(crate) fn machine_cpu() -> io::Result<MachineCpu> {
    let text = fs::read_to_string("/proc/stat")?;
    parse_machine_cpu(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat"))
}

fn parse_machine_cpu(text: &str) -> Option<MachineCpu> {
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let field = |at: usize| fields.get(at).copied();
    Some(MachineCpu { processes: ticks(field(0)? + field(1)? + field(2)?), stolen: ticks(field(7)?) })
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

struct Stat {
    parent: u32,
    own: Duration,
    waited_for: Duration,
}

fn read_stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc stat"))
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, so count from its end.
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        own: ticks(field(14)? + field(15)?),
        waited_for: ticks(field(16)? + field(17)?),
    })
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_S)
}

fn status_bytes(pid: u32, key: &str) -> io::Result<u64> {
    fs::read_to_string(format!("/proc/{pid}/status"))?
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(kib)
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such line in /proc status"))
}

fn kib(value: &str) -> Option<u64> {
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let stat = parse_stat("77 (a) b (c)) S 12 77 77 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 9 0 100 1 1")
            .unwrap();
        assert_eq!(stat.parent, 12);
        assert_eq!(stat.own, Duration::from_secs(2));
        assert_eq!(stat.waited_for, Duration::from_millis(500));
    }

    #[test]
    fn the_machines_line_is_read() {
        let cpu = parse_machine_cpu("cpu  100 20 30 900 7 1 2 50 0 0\ncpu0 1 1 1").unwrap();
        assert_eq!(cpu.processes, Duration::from_millis(1_500));
        assert_eq!(cpu.stolen, Duration::from_millis(500));
    }

    #[test]
    fn this_process_can_be_measured() {
        let me = std::process::id();
        assert!(rss(me).unwrap() > 100_000);
        assert!(peak_rss(me).unwrap() >= rss(me).unwrap() / 2);
        let spent = cpu_time(me).unwrap();
        assert!(ProcessTree { root: me }.cpu_time().unwrap() >= spent);
    }
}
