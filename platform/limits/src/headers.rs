//! Limits in the headers of an answer: the IETF draft's `RateLimit-Policy` and `RateLimit`, which
//! are structured fields (RFC 9651), and the older `X-RateLimit-*`.

use std::fmt::{self, Display, Write};

use crate::decision::{Decision, Verdict};
use crate::policy::Policy;

/// `RateLimit-Policy`: the policies that a call is under.
pub const RATELIMIT_POLICY: &str = "ratelimit-policy";
/// `RateLimit`: what is left of them.
pub const RATELIMIT: &str = "ratelimit";
/// `X-RateLimit-Limit`: the limit of the tightest policy.
pub const X_RATELIMIT_LIMIT: &str = "x-ratelimit-limit";
/// `X-RateLimit-Remaining`: what is left of it.
pub const X_RATELIMIT_REMAINING: &str = "x-ratelimit-remaining";
/// `X-RateLimit-Reset`: seconds until its window frees a place.
pub const X_RATELIMIT_RESET: &str = "x-ratelimit-reset";
/// `Retry-After`: seconds until a refused call would be admitted.
pub const RETRY_AFTER: &str = "retry-after";

/// The value of `RateLimit-Policy`: `"default";q=100;w=60`, one member for each policy.
#[must_use]
pub fn policies<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> String {
    members(policies.into_iter().map(|policy| {
        format!("{};q={};w={}", Quoted(policy.shown()), policy.limit(), policy.window().as_secs())
    }))
}

/// The value of `RateLimit`: `"default";r=42;t=17`, one member for each decision. Without `t` if
/// all of the limit is left.
#[must_use]
pub fn limits<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> String {
    members(decisions.into_iter().map(|decision| {
        let mut member = String::new();
        write_limit(&mut member, &decision.policy, decision.remaining, decision.reset);
        member
    }))
}

/// Writes one member of `RateLimit`.
pub fn write_limit(to: &mut String, policy: &Policy, remaining: u32, reset: u32) {
    let text = "a String takes any text";
    write!(to, "{};r={remaining}", Quoted(policy.shown())).expect(text);
    if reset > 0 {
        write!(to, ";t={reset}").expect(text);
    }
}

/// The headers of one answer, as names in lower case with their values. `Retry-After` is among them
/// if the call was refused and could ever be admitted. None at all if nothing was charged.
///
/// `RateLimit-Policy` has all policies of the call, `RateLimit` those that were asked
/// ([`Verdict::decisions`]).
#[must_use]
pub fn all(verdict: &Verdict) -> Vec<(&'static str, String)> {
    let Some(tightest) = verdict.tightest() else { return Vec::new() };
    let mut headers = vec![
        (RATELIMIT_POLICY, policies(verdict.policies())),
        (RATELIMIT, limits(&verdict.decisions)),
        (X_RATELIMIT_LIMIT, tightest.limit.to_string()),
        (X_RATELIMIT_REMAINING, tightest.remaining.to_string()),
        (X_RATELIMIT_RESET, tightest.reset.to_string()),
    ];
    if let Some(seconds) = tightest.retry_after.filter(|seconds| *seconds != u32::MAX) {
        headers.push((RETRY_AFTER, seconds.to_string()));
    }
    headers
}

/// A String of structured fields. A policy's name has only characters that one may have.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

fn members(members: impl Iterator<Item = String>) -> String {
    members.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use mainstay_core::Timestamp;

    use super::*;
    use crate::decision::Answer;

    fn decision(name: &str, text: &str, remaining: u32, reset: u32, retry_after: Option<u32>) -> Decision {
        let policy = Policy::parse(name, text).unwrap();
        Decision {
            limit: policy.limit(),
            policy,
            admitted: retry_after.is_none(),
            remaining,
            reset,
            retry_after,
            at: Timestamp::default(),
            answer: Answer::Memory,
        }
    }

    fn verdict(decisions: Vec<Decision>) -> Verdict {
        Verdict { decisions, unasked: Vec::new() }
    }

    #[test]
    fn headers_are_those_of_the_draft() {
        let verdict = verdict(vec![
            decision("default", "100/min", 42, 17, None),
            decision("login", "5/15min exact", 0, 3, Some(9)),
        ]);
        assert_eq!(
            all(&verdict),
            [
                ("ratelimit-policy", r#""default";q=100;w=60, "login";q=5;w=900"#.to_owned()),
                ("ratelimit", r#""default";r=42;t=17, "login";r=0;t=3"#.to_owned()),
                ("x-ratelimit-limit", "5".to_owned()),
                ("x-ratelimit-remaining", "0".to_owned()),
                ("x-ratelimit-reset", "3".to_owned()),
                ("retry-after", "9".to_owned()),
            ]
        );
    }

    #[test]
    fn the_tightest_speaks_for_the_others() {
        let name = |verdict: &Verdict| verdict.tightest().map(|decision| decision.policy.name().to_owned());
        let loose = decision("loose", "100/min", 42, 17, None);
        let tight = decision("tight", "10/min", 4, 60, None);
        let refused = decision("refused", "10/min", 0, 5, Some(5));
        let longer = decision("longer", "10/h", 3, 0, Some(600));
        assert_eq!(name(&verdict(vec![])), None);
        assert_eq!(name(&verdict(vec![loose.clone(), tight.clone()])).as_deref(), Some("tight"));
        let all = verdict(vec![tight, refused, longer, loose]);
        assert_eq!(name(&all).as_deref(), Some("longer"));
        assert!(!all.is_admitted());
        assert_eq!(all.violated().map(Policy::name).collect::<Vec<_>>(), ["refused", "longer"]);
    }

    #[test]
    fn names_are_strings_of_structured_fields() {
        let policy = Policy::parse(r#"a "b" \c"#, "1/s").unwrap();
        assert_eq!(policies([&policy]), r#""a \"b\" \\c";q=1;w=1"#);
        let untouched = decision("d", "10/min", 10, 0, None);
        assert_eq!(limits([&untouched]), r#""d";r=10"#);
        assert_eq!(policies([]), "");
    }

    #[test]
    fn a_policy_has_the_name_that_it_is_shown_by() {
        let policy = Policy::parse("anonymous", "100/min").unwrap().shown_as("default").unwrap();
        assert_eq!(policies([&policy]), r#""default";q=100;w=60"#);
        assert_eq!((policy.name(), policy.clone().into_strict().shown()), ("anonymous", "default"));
        assert!(Policy::parse("p", "1/s").unwrap().shown_as("").is_err());
    }

    #[test]
    fn what_can_never_be_admitted_is_not_worth_a_retry() {
        let verdict = verdict(vec![decision("d", "10/min", 10, 0, Some(u32::MAX))]);
        assert!(all(&verdict).iter().all(|(name, _)| *name != RETRY_AFTER));
    }
}
