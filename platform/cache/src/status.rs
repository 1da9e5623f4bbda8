//! What `Cache-Status` (RFC 9211) says of an answer.

use std::fmt;

use http::HeaderValue;

/// How a read was served. Its text is a member of the header field `Cache-Status` (RFC 9211):
/// `mainstay; hit; ttl=42; detail=memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// Who had the value.
    pub source: Source,
    /// How much longer it is fresh, in milliseconds; negative if it was served stale.
    pub ttl_ms: i64,
    /// Whether another call's load was waited for.
    pub collapsed: bool,
}

/// Who had a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This process.
    Memory,
    /// Redis.
    Redis,
    /// Nobody: it was loaded.
    Loader,
    /// Somebody, but too old: it was loaded.
    LoaderAgain,
    /// This process, because the loader failed.
    Spare,
    /// The cache is off.
    Bypass,
}

impl CacheStatus {
    /// Whether no load was waited for.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(self.source, Source::Memory | Source::Redis | Source::Spare)
    }

    /// As the value of the header field.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("words and numbers")
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded down, as ages are rounded up.
        let ttl = self.ttl_ms.div_euclid(1000);
        let collapsed = if self.collapsed { "; collapsed" } else { "" };
        match self.source {
            Source::Memory => write!(f, "mainstay; hit; ttl={ttl}; detail=memory"),
            Source::Redis => write!(f, "mainstay; hit; ttl={ttl}; detail=redis"),
            Source::Spare => write!(f, "mainstay; hit; ttl={ttl}; detail=source-failed"),
            Source::Loader => write!(f, "mainstay; fwd=uri-miss; ttl={ttl}{collapsed}"),
            Source::LoaderAgain => write!(f, "mainstay; fwd=stale; ttl={ttl}{collapsed}"),
            Source::Bypass => write!(f, "mainstay; fwd=bypass{collapsed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_standard() {
        let status = |source, ttl_ms, collapsed| CacheStatus { source, ttl_ms, collapsed }.header();
        assert_eq!(status(Source::Memory, 42_900, false), "mainstay; hit; ttl=42; detail=memory");
        assert_eq!(status(Source::Memory, -100, false), "mainstay; hit; ttl=-1; detail=memory");
        assert_eq!(status(Source::Loader, 1000, true), "mainstay; fwd=uri-miss; ttl=1; collapsed");
        assert_eq!(status(Source::LoaderAgain, 1000, false), "mainstay; fwd=stale; ttl=1");
    }
}
