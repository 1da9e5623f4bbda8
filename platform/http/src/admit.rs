//! From a request's headers to its caller, held to the route's access rule and
//! to the scopes of an API key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use mainstay_auth::{Access, AuthError, Caller, Credentials, Principal, Scope, insufficient_scope};
use mainstay_core::Problem;
use mainstay_core::problem::MALFORMED_REQUEST;

use crate::RequestContext;
use crate::router::Rule;
use crate::{cookies, same_origin};

pub(crate) static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who makes the request: `None` for nobody known.
///
/// # Errors
/// 400 for credentials in two places, 401 for those that are none, 503 if they can't be checked; 403
/// for a change to a page that comes from elsewhere; 429 for what [`look_up`] does not look up.
pub(crate) async fn identify(
    rule: &Rule,
    context: &RequestContext,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Principal>, Problem> {
    if rule.by_cookie {
        return identify_browser(rule, context, method, headers).await;
    }
    let Some(given) = Given::find(headers)? else { return Ok(None) };
    let found = match given.credentials() {
        Ok(credentials) if rule.access.considers(credentials.kind()) => {
            look_up(rule, context, credentials).await?
        }
        Ok(_) => Err(AuthError::Refused),
        Err(refused) => Err(refused),
    };
    match found {
        Ok(principal) => Ok(Some(principal)),
        Err(AuthError::Refused) if rule.access == Access::Anybody => Ok(None),
        Err(refused) => Err(refused.on(rule.access)),
    }
}

/// The same for a page of the console. A cookie that opens nothing (any more) counts as none: it is
/// sent along whether its owner wants it or not.
async fn identify_browser(
    rule: &Rule,
    context: &RequestContext,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Principal>, Problem> {
    let shared = &context.shared;
    same_origin::check(&shared.origin, method, headers)?;
    let Some(cookie) = cookies::find(headers, shared.session_cookie) else { return Ok(None) };
    match look_up(rule, context, Credentials::Cookie(cookie)).await? {
        Ok(principal) => Ok(Some(principal)),
        Err(AuthError::Refused) => Ok(None),
        Err(refused) => Err(refused.on(rule.access)),
    }
}

/// Who these credentials belong to.
///
/// Whoever guesses at credentials uses up what callers who are not signed in have at their address. From
/// then on what may be made up is not looked up for them: a flood of it costs the database nothing. What
/// was made here is, or whoever shares an address with them would be locked out by them.
async fn look_up(
    rule: &Rule,
    context: &RequestContext,
    credentials: Credentials<'_>,
) -> Result<Result<Principal, AuthError>, Problem> {
    let Some(authenticator) = &context.shared.authenticator else { return Ok(Err(AuthError::Refused)) };
    if let Some(limits) = rule.limits.get() {
        let is_spared = || authenticator.made_here(credentials);
        limits.refuse_stray(context.address, &context.stamp, is_spared)?;
    }
    Ok(authenticator.authenticate(credentials).await)
}

/// The caller, if they may.
///
/// # Errors
/// 401 for nobody where somebody is needed, 403 where the caller's rights or the key's scopes are
/// not enough.
pub(crate) fn admit(
    rule: &Rule,
    context: &RequestContext,
    method: &Method,
    principal: Option<Principal>,
) -> Result<Caller, Problem> {
    let caller = Caller::new(principal, context.request_id.clone(), context.address);
    rule.access.check(&caller)?;
    let scopes = caller.user().and_then(|user| user.scopes());
    if rule.by_cookie || scopes.is_none_or(|scopes| scopes.allow(&rule.area, method)) {
        return Ok(caller);
    }
    match rule.access {
        access if !access.asks_for_scopes() => Ok(caller),
        // What everybody may do, everybody does as nobody: a handler that shows its owner more
        // must not show it to a key that was not made for it.
        access if access.is_open() => Ok(Caller::new(None, context.request_id.clone(), context.address)),
        _ => Err(insufficient_scope(&Scope::needed(&rule.area, method))),
    }
}

/// The credentials of a request.
enum Given<'a> {
    Bearer(&'a str),
    Key(&'a str),
    Basic {
        id: String,
        secret: String,
    },
    /// Something else. Refused, not ignored: who sends credentials means to be somebody.
    Unknown,
}

impl<'a> Given<'a> {
    /// `None` if there are none.
    fn find(headers: &'a HeaderMap) -> Result<Option<Self>, Problem> {
        let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
        let mut key = headers.get_all(&X_API_KEY).iter();
        let (first, second) = (authorization.next(), key.next());
        // Which of two is meant, proxies and we might decide differently.
        if authorization.next().is_some() || key.next().is_some() || (first.is_some() && second.is_some()) {
            let detail = "Credentials came more than once: send one Authorization or one X-Api-Key header.";
            return Err(MALFORMED_REQUEST.because(detail));
        }
        Ok(match (first, second) {
            (Some(value), _) => Some(Self::authorization(value)),
            (None, Some(value)) => Some(value.to_str().map_or(Self::Unknown, |key| Self::Key(key.trim()))),
            (None, None) => None,
        })
    }

    fn authorization(value: &'a HeaderValue) -> Self {
        let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
            return Self::Unknown;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            Self::Bearer(rest.trim())
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic(rest.trim()).unwrap_or(Self::Unknown)
        } else {
            Self::Unknown
        }
    }

    fn credentials(&self) -> Result<Credentials<'_>, AuthError> {
        match self {
            Self::Bearer(token) => Ok(Credentials::bearer(token)),
            Self::Key(key) => Ok(Credentials::ApiKey(key)),
            Self::Basic { id, secret } => Ok(Credentials::Basic { id, secret }),
            Self::Unknown => Err(AuthError::Refused),
        }
    }
}

/// RFC 7617 §2: the first colon ends the id.
fn basic<'a>(encoded: &str) -> Option<Given<'a>> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some(Given::Basic { id: id.to_owned(), secret: secret.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&'static str, &str)]) -> Result<Option<String>, u16> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let given = Given::find(&map).map_err(|problem| problem.kind().status)?;
        Ok(given.map(|given| match given.credentials() {
            Ok(Credentials::Bearer(token)) => format!("bearer {token}"),
            Ok(Credentials::ApiKey(key)) => format!("key {key}"),
            Ok(Credentials::Basic { id, secret }) => format!("basic {id} {secret}"),
            Ok(_) | Err(_) => "refused".to_owned(),
        }))
    }

    #[test]
    fn credentials_are_found_where_they_may_stand() {
        let (authorization, key) = ("authorization", "x-api-key");
        for (headers, expected) in [
            (vec![], None),
            (vec![(authorization, "Bearer eyJ.a.b")], Some("bearer eyJ.a.b")),
            (vec![(authorization, "bEARER  mst_x ")], Some("key mst_x")),
            (vec![(key, "mst_x")], Some("key mst_x")),
            (vec![(key, "eyJ.a.b")], Some("key eyJ.a.b")),
            (vec![(authorization, "Basic c3ZjX2E6bXNzOmI=")], Some("basic svc_a mss:b")),
            (vec![(authorization, "Basic Og==")], Some("basic  ")),
            (vec![(authorization, "Basic c3ZjX2E=")], Some("refused")),
            (vec![(authorization, "Basic ?")], Some("refused")),
            (vec![(authorization, "Basic /w==")], Some("refused")),
            (vec![(authorization, "Digest a=b")], Some("refused")),
            (vec![(authorization, "Bearer")], Some("refused")),
            (vec![(authorization, "")], Some("refused")),
        ] {
            assert_eq!(found(&headers).unwrap().as_deref(), expected, "{headers:?}");
        }
    }

    #[test]
    fn credentials_in_two_places_are_refused() {
        for headers in [
            [("authorization", "Bearer a"), ("x-api-key", "mst_b")],
            [("authorization", "Bearer a"), ("authorization", "Bearer a")],
            [("x-api-key", "mst_b"), ("x-api-key", "mst_b")],
        ] {
            assert_eq!(found(&headers), Err(400), "{headers:?}");
        }
    }
}
