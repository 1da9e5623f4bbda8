use mainstay_core::Timestamp;

use crate::policy::Policy;
use crate::store::Tally;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The memory of this process, which is the store.
    Memory,
    /// Redis, in one round trip.
    Shared,
    /// This node, from permits that it took ahead.
    Lease,
    /// This node, which heard from Redis that the key is blocked until a moment not yet come.
    Blocked,
    /// This node alone with its share, while Redis is away.
    Local,
    /// Nobody: Redis is away, and the limiter is left open.
    Open,
    /// Nobody: Redis is away, and the limiter is closed.
    Closed,
}

impl Answer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Lease => "lease",
            Self::Blocked => "blocked",
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What one policy says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The policy.
    pub policy: Policy,
    /// Whether it has room for the call.
    pub admitted: bool,
    /// The limit; a node's share of it while that node decides alone.
    pub limit: u32,
    /// What is left, after this call if it was admitted.
    pub remaining: u32,
    /// Whole seconds until the window frees a place, rounded up; 0 if all places are free.
    pub reset: u32,
    /// `None` if admitted. Otherwise whole seconds until the call would be admitted if no other
    /// came, rounded up; never less than `reset`. `u32::MAX`: never, it costs more than the limit.
    pub retry_after: Option<u32>,
    /// When the store decided, by its own clock. Admissions are counted by these moments. For an
    /// answer without the store ([`Answer::Lease`], [`Answer::Blocked`], [`Answer::Open`],
    /// [`Answer::Closed`]) it is the store's last word or the epoch.
    pub at: Timestamp,
    /// Who decided.
    pub answer: Answer,
}

impl Decision {
    pub(crate) fn new(policy: &Policy, limit: u32, tally: &Tally, answer: Answer) -> Self {
        Self {
            policy: policy.clone(),
            admitted: tally.admitted,
            limit,
            remaining: tally.remaining,
            reset: seconds(tally.reset_ms),
            retry_after: (!tally.admitted).then(|| tally.retry_ms.map_or(u32::MAX, seconds)),
            at: Timestamp::from_millis(tally.at_ms),
            answer,
        }
    }
}

/// Milliseconds in whole seconds, rounded up.
pub(crate) fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// What several policies say to one call.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// One for each charge, in their order. When a key is known to be blocked, the others are not
    /// asked about, and missing: what is left of them is not known here.
    pub decisions: Vec<Decision>,
    /// The policies of the missing ones, with their places among the charges.
    pub(crate) unasked: Vec<(usize, Policy)>,
}

impl Verdict {
    /// Whether all policies have room. If not, none was charged.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.decisions.iter().all(|decision| decision.admitted)
    }

    /// The decision that the client should hear of: of those that refuse the one that does so
    /// longest, otherwise the one that leaves the least. `None` only if nothing was charged.
    #[must_use]
    pub fn tightest(&self) -> Option<&Decision> {
        self.decisions
            .iter()
            .filter(|decision| !decision.admitted)
            .max_by_key(|decision| decision.retry_after)
            .or_else(|| {
                let left = |decision: &&Decision| (decision.remaining, std::cmp::Reverse(decision.reset));
                self.decisions.iter().min_by_key(left)
            })
    }

    /// The policies that the call is under, in the order of the charges.
    #[must_use]
    pub fn policies(&self) -> Vec<&Policy> {
        let mut policies: Vec<&Policy> = self.decisions.iter().map(|decision| &decision.policy).collect();
        for (place, policy) in &self.unasked {
            policies.insert(*place, policy);
        }
        policies
    }

    /// The policies that refuse, as far as they were asked.
    pub fn violated(&self) -> impl Iterator<Item = &Policy> {
        self.decisions.iter().filter(|decision| !decision.admitted).map(|decision| &decision.policy)
    }
}
