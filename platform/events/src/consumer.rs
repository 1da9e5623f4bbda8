//! Who wants to know of events.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::{Event, event};
use mainstay_db::WriteUnit;

use crate::BoxError;

/// Reacts to events. The reaction is what it writes in `unit`, nothing else: it
/// commits together with the note that this event was seen, so that it takes effect
/// exactly once, however often the event is delivered.
///
/// What can't be rolled back (a mail, a call to another server) is prepared here as a
/// row, and done by a [`Worker`](crate::Worker) that repeats it until it succeeded.
#[async_trait]
pub trait Handle: Send + Sync + 'static {
    /// Reacts to one event. An error rolls the unit back; the event comes again later.
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError>;
}

/// A consumer of events: its name, what it wants, and what it does.
#[derive(Clone)]
pub struct Consumer {
    name: &'static str,
    kinds: &'static [&'static str],
    handler: Arc<dyn Handle>,
}

impl Consumer {
    /// A consumer. `name` is `app.purpose` and never changes: what it has seen is
    /// remembered under it. `kinds` are kinds of events, or `user.*` for a whole family.
    pub fn new(name: &'static str, kinds: &'static [&'static str], handler: impl Handle) -> Self {
        Self { name, kinds, handler: Arc::new(handler) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it wants events of this kind.
    #[must_use]
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.iter().any(|pattern| event::matches(pattern, kind))
    }

    pub(crate) fn handler(&self) -> &dyn Handle {
        &*self.handler
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name)
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}
