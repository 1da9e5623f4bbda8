//! What is allowed: so many calls in so much time, counted in one of three ways.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::state::{Kind, Shape};

/// How many parts a sliding window is counted in. What a client that asks for all of its limit may
/// miss is one part: less than 1 %. (With 60 parts it was measured to miss 1.4 %.)
pub const SUB_BUCKETS: u32 = 120;

/// The largest limit of an exact log: it keeps every admission, and a key may take 2 KiB.
pub const MAX_EXACT: u32 = 150;

/// The longest window: 31 days.
pub const MAX_WINDOW: Duration = Duration::from_secs(31 * 24 * 3600);

/// The largest limit. Sums of costs stay far from the end of 32 bits.
const MAX_LIMIT: u32 = 1_000_000_000;

/// The script counts in doubles, which are whole up to 2^53.
const MAX_UNITS: u64 = 1 << 52;

const MAX_NAME: usize = 64;

/// How admissions are counted. None of them ever admits more than the limit in any trailing
/// window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Every admission is remembered for one window. Exact, and for limits up to [`MAX_EXACT`].
    Exact,
    /// The window in [`SUB_BUCKETS`] parts; a part counts whole until its last admission has left
    /// the window. A client that asks for all of the limit gets at least 99 % of it.
    Sliding,
    /// Smooth pacing: `burst` calls at once, then an even rate of `(limit - burst) / window`, so
    /// that burst and rate together stay within the limit.
    Gcra {
        /// How many calls may come at once: at least 1 and less than the limit.
        burst: u32,
    },
}

/// A named limit. Cheap to clone.
///
/// ```
/// use mainstay_limits::{Algorithm, Policy};
///
/// let policy = Policy::parse("login", "10/min exact strict")?;
/// assert_eq!((policy.limit(), policy.window().as_secs()), (10, 60));
/// assert_eq!(policy.algorithm(), Algorithm::Exact);
/// # Ok::<(), mainstay_limits::PolicyError>(())
/// ```
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    /// What clients call it; `name` if it is the same.
    shown: Arc<str>,
    limit: u32,
    window_s: u32,
    algorithm: Algorithm,
    strict: bool,
    lease: u32,
    shape: Shape,
    /// Identifies the counters of this policy: its name and how they are kept.
    tag: [u8; 16],
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The name can't stand in a header.
    #[error("a policy's name has 1 to {MAX_NAME} printable ASCII characters, not {0:?}")]
    Name(String),
    /// No `/`.
    #[error("{0:?} is no limit: write calls/window, such as 100/min or 5/15min")]
    NoWindow(String),
    /// What stands before the `/`.
    #[error("{0:?} is no number of calls: write a whole number from 1 to {MAX_LIMIT}")]
    Limit(String),
    /// What stands after the `/`.
    #[error("{0:?} is no window: write s, min, h or d, with a number before it if it is not 1 (15min)")]
    Window(String),
    /// Shorter than a second, or longer than [`MAX_WINDOW`].
    #[error("a window has 1 second to 31 days, in whole seconds")]
    WindowRange,
    /// A word after the window.
    #[error(
        "{0:?} is not known here: after the window come exact, sliding, gcra, burst=N, lease=N and strict"
    )]
    Word(String),
    /// Two algorithms.
    #[error("{0} and {1} can't be had at once")]
    TwoAlgorithms(&'static str, &'static str),
    /// An exact log of too many.
    #[error(
        "an exact log has a limit of at most {MAX_EXACT}, not {0}: leave `exact` out for a sliding window"
    )]
    ExactLimit(u32),
    /// `gcra` for a limit of one, or for a burst as large as the limit.
    #[error(
        "gcra with a limit of {limit} and a burst of {burst} leaves no steady rate: the burst must be at least 1 and less than the limit"
    )]
    Burst {
        /// The limit.
        limit: u32,
        /// The burst that was asked for.
        burst: u32,
    },
    /// `burst` of another algorithm.
    #[error("burst=N belongs to gcra")]
    BurstWithoutGcra,
    /// A burst over so long a window that whole numbers end.
    #[error("a burst of {0} is too large for so long a window")]
    BurstTooLong(u32),
    /// `lease` of another algorithm.
    #[error("lease=N belongs to a sliding window")]
    LeaseAlgorithm,
    /// A lease too large for its limit.
    #[error("lease={lease} must be from 1 to a hundredth of the limit, {limit}")]
    Lease {
        /// The lease that was asked for.
        lease: u32,
        /// The limit.
        limit: u32,
    },
}

impl Policy {
    /// A policy that is neither strict nor leased.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn new(name: &str, limit: u32, window: Duration, algorithm: Algorithm) -> Result<Self, PolicyError> {
        if window.subsec_nanos() != 0 {
            return Err(PolicyError::WindowRange);
        }
        build(name, limit, window.as_secs(), algorithm, false, None)
    }

    /// Reads `LIMIT/WINDOW` and words after it: `100/min`, `5/15min`, `20/s gcra burst=5`,
    /// `10/min exact strict`, `100000/h lease=50`.
    ///
    /// Units are `s`, `min`, `h` and `d`. Without a word the window is sliding. `gcra` alone has a
    /// burst of a tenth of the limit, rounded up. For `strict` see [`Policy::is_strict`], for
    /// `lease` [`Policy::lease`].
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let (quota, words) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let (limit_text, window_text) =
            quota.split_once('/').ok_or_else(|| PolicyError::NoWindow(text.to_owned()))?;
        let limit = number(limit_text).ok_or_else(|| PolicyError::Limit(limit_text.to_owned()))?;
        let window_s = window(window_text)?;

        let (mut chosen, mut burst, mut lease, mut strict) = (None, None, None, false);
        for word in words.split_whitespace() {
            let unknown = || PolicyError::Word(word.to_owned());
            match word.split_once('=') {
                None if word == "strict" => strict = true,
                None => {
                    let named = ["exact", "sliding", "gcra"].into_iter().find(|known| *known == word);
                    let named = named.ok_or_else(unknown)?;
                    if let Some(before) = chosen.replace(named).filter(|before| *before != named) {
                        return Err(PolicyError::TwoAlgorithms(before, named));
                    }
                }
                Some(("burst", count)) => burst = Some(number(count).ok_or_else(unknown)?),
                Some(("lease", count)) => lease = Some(number(count).ok_or_else(unknown)?),
                Some(_) => return Err(unknown()),
            }
        }
        let algorithm = match chosen {
            Some("gcra") => Algorithm::Gcra { burst: burst.unwrap_or(limit.div_ceil(10)) },
            _ if burst.is_some() => return Err(PolicyError::BurstWithoutGcra),
            Some("exact") => Algorithm::Exact,
            _ => Algorithm::Sliding,
        };
        build(name, limit, window_s, algorithm, strict, lease)
    }

    /// The same policy, never left open: see [`Policy::is_strict`].
    #[must_use]
    pub fn into_strict(self) -> Self {
        let inner = &self.0;
        let (name, shown) = (Arc::clone(&inner.name), Arc::clone(&inner.shown));
        Self(Arc::new(Inner { name, shown, strict: true, ..**inner }))
    }

    /// The same policy under another name for clients: what the operator tells apart may be one
    /// thing to them.
    ///
    /// # Errors
    /// [`PolicyError::Name`] for a name that can't stand in a header.
    pub fn shown_as(self, shown: &str) -> Result<Self, PolicyError> {
        check_name(shown)?;
        let inner = &self.0;
        Ok(Self(Arc::new(Inner { name: Arc::clone(&inner.name), shown: shown.into(), ..**inner })))
    }

    /// Its name, which its counters and metrics go by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name as clients see it; [`Policy::name`] unless it was [given another](Policy::shown_as).
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.0.shown
    }

    /// How much may be admitted in any trailing window, at least 1.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.0.limit
    }

    /// How much may be admitted at once, at best: the limit, for GCRA the burst.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.0.shape.capacity()
    }

    /// The window, in whole seconds.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.0.window_s.into())
    }

    /// How it is counted.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Whether it holds whatever happens: [`Fail::Open`](crate::Fail::Open) does not apply to it.
    /// For logins, password resets and transfers.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.0.strict
    }

    /// How many permits a node takes ahead in one round trip; 0 without leases.
    ///
    /// They are counted when they are taken, so there are never more than the limit; those that
    /// nobody uses lapse with their part of the window. Leases save round trips under load and
    /// may cost a client some of its limit, at most what the nodes hold at that moment.
    #[must_use]
    pub fn lease(&self) -> u32 {
        self.0.lease
    }

    pub(crate) fn shape(&self) -> Shape {
        self.0.shape
    }

    pub(crate) fn tag(&self) -> &[u8; 16] {
        &self.0.tag
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.0.name)
    }
}

fn build(
    name: &str,
    limit: u32,
    window_s: u64,
    algorithm: Algorithm,
    strict: bool,
    lease: Option<u32>,
) -> Result<Policy, PolicyError> {
    check_name(name)?;
    if limit == 0 || limit > MAX_LIMIT {
        return Err(PolicyError::Limit(limit.to_string()));
    }
    let window_s =
        u32::try_from(window_s).ok().filter(|s| (1..=MAX_WINDOW.as_secs()).contains(&u64::from(*s)));
    let window_s = window_s.ok_or(PolicyError::WindowRange)?;
    let window_ms = i64::from(window_s) * 1000;
    if let Some(lease) = lease {
        if algorithm != Algorithm::Sliding {
            return Err(PolicyError::LeaseAlgorithm);
        }
        if lease == 0 || lease > limit / 100 {
            return Err(PolicyError::Lease { lease, limit });
        }
    }
    let kind = match algorithm {
        Algorithm::Exact if limit > MAX_EXACT => return Err(PolicyError::ExactLimit(limit)),
        Algorithm::Exact => Kind::Log { parts: 0, ahead: false },
        Algorithm::Sliding => Kind::Log { parts: SUB_BUCKETS, ahead: lease.is_some() },
        Algorithm::Gcra { burst } if burst == 0 || burst >= limit => {
            return Err(PolicyError::Burst { limit, burst });
        }
        Algorithm::Gcra { burst } if u64::from(burst) * window_ms.unsigned_abs() > MAX_UNITS => {
            return Err(PolicyError::BurstTooLong(burst));
        }
        Algorithm::Gcra { burst } => Kind::Bucket { burst, drain: limit - burst },
    };
    let shape = Shape { limit, window_ms, kind };

    // Counters of another shape would be read wrongly: they get other keys. A changed limit keeps
    // its counters.
    let what = match kind {
        Kind::Log { parts: 0, .. } => "exact",
        Kind::Log { ahead: false, .. } => "sliding",
        Kind::Log { ahead: true, .. } => "leased",
        Kind::Bucket { .. } => "gcra",
    };
    let identity = format!("{what}/{window_s}/{name}");
    let mut tag = [0; 16];
    tag.copy_from_slice(&digest::digest(&digest::SHA256, identity.as_bytes()).as_ref()[..16]);

    let (name, lease) = (Arc::<str>::from(name), lease.unwrap_or(0));
    let shown = Arc::clone(&name);
    Ok(Policy(Arc::new(Inner { name, shown, limit, window_s, algorithm, strict, lease, shape, tag })))
}

fn check_name(name: &str) -> Result<(), PolicyError> {
    let good = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if good { Ok(()) } else { Err(PolicyError::Name(name.to_owned())) }
}

/// A whole number in digits, which `_` may group.
fn number(text: &str) -> Option<u32> {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    is_number.then(|| text.replace('_', "").parse().ok()).flatten()
}

/// A window in seconds.
fn window(text: &str) -> Result<u64, PolicyError> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
    let (count, unit) = text.split_at(digits);
    let wrong = || PolicyError::Window(text.to_owned());
    let seconds: u64 = match unit {
        "s" | "sec" | "second" | "seconds" => 1,
        "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let count = if count.is_empty() { 1 } else { number(count).ok_or_else(wrong)? };
    Ok(u64::from(count) * seconds)
}

impl fmt::Display for Policy {
    /// What [`Policy::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.window_s;
        let (count, unit) = [(24 * 3600, "d"), (3600, "h"), (60, "min")]
            .into_iter()
            .find(|(unit, _)| seconds.is_multiple_of(*unit))
            .map_or((seconds, "s"), |(unit, name)| (seconds / unit, name));
        write!(f, "{}/", self.0.limit)?;
        if count != 1 {
            write!(f, "{count}")?;
        }
        f.write_str(unit)?;
        match self.0.algorithm {
            Algorithm::Exact => f.write_str(" exact")?,
            Algorithm::Sliding => {}
            Algorithm::Gcra { burst } => write!(f, " gcra burst={burst}")?,
        }
        if self.0.lease > 0 {
            write!(f, " lease={}", self.0.lease)?;
        }
        if self.0.strict {
            f.write_str(" strict")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({:?}, {self})", self.name())
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.0, &other.0);
        one.name == two.name && one.shape == two.shape && (one.strict, one.lease) == (two.strict, two.lease)
    }
}

impl Eq for Policy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse("p", text)
    }

    #[test]
    fn policies_are_read_and_written() {
        for (text, limit, seconds, algorithm, canonical) in [
            ("100/min", 100, 60, Algorithm::Sliding, "100/min"),
            ("5/15min", 5, 900, Algorithm::Sliding, "5/15min"),
            ("1000/h", 1000, 3600, Algorithm::Sliding, "1000/h"),
            ("20/s", 20, 1, Algorithm::Sliding, "20/s"),
            (" 1_000/60s  sliding ", 1000, 60, Algorithm::Sliding, "1000/min"),
            ("100/min exact", 100, 60, Algorithm::Exact, "100/min exact"),
            ("10/2days strict exact", 10, 172_800, Algorithm::Exact, "10/2d exact strict"),
            ("100/min gcra", 100, 60, Algorithm::Gcra { burst: 10 }, "100/min gcra burst=10"),
            ("2/s gcra burst=1", 2, 1, Algorithm::Gcra { burst: 1 }, "2/s gcra burst=1"),
            ("5000/h lease=50", 5000, 3600, Algorithm::Sliding, "5000/h lease=50"),
        ] {
            let policy = parse(text).unwrap();
            assert_eq!(
                (policy.limit(), policy.window().as_secs(), policy.algorithm(), policy.to_string().as_str()),
                (limit, seconds, algorithm, canonical)
            );
            assert_eq!(parse(canonical).unwrap(), policy, "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, error) in [
            ("100", PolicyError::NoWindow("100".into())),
            ("", PolicyError::NoWindow(String::new())),
            ("0/min", PolicyError::Limit("0".into())),
            ("+5/min", PolicyError::Limit("+5".into())),
            ("_/min", PolicyError::Limit("_".into())),
            ("9999999999/min", PolicyError::Limit("9999999999".into())),
            ("many/min", PolicyError::Limit("many".into())),
            ("5/m", PolicyError::Window("m".into())),
            ("5/", PolicyError::Window(String::new())),
            ("5/1.5h", PolicyError::Window("1.5h".into())),
            ("5/0s", PolicyError::WindowRange),
            ("5/32d", PolicyError::WindowRange),
            ("5/min quick", PolicyError::Word("quick".into())),
            ("5/min lease=x", PolicyError::Word("lease=x".into())),
            ("5/min exact gcra", PolicyError::TwoAlgorithms("exact", "gcra")),
            ("151/min exact", PolicyError::ExactLimit(151)),
            ("1/min gcra", PolicyError::Burst { limit: 1, burst: 1 }),
            ("10/min gcra burst=10", PolicyError::Burst { limit: 10, burst: 10 }),
            ("10/min burst=1", PolicyError::BurstWithoutGcra),
            ("999999999/31d gcra burst=99999999", PolicyError::BurstTooLong(99_999_999)),
            ("100/min exact lease=1", PolicyError::LeaseAlgorithm),
            ("1000/min lease=11", PolicyError::Lease { lease: 11, limit: 1000 }),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text:?}");
        }
        assert_eq!(Policy::parse("bäume", "1/s").unwrap_err(), PolicyError::Name("bäume".into()));
        assert_eq!(
            Policy::new("p", 1, Duration::from_millis(1500), Algorithm::Exact).unwrap_err(),
            PolicyError::WindowRange
        );
        assert!(parse("5/fortnight").unwrap_err().to_string().contains("s, min, h or d"));
    }

    #[test]
    fn burst_and_rate_stay_within_the_limit() {
        for limit in [2, 3, 7, 10, 99, 100, 1000] {
            let policy = parse(&format!("{limit}/min gcra")).unwrap();
            let Kind::Bucket { burst, drain } = policy.shape().kind else { panic!("{policy:?}") };
            assert!(burst >= 1 && drain >= 1 && burst + drain <= limit);
        }
    }
}
