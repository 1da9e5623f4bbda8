//! Rate limits before the handlers: which policies a call is under, whom it is counted for, and
//! what the answer says of it.
//!
//! What can be known before a request comes is worked out when the stack is built: each route
//! holds the policies of its group for each kind of caller, and each policy its header values.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mainstay_auth::{Principal, SignedIn, Via};
use mainstay_core::Problem;
use mainstay_core::problem::{RATE_LIMITED, UNAVAILABLE};
use mainstay_limits::{
    Answer, Callers, Charge, CountBy, Decision, Key, Limiter, LimitsConfig, Policy, PolicyError, Verdict,
    headers,
};

use crate::RouteInfo;

mainstay_core::setting_words! {
    /// Which of the platform's limits a route is under, besides that of its caller.
    pub enum RouteGroup {
        /// None further.
        Default = "default",
        /// `limits.auth`: passwords and tokens can be guessed at there, or mails be sent. Of a page
        /// only what is sent to it, not looking at it.
        Auth = "auth",
        /// `limits.uploads`.
        Uploads = "uploads",
        /// No limit at all, and no count: for monitors, and for what pages are made of.
        Unlimited = "unlimited",
    }
}

impl RouteGroup {
    /// Its name in settings: `auth`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Auth => "auth",
            Self::Uploads => "uploads",
            Self::Unlimited => "unlimited",
        }
    }
}

/// The limits of one server. Cheap to clone.
#[derive(Clone)]
pub struct RateLimits(Arc<Inner>);

struct Inner {
    limiter: Limiter,
    anonymous: Option<Rate>,
    signed_in: Option<Rate>,
    services: Option<Rate>,
    auth: Option<Rate>,
    uploads: Option<Rate>,
    named: HashMap<String, Named>,
    /// Policies that API keys were given and that are no more: those that were warned of.
    missed: Mutex<BTreeSet<Arc<str>>>,
}

/// A policy with what its headers say whatever the count is.
#[derive(Clone)]
struct Rate(Arc<RateParts>);

struct RateParts {
    policy: Policy,
    policy_value: HeaderValue,
    limit_value: HeaderValue,
}

struct Named {
    rate: Rate,
    routes: Vec<String>,
    callers: Callers,
    by: CountBy,
}

impl Rate {
    fn new(policy: Policy) -> Self {
        let policy_value = headers::policies([&policy]);
        // A policy's name has only characters that a header may have.
        let policy_value = HeaderValue::try_from(policy_value).unwrap_or(HeaderValue::from_static(""));
        let limit_value = policy.limit().into();
        Self(Arc::new(RateParts { policy, policy_value, limit_value }))
    }

    fn policy(&self) -> &Policy {
        &self.0.policy
    }
}

impl RateLimits {
    /// The limits of this configuration, counted by `limiter`. `None` if they are switched off.
    ///
    /// # Errors
    /// [`PolicyError`] for a configuration whose faults were not heeded.
    pub fn new(config: &LimitsConfig, limiter: Limiter) -> Result<Option<Self>, PolicyError> {
        let settings = &config.settings;
        if !settings.enabled {
            return Ok(None);
        }
        let rate = |policy: Option<Policy>| policy.map(Rate::new);
        let mut named = HashMap::new();
        for (name, policy) in &config.policies {
            let Some(limit) = &policy.limit else { continue };
            if let Some(rate) = rate(limit.policy(name, name)?) {
                let (routes, callers, by) = (policy.routes.clone(), policy.callers, policy.by);
                named.insert(name.clone(), Named { rate, routes, callers, by });
            }
        }
        Ok(Some(Self(Arc::new(Inner {
            limiter,
            // One name for clients: there is one that they are under, and its numbers say which.
            anonymous: rate(settings.anonymous.policy("anonymous", "default")?),
            signed_in: rate(settings.signed_in.policy("signed_in", "default")?),
            services: rate(settings.services.policy("services", "default")?),
            auth: rate(settings.auth.guarded_policy("auth")?),
            uploads: rate(settings.uploads.policy("uploads", "uploads")?),
            named,
            missed: Mutex::default(),
        }))))
    }

    /// What decides.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// What is wrong with the routes that policies name, where there are only these.
    #[must_use]
    pub fn faults(config: &LimitsConfig, routes: &[RouteInfo]) -> Vec<String> {
        let is_known = |wanted: &str| routes.iter().any(|route| applies(wanted, route));
        let mut faults = Vec::new();
        for (name, policy) in &config.policies {
            for wanted in
                policy.routes.iter().filter(|wanted| !is_known(wanted) && !GROUPS.contains(&wanted.as_str()))
            {
                let areas: BTreeSet<&str> = routes
                    .iter()
                    .filter(|route| route.group != RouteGroup::Unlimited)
                    .map(|route| route.area.as_str())
                    .collect();
                let areas = areas.into_iter().collect::<Vec<_>>().join(", ");
                faults.push(format!(
                    "limits.policies.{name}.routes: nothing that is limited is called {wanted:?}: there are the groups {}, \
                     the areas {areas}, and the operations that `mainstay routes` lists",
                    GROUPS.join(", "),
                ));
            }
        }
        faults
    }

    /// Puts these limits before the routes.
    pub(crate) fn bind(&self, routes: &[RouteInfo]) {
        for route in routes.iter().filter(|route| route.group != RouteGroup::Unlimited) {
            let plan = |group| self.plan(route, group);
            let changing = plan(route.group);
            // Looking at a page guesses at nothing, and sends nothing.
            let (reading, reading_cost) = if route.documented {
                (plan(route.group), route.cost)
            } else {
                (plan(RouteGroup::Default), 1)
            };
            let costs = Costs { reading: reading_cost, changing: route.cost };
            let bound = RouteLimits { limits: self.clone(), costs, reading, changing };
            // Set once: a router stands behind one stack.
            let _is_first = route.limits.set(bound);
        }
    }

    fn plan(&self, route: &RouteInfo, group: RouteGroup) -> Plan {
        let inner = &*self.0;
        let of_group = match group {
            RouteGroup::Auth => inner.auth.clone().map(|rate| Applied { rate, by: CountBy::Address }),
            RouteGroup::Uploads => inner.uploads.clone().map(|rate| Applied { rate, by: CountBy::Caller }),
            RouteGroup::Default | RouteGroup::Unlimited => None,
        };
        let mut named: Vec<(&String, &Named)> = inner
            .named
            .iter()
            .filter(|(_, named)| named.routes.iter().any(|wanted| applies_in(wanted, route, group)))
            .collect();
        named.sort_by_key(|(name, _)| *name);
        let of_callers = |kind: Callers| -> Box<[Applied]> {
            let further = named
                .iter()
                .filter(|(_, named)| named.callers == Callers::Everybody || named.callers == kind);
            let further = further.map(|(_, named)| Applied { rate: named.rate.clone(), by: named.by });
            of_group.clone().into_iter().chain(further).collect()
        };
        Plan {
            anonymous: of_callers(Callers::Anonymous),
            signed_in: of_callers(Callers::SignedIn),
            services: of_callers(Callers::Services),
        }
    }

    /// Counts a call that reached no handler: an address that leads nowhere, a method that is not
    /// taken, credentials that are none. As one of an anonymous caller, whatever the route.
    pub(crate) async fn charge_stray(
        &self,
        address: Option<IpAddr>,
        stamp: &StampSlot,
    ) -> Result<(), Problem> {
        let Some((rate, key)) = self.stray(address) else { return Ok(()) };
        self.charge_one(rate, &key, 1, stamp).await
    }

    fn stray(&self, address: Option<IpAddr>) -> Option<(&Rate, Key)> {
        let rate = self.0.anonymous.as_ref()?;
        Some((rate, Key::new(rate.policy(), Identity::of(CountBy::Address, address, None, false).as_bytes())))
    }

    /// The limit that an API key was given, in place of its owner's.
    fn own(&self, user: &SignedIn) -> Option<&Rate> {
        let Via::ApiKey { limit: Some(name), .. } = &user.via else { return None };
        let own = self.0.named.get(&**name).map(|named| &named.rate);
        if own.is_none() {
            let mut missed = self.0.missed.lock().unwrap_or_else(PoisonError::into_inner);
            if missed.insert(name.clone()) {
                tracing::warn!(
                    policy = &**name,
                    "API keys have a limit that the settings no longer have; they count as their owners"
                );
            }
        }
        own
    }

    async fn charge_one(&self, rate: &Rate, key: &Key, cost: u32, stamp: &StampSlot) -> Result<(), Problem> {
        let decision = self.0.limiter.check(key, cost.min(rate.policy().capacity())).await;
        Self::tell(rate, &decision, stamp)
    }

    fn tell(rate: &Rate, decision: &Decision, stamp: &StampSlot) -> Result<(), Problem> {
        let refused = (!decision.admitted).then(|| refusal(decision, [decision.policy.shown()]));
        let Decision { limit, remaining, reset, .. } = *decision;
        stamp.put(Stamp::One { rate: rate.clone(), limit, remaining, reset });
        refused.map_or(Ok(()), Err)
    }
}

const GROUPS: &[&str] = &["default", "auth", "uploads"];

/// Whether a policy that names this is about the route.
fn applies(wanted: &str, route: &RouteInfo) -> bool {
    applies_in(wanted, route, route.group)
}

fn applies_in(wanted: &str, route: &RouteInfo, group: RouteGroup) -> bool {
    route.group != RouteGroup::Unlimited
        && (wanted == "*" || wanted == group.name() || wanted == route.area || wanted == route.operation)
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("limiter", &self.0.limiter).finish_non_exhaustive()
    }
}

/// A policy that is applied, and by what it counts.
#[derive(Clone)]
struct Applied {
    rate: Rate,
    by: CountBy,
}

/// What applies to each kind of caller besides the limit that it has everywhere.
struct Plan {
    anonymous: Box<[Applied]>,
    signed_in: Box<[Applied]>,
    services: Box<[Applied]>,
}

/// What a call counts as.
#[derive(Clone, Copy, Debug)]
struct Costs {
    reading: u32,
    changing: u32,
}

/// The limits of one route.
pub(crate) struct RouteLimits {
    limits: RateLimits,
    costs: Costs,
    reading: Plan,
    changing: Plan,
}

impl fmt::Debug for RouteLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteLimits").field("costs", &self.costs).finish_non_exhaustive()
    }
}

impl RouteLimits {
    /// Counts a call to the route.
    ///
    /// # Errors
    /// 429 if it is one too many, 503 where limits are closed without their store.
    pub(crate) async fn charge(
        &self,
        method: &Method,
        address: Option<IpAddr>,
        principal: Option<&Principal>,
        stamp: &StampSlot,
    ) -> Result<(), Problem> {
        let (limits, inner) = (&self.limits, &*self.limits.0);
        let (plan, cost) = match *method {
            Method::GET | Method::HEAD => (&self.reading, self.costs.reading),
            _ => (&self.changing, self.costs.changing),
        };
        let own = match principal {
            Some(Principal::User(user)) => limits.own(user),
            Some(Principal::Service(_)) | None => None,
        };
        let (base, further) = match principal {
            None => (inner.anonymous.as_ref(), &plan.anonymous),
            Some(Principal::Service(_)) => (inner.services.as_ref(), &plan.services),
            Some(Principal::User(_)) => (own.or(inner.signed_in.as_ref()), &plan.signed_in),
        };
        let identity = |by| Identity::of(by, address, principal, own.is_some());
        if further.is_empty() {
            let Some(rate) = base else { return Ok(()) };
            let key = Key::new(rate.policy(), identity(CountBy::Caller).as_bytes());
            return limits.charge_one(rate, &key, cost, stamp).await;
        }
        let base = base.map(|rate| (rate, CountBy::Caller));
        let mut keys: Vec<Key> = Vec::with_capacity(further.len() + 1);
        for (rate, by) in further.iter().map(|applied| (&applied.rate, applied.by)).chain(base) {
            let key = Key::new(rate.policy(), identity(by).as_bytes());
            // A policy of the route may be the caller's own too: one call counts once.
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let charge = |key| Charge { key, cost: cost.min(key.policy().capacity()) };
        let charges: Vec<Charge<'_>> = keys.iter().map(charge).collect();
        let verdict = inner.limiter.check_all(&charges).await;
        let refused = verdict
            .tightest()
            .filter(|tightest| !tightest.admitted)
            .map(|tightest| refusal(tightest, verdict.violated().map(Policy::shown)));
        stamp.put(Stamp::Several(verdict));
        refused.map_or(Ok(()), Err)
    }

    /// Refuses what [`RouteLimits::charge_stray`] is known to refuse, without asking anybody. Who `is_spared` is
    /// not, which is asked only of those who would be refused: it takes longer to tell.
    ///
    /// # Errors
    /// 429 from an address at which nothing is left for callers who are not signed in.
    pub(crate) fn refuse_stray(
        &self,
        address: Option<IpAddr>,
        stamp: &StampSlot,
        is_spared: impl FnOnce() -> bool,
    ) -> Result<(), Problem> {
        let Some((rate, key)) = self.limits.stray(address) else { return Ok(()) };
        let limiter = &self.limits.0.limiter;
        match limiter.known_refusal(&key, 1) {
            Some(decision) if !is_spared() => {
                limiter.refused(&decision);
                RateLimits::tell(rate, &decision, stamp)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// See [`RateLimits::charge_stray`].
    pub(crate) async fn charge_stray(
        &self,
        address: Option<IpAddr>,
        stamp: &StampSlot,
    ) -> Result<(), Problem> {
        self.limits.charge_stray(address, stamp).await
    }
}

/// Whom a call is counted for, in bytes that no two have in common.
struct Identity {
    bytes: [u8; 17],
    length: usize,
}

impl Identity {
    /// `by_itself`: an API key counts apart from its owner.
    fn of(by: CountBy, address: Option<IpAddr>, principal: Option<&Principal>, by_itself: bool) -> Self {
        match (by, principal) {
            (CountBy::Caller, Some(Principal::User(user))) => match &user.via {
                // With a limit of its own a key is counted by itself; any other as its owner, or
                // whoever makes keys would multiply their limit.
                Via::ApiKey { id, .. } if by_itself => Self::new(b'k', id.as_bytes()),
                Via::ApiKey { .. } | Via::Session(_) => Self::new(b'u', user.user_id.uuid().as_bytes()),
            },
            (CountBy::Caller, Some(Principal::Service(id))) => Self::new(b's', id.uuid().as_bytes()),
            (CountBy::Caller, None) | (CountBy::Address, _) => {
                match address.map(|address| address.to_canonical()) {
                    Some(IpAddr::V4(address)) => Self::new(b'4', &address.octets()),
                    // One household or server has a /64 of IPv6.
                    Some(IpAddr::V6(address)) => Self::new(b'6', &address.octets()[..8]),
                    None => Self::new(b'?', &[]),
                }
            }
        }
    }

    fn new(kind: u8, name: &[u8]) -> Self {
        let mut bytes = [0; 17];
        bytes[0] = kind;
        bytes[1..=name.len()].copy_from_slice(name);
        Self { bytes, length: name.len() + 1 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn refusal<'a>(decision: &Decision, violated: impl IntoIterator<Item = &'a str>) -> Problem {
    if decision.answer == Answer::Closed {
        let detail = "Calls can't be counted at the moment, and are not taken uncounted.";
        return Problem::retry_later(&UNAVAILABLE, detail, decision.retry_after.unwrap_or(1));
    }
    let (policy, window_s) = (&decision.policy, decision.policy.window().as_secs());
    let used_up = format!("The limit {:?} admits {} calls in {window_s} s", policy.shown(), decision.limit);
    let problem = match decision.retry_after {
        None | Some(u32::MAX) => {
            RATE_LIMITED.because(format!("{used_up}, and this call costs more than that."))
        }
        Some(seconds) => {
            let detail = format!("{used_up}. Try again in {seconds} s.");
            Problem::retry_later(&RATE_LIMITED, detail, seconds)
        }
    };
    let violated: Vec<&str> = violated.into_iter().collect();
    problem.with_extra("violated-policies", violated.into())
}

/// What the limits said of a request, for the headers of whatever answer it gets: a handler may
/// panic or be given up on after that.
#[derive(Clone, Debug, Default)]
pub(crate) struct StampSlot(Arc<OnceLock<Stamp>>);

enum Stamp {
    One { rate: Rate, limit: u32, remaining: u32, reset: u32 },
    Several(Verdict),
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stamp")
    }
}

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static(headers::RATELIMIT_POLICY);
const RATELIMIT: HeaderName = HeaderName::from_static(headers::RATELIMIT);
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static(headers::X_RATELIMIT_LIMIT);
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static(headers::X_RATELIMIT_REMAINING);
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static(headers::X_RATELIMIT_RESET);

/// The headers that a limited answer has.
pub(crate) const NAMES: [HeaderName; 5] =
    [RATELIMIT_POLICY, RATELIMIT, X_RATELIMIT_LIMIT, X_RATELIMIT_REMAINING, X_RATELIMIT_RESET];

impl StampSlot {
    fn put(&self, stamp: Stamp) {
        // Counted once: whoever was first.
        let _is_first = self.0.set(stamp);
    }

    /// Whether the request was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }

    /// Writes the headers. None if nothing was counted.
    pub(crate) fn write(&self, to: &mut HeaderMap) {
        match self.0.get() {
            None => {}
            Some(Stamp::One { rate, limit, remaining, reset }) => {
                let parts = &*rate.0;
                let is_whole = *limit == parts.policy.limit();
                let limit_value = if is_whole { parts.limit_value.clone() } else { (*limit).into() };
                let mut left = String::with_capacity(48);
                headers::write_limit(&mut left, &parts.policy, *remaining, *reset);
                to.insert(RATELIMIT_POLICY, parts.policy_value.clone());
                to.extend(HeaderValue::try_from(left).ok().map(|left| (RATELIMIT, left)));
                to.insert(X_RATELIMIT_LIMIT, limit_value);
                to.insert(X_RATELIMIT_REMAINING, (*remaining).into());
                to.insert(X_RATELIMIT_RESET, (*reset).into());
            }
            Some(Stamp::Several(verdict)) => {
                for (name, value) in headers::all(verdict) {
                    // Said by the problem, or by a handler that refuses for longer.
                    if name != headers::RETRY_AFTER
                        && let Ok(value) = HeaderValue::try_from(value)
                    {
                        to.insert(HeaderName::from_static(name), value);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_auth::{Roles, Scopes};
    use mainstay_core::{ServiceId, UserId};
    use uuid::Uuid;

    use super::*;

    fn of(by: CountBy, address: &str, principal: Option<&Principal>) -> Vec<u8> {
        Identity::of(by, Some(address.parse().unwrap()), principal, false).as_bytes().to_vec()
    }

    #[test]
    fn addresses_count_by_network_and_callers_by_their_own_id() {
        let nobody = |address| of(CountBy::Caller, address, None);
        assert_eq!(nobody("2001:db8:1:2:3:4:5:6"), nobody("2001:db8:1:2::1"));
        assert_ne!(nobody("2001:db8:1:2::1"), nobody("2001:db8:1:3::1"));
        assert_eq!(nobody("::ffff:192.0.2.1"), nobody("192.0.2.1"));
        assert_ne!(nobody("192.0.2.1"), nobody("192.0.2.2"));

        // Four of a kind: the same 16 bytes are not the same caller.
        let id = Uuid::from_u128(7);
        let user = |via| {
            Principal::User(SignedIn { user_id: UserId::from(id), roles: Roles::of(&[]), via, ends_at: None })
        };
        let key = user(Via::ApiKey { id, scopes: Scopes::all(), limit: None });
        let (ann, service) = (user(Via::Session(id)), Principal::Service(ServiceId::from(id)));
        let all = [(&key, true), (&ann, false), (&service, false)].map(|(principal, by_itself)| {
            let address = Some("192.0.2.1".parse().unwrap());
            Identity::of(CountBy::Caller, address, Some(principal), by_itself).as_bytes().to_vec()
        });
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_eq!(of(CountBy::Caller, "192.0.2.1", Some(&key)), all[1], "a key is its owner");
        assert_eq!(of(CountBy::Address, "192.0.2.1", Some(&ann)), nobody("192.0.2.1"));
        let elsewhere = user(Via::Session(Uuid::from_u128(8)));
        assert_eq!(
            of(CountBy::Caller, "192.0.2.9", Some(&elsewhere)),
            all[1],
            "a user is one wherever they are"
        );
    }
}
