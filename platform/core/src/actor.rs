//! Who acts: carried by every change into the database, the audit log and events.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{ServiceId, UserId};

/// The id of one request, in every log line and every problem.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Takes an id that came from outside: 1 to 128 visible ASCII characters.
    /// `None` if it is not that.
    #[must_use]
    pub fn accept(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// Makes an id from 16 random bytes: 32 hexadecimal digits.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(32);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a String takes any text");
        }
        Self(text.into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of actor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorKind {
    /// A request without a sign-in.
    Anonymous,
    /// A signed-in person.
    User(UserId),
    /// Another program, with a credential of its own.
    Service(ServiceId),
    /// Mainstay itself or its operator: a command, a job, a migration. The text names which.
    System(&'static str),
}

/// Who acts, in which request and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub kind: ActorKind,
    /// In which request. `None` outside of one.
    pub request_id: Option<RequestId>,
    /// From which address, after trusted proxies. `None` outside of a request.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// The system itself, acting through the part of this name.
    #[must_use]
    pub const fn system(part: &'static str) -> Self {
        Self { kind: ActorKind::System(part), request_id: None, address: None }
    }

    /// The user who acts, if a user does.
    #[must_use]
    pub const fn user_id(&self) -> Option<UserId> {
        match self.kind {
            ActorKind::User(id) => Some(id),
            ActorKind::Anonymous | ActorKind::Service(_) | ActorKind::System(_) => None,
        }
    }
}

/// As events and the audit log name it: `anonymous`, `user/…`, `service/…` or `system/…`.
impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::User(id) => write!(f, "user/{id}"),
            Self::Service(id) => write!(f, "service/{id}"),
            Self::System(part) => write!(f, "system/{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_from_outside_is_visible_ascii_of_bounded_length() {
        assert!(RequestId::accept("abc-123").is_some());
        assert!(RequestId::accept(&"x".repeat(128)).is_some());
        for bad in ["", " ", "a b", "line\nbreak", "ü", &"x".repeat(129)] {
            assert!(RequestId::accept(bad).is_none(), "{bad:?}");
        }
    }
}
