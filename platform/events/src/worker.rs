//! Background work: loops that look, work, and wait to be woken.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_db::{Db, Listener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Leases;

/// Any error of background work, for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a worker does after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There was work and may be more: look again at once.
    Again,
    /// There was none: wait to be woken.
    Wait,
    /// There is none for that long.
    After(Duration),
}

type Run = Arc<dyn Fn() -> BoxFuture<'static, Result<Next, BoxError>> + Send + Sync>;

/// A loop of background work.
#[derive(Clone)]
pub struct Worker {
    name: &'static str,
    topic: Option<&'static str>,
    run: Run,
}

impl Worker {
    /// A worker that does one portion of its work each time `run` is called.
    pub fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Next, BoxError>> + Send + 'static,
    {
        Self { name, topic: None, run: Arc::new(move || Box::pin(run())) }
    }

    /// Woken by this topic of the database's [`Signals`](mainstay_db::Signals), besides looking
    /// by itself from time to time.
    #[must_use]
    pub fn woken_by(mut self, topic: &'static str) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Its name, in logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Does one portion.
    ///
    /// # Errors
    /// Whatever stopped it, a panic too: the loop goes on.
    pub async fn run_once(&self) -> Result<Next, BoxError> {
        let run = async { (self.run)().await };
        AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| Err(panic_text(&*panic).into()))
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.name)
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a message"))
}

/// An error and what it stems from, as it is kept in a row: a page of it at most, because it may
/// quote what it was given, and without NUL, which PostgreSQL's texts can't hold.
pub(crate) fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Some errors repeat their cause in their own text.
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text.chars().take(2000).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Workers that run until they are stopped. Dropped, they are cut off where they
/// are; what they were at is rolled back and goes on elsewhere when their leases run out.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    leases: Leases,
}

/// Runs `workers` in the background. `poll` is how long one waits at most before it looks by itself.
#[must_use]
pub fn start(workers: Vec<Worker>, db: &Db, leases: Leases, poll: Duration) -> Running {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for worker in workers {
        let listener = worker.topic.map(|topic| db.signals().listen(topic));
        tasks.spawn(work(worker, listener, poll, stopped.clone()));
    }
    Running { tasks, stop, leases }
}

impl Running {
    /// Lets each finish what it is at, and gives their leases back.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("background work did not stop in time; it is cut off and goes on elsewhere");
            self.tasks.shutdown().await;
        }
        if let Err(error) = self.leases.give_back().await {
            tracing::debug!(%error, "the leases run out by themselves");
        }
    }
}

async fn work(
    worker: Worker,
    mut listener: Option<Listener>,
    poll: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failures = 0_u32;
    while !*stopped.borrow() {
        let pause = match worker.run_once().await {
            Ok(next) => {
                failures = 0;
                match next {
                    Next::Again => continue,
                    Next::Wait => poll,
                    Next::After(pause) => pause,
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                // One line when it begins; then it says so only now and then.
                if failures.is_power_of_two() {
                    tracing::warn!(worker = worker.name, %error, failures, "background work failed");
                }
                poll.max(Duration::from_millis(100)) * failures.min(10)
            }
        };
        let woken = async {
            match &mut listener {
                // While it fails, being woken would only make it fail more often.
                Some(listener) if failures == 0 => listener.woken_within(pause).await,
                _ => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            () = woken => {}
            _ = stopped.changed() => {}
        }
    }
}
