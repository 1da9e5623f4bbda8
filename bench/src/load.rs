//! The load generator: a closed loop of keep-alive connections, in a process
//! of its own so that its CPU time is not the server's.
//!
//! It knows no workload. It gets a [`Plan`] with ready-made requests on
//! standard input and answers with a [`Tally`] on standard output.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{histogram::Histogram, process, response::ResponseReader};

/// How long answers may be late after the last request was sent.
const GRACE: Duration = Duration::from_secs(10);
/// Room for the longest head and for most of a body in one read.
const BUFFER_BYTES: usize = 64 * 1024;

/// What to send, where, and for how long.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) connections: usize,
    /// Load without measuring, before the measured time.
    pub(crate) warmup_ms: u64,
    pub(crate) measured_ms: u64,
    pub(crate) expected_status: u16,
    /// Whole requests as they go on the wire, walked in order by every
    /// connection, each from a place of its own.
    pub(crate) requests: Vec<String>,
}

/// What came back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Requests with the expected answer per second of the measured time.
    pub(crate) requests_per_s: f64,
    /// Answers with the expected status, warm-up and stragglers included: what
    /// the server's CPU time over the whole load is divided by.
    pub(crate) answered: u64,
    /// Latency of requests that began within the measured time; absent when
    /// none of them was answered.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p90_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: f64,
    /// Bytes of body per answer, on average.
    pub(crate) body_bytes: f64,
    /// Wrong statuses, broken connections and answers that never came; warm-up
    /// included.
    pub(crate) errors: u64,
    /// The errors by kind: `status 429`, `io: connection reset`, `no answer`.
    pub(crate) error_kinds: BTreeMap<String, u64>,
    /// The load generator's own CPU time from start to end, in seconds.
    pub(crate) client_cpu_s: f64,
}

/// Reads a plan, carries it out, prints the tally.
pub(crate) async fn main() -> Result<()> {
    let mut text = String::new();
    tokio::io::stdin().read_to_string(&mut text).await?;
    let plan: Plan = serde_json::from_str(&text).context("reading the plan")?;
    let tally = run(plan).await?;
    println!("{}", serde_json::to_string(&tally)?);
    Ok(())
}

async fn run(plan: Plan) -> Result<Tally> {
    ensure!(!plan.requests.is_empty(), "a plan without requests");
    ensure!(plan.connections > 0, "a plan without connections");
    let plan = Arc::new(plan);
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        streams.push(Connection::open(plan.target).await.context("connecting")?);
    }

    let begin = Instant::now();
    let window_begin = begin + Duration::from_millis(plan.warmup_ms);
    let window_end = window_begin + Duration::from_millis(plan.measured_ms);
    let mut drivers = JoinSet::new();
    for (number, connection) in streams.into_iter().enumerate() {
        let mut driver = Driver {
            next: number * plan.requests.len() / plan.connections,
            plan: Arc::clone(&plan),
            window_begin,
            window_end,
            count: Count::default(),
            latencies: Histogram::new(),
        };
        drivers.spawn(async move {
            // One timer for the connection's whole life, not one a request:
            // an answer that never comes is noticed at the end.
            let cutoff = tokio::time::Instant::from_std(window_end + GRACE);
            if tokio::time::timeout_at(cutoff, driver.drive(connection)).await.is_err() {
                driver.count.fail("no answer".to_owned());
            }
            (driver.count, driver.latencies)
        });
    }

    let (mut count, mut latencies) = (Count::default(), Histogram::new());
    while let Some(driver) = drivers.join_next().await {
        let (its_count, its_latencies) = driver.context("a connection's task")?;
        count.add(its_count);
        latencies.merge(&its_latencies);
    }

    let ms = |quantile| latencies.quantile(quantile).map(|latency| latency.as_secs_f64() * 1e3);
    let cpu = process::cpu_time(std::process::id()).context("reading own CPU time")?;
    let answered = count.answered.max(1) as f64;
    Ok(Tally {
        requests_per_s: count.in_window as f64 / (plan.measured_ms as f64 / 1e3),
        answered: count.answered,
        p50_ms: ms(0.50),
        p90_ms: ms(0.90),
        p99_ms: ms(0.99),
        max_ms: latencies.max().as_secs_f64() * 1e3,
        body_bytes: count.body_bytes as f64 / answered,
        errors: count.errors.values().sum(),
        error_kinds: count.errors,
        client_cpu_s: cpu.as_secs_f64(),
    })
}

#[derive(Default)]
struct Count {
    answered: u64,
    in_window: u64,
    body_bytes: u64,
    errors: BTreeMap<String, u64>,
}

impl Count {
    fn fail(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.in_window += other.in_window;
        self.body_bytes += other.body_bytes;
        for (kind, times) in other.errors {
            *self.errors.entry(kind).or_default() += times;
        }
    }
}

/// One connection's closed loop: the next request goes out when the answer is in.
struct Driver {
    plan: Arc<Plan>,
    next: usize,
    window_begin: Instant,
    window_end: Instant,
    count: Count,
    latencies: Histogram,
}

impl Driver {
    async fn drive(&mut self, connection: Connection) {
        let mut current = Some(connection);
        let mut began = Instant::now();
        while began < self.window_end {
            let mut connection = match current.take() {
                Some(connection) => connection,
                None => match Connection::open(self.plan.target).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        self.count.fail(format!("connect: {error}"));
                        // A server that is gone must not be asked in a tight loop.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        began = Instant::now();
                        continue;
                    }
                },
            };
            let request = self.plan.requests[self.next].as_bytes();
            self.next = (self.next + 1) % self.plan.requests.len();

            let outcome = connection.exchange(request).await;
            let ended = Instant::now();
            match outcome {
                Ok(answer) => {
                    if began >= self.window_begin {
                        self.latencies.record(ended - began);
                    }
                    if answer.status == self.plan.expected_status {
                        self.count.answered += 1;
                        self.count.body_bytes += answer.body_bytes;
                        if ended >= self.window_begin && ended < self.window_end {
                            self.count.in_window += 1;
                        }
                    } else {
                        self.count.fail(format!("status {}", answer.status));
                    }
                    if answer.reusable {
                        current = Some(connection);
                    }
                }
                Err(error) => self.count.fail(format!("io: {error}")),
            }
            began = ended;
        }
    }
}

struct Answer {
    status: u16,
    body_bytes: u64,
    reusable: bool,
}

struct Connection {
    stream: TcpStream,
    reader: ResponseReader,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    async fn open(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reader: ResponseReader::new(), buffer: vec![0; BUFFER_BYTES], filled: 0 })
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.reader.reset();
        loop {
            if self.filled == self.buffer.len() {
                return Err(io::Error::new(ErrorKind::InvalidData, "a head too long"));
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
            if read == 0 {
                if self.reader.complete_at_eof() {
                    break;
                }
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.filled += read;
            let progress = self
                .reader
                .advance(&self.buffer[..self.filled], |_| {})
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            self.buffer.copy_within(progress.consumed..self.filled, 0);
            self.filled -= progress.consumed;
            if progress.done {
                break;
            }
        }
        Ok(Answer {
            status: self.reader.status(),
            body_bytes: self.reader.body_bytes(),
            // Bytes behind the answer that nobody asked for: out of step.
            reusable: !self.reader.closes() && self.filled == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn plan(target: SocketAddr, expected_status: u16) -> Plan {
        Plan {
            target,
            connections: 3,
            warmup_ms: 50,
            measured_ms: 200,
            expected_status,
            requests: vec!["GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()],
        }
    }

    /// Answers every request on every connection with `answer`.
    async fn server(tasks: &mut JoinSet<()>, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                clients.spawn(async move {
                    let mut scrap = [0; 1024];
                    while matches!(stream.read(&mut scrap).await, Ok(read) if read > 0) {
                        if stream.write_all(answer.as_bytes()).await.is_err() || answer.contains("close") {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn right_answers_are_counted_and_timed() {
        let mut tasks = JoinSet::new();
        let target = server(&mut tasks, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let tally = run(plan(target, 200)).await.unwrap();
        assert_eq!(tally.errors, 0, "{tally:?}");
        assert!(tally.answered as f64 >= tally.requests_per_s * 0.2);
        assert!(tally.requests_per_s > 100.0 && tally.p50_ms <= tally.p99_ms);
        assert!((tally.body_bytes - 2.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn a_wrong_status_is_an_error() {
        let mut tasks = JoinSet::new();
        let target = server(&mut tasks, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").await;
        let tally = run(plan(target, 200)).await.unwrap();
        assert_eq!(tally.answered, 0);
        assert_eq!(tally.error_kinds["status 404"], tally.errors);
    }

    #[tokio::test]
    async fn a_closed_connection_is_opened_again_without_an_error() {
        let mut tasks = JoinSet::new();
        let target =
            server(&mut tasks, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        let tally = run(plan(target, 200)).await.unwrap();
        assert_eq!(tally.errors, 0, "{tally:?}");
        assert!(tally.answered > 3);
    }
}
