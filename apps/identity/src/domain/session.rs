use mainstay_core::{Sorting, Timestamp};

use super::SessionId;

/// Where somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user_agent: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
    /// When it ends if it is not used again.
    pub(crate) expires_at: Timestamp,
}

/// The orders of the list of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionOrder {
    /// By the moment they were last used.
    LastUsedAt,
}

impl Sorting for SessionOrder {
    const ALL: &'static [(&'static str, Self)] = &[("last_used_at", Self::LastUsedAt)];
    const DEFAULT: (Self, bool) = (Self::LastUsedAt, true);
}
