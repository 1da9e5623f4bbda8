//! Access tokens: JWTs as RFC 9068 profiles them, read by the rules of RFC 8725.
//!
//! The algorithm is ours to say, never the token's; a key serves one algorithm;
//! issuer, audience, subject, id and both times must all be there. A signature costs
//! more than the rest of a hot request, so a token that was found good is
//! remembered by its hash until it expires.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use mainstay_core::{Clock, Rng, Timestamp, UserId};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Roles;

/// What tokens say and for how long.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `iss`: who signs. The installation's public URL.
    pub issuer: String,
    /// `aud`: whom they are for.
    pub audience: String,
    /// How long one lives, in seconds.
    pub lifetime_s: u32,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// Whose it is.
    pub sub: UserId,
    /// Its own id.
    pub jti: Uuid,
    /// The session it belongs to.
    pub sid: Uuid,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// The roles at the time of issue, for services that read the token themselves.
    pub roles: Roles,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not one of ours, or was changed.
    #[error("the token is not valid")]
    Invalid,
    /// It names a key that is not among ours: of another installation, or newer than what we know.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// There is no key to sign with.
    #[error("there is no signing key")]
    NoKey,
}

/// An Ed25519 key (RFC 8037) that signs tokens.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    seed: [u8; 32],
    public: [u8; 32],
}

impl SigningKey {
    /// A new key from random bytes.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        Self::from_seed(rng.bytes())
    }

    /// The key with this seed, as it is kept, sealed, in the database.
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("every 32 bytes are a seed");
        let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("a public key has 32 bytes");
        // The key's own digest: the same key has the same name wherever it was loaded.
        let kid = URL_SAFE_NO_PAD.encode(&digest(&SHA256, &public).as_ref()[..12]);
        Self { kid, seed, public }
    }

    /// Its name, `kid` in tokens.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What must be kept secret.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half as a JWK (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": self.kid, "x": URL_SAFE_NO_PAD.encode(self.public),
        })
    }

    fn encoding(&self) -> EncodingKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.seed).expect("checked when it was made");
        EncodingKey::from_ed_der(pair.to_pkcs8v1().expect("a key pair can be written out").as_ref())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

/// A key and when it serves.
#[derive(Clone, Debug)]
pub struct ScheduledKey {
    /// The key.
    pub key: SigningKey,
    /// From when on it signs, unless a later one does. It verifies, and is published, before.
    pub active_from: Timestamp,
    /// From when on what it signed is refused. `None`: not decided.
    pub retired_at: Option<Timestamp>,
}

/// Signs and reads access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    settings: TokenSettings,
    clock: Arc<dyn Clock>,
    keys: RwLock<Keys>,
    good: Cache<[u8; 32], Arc<Claims>>,
}

#[derive(Default)]
struct Keys {
    /// The one that signs last comes first.
    signing: Vec<Signing>,
    reading: HashMap<String, DecodingKey>,
}

struct Signing {
    schedule: ScheduledKey,
    encoding: EncodingKey,
}

impl Signing {
    fn is_retired(&self, now: Timestamp) -> bool {
        self.schedule.retired_at.is_some_and(|at| at <= now)
    }
}

/// How far the clocks of two nodes may be apart, in seconds.
const LEEWAY_S: u8 = 5;
/// Longer tokens than this are not ours.
const LONGEST: usize = 4096;

impl Tokens {
    /// A signer without a key yet.
    #[must_use]
    pub fn new(settings: TokenSettings, clock: Arc<dyn Clock>) -> Self {
        let good = Cache::builder().max_capacity(20_000).build();
        Self(Arc::new(Inner { settings, clock, keys: RwLock::default(), good }))
    }

    /// Signs and reads with these keys from now on, each at its time. Without effect if they are those in use.
    pub fn use_keys(&self, keys: &[ScheduledKey]) {
        let mut keys = keys.to_vec();
        keys.sort_by(|a, b| (b.active_from, &b.key.kid).cmp(&(a.active_from, &a.key.kid)));
        let times = |key: &ScheduledKey| (key.key.kid.clone(), key.active_from, key.retired_at);
        let mut current = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        if current.signing.iter().map(|signing| times(&signing.schedule)).eq(keys.iter().map(times)) {
            return;
        }
        let reading =
            keys.iter().map(|key| (key.key.kid.clone(), DecodingKey::from_ed_der(&key.key.public))).collect();
        let signing =
            keys.into_iter().map(|key| Signing { encoding: key.key.encoding(), schedule: key }).collect();
        *current = Keys { signing, reading };
        // A retired key's tokens must not live on in memory: forgotten before anybody can read with the new keys.
        self.0.good.invalidate_all();
    }

    /// The public keys (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let (now, keys) = (self.0.clock.now(), self.0.keys.read().unwrap_or_else(PoisonError::into_inner));
        let counting = keys.signing.iter().filter(|signing| !signing.is_retired(now));
        serde_json::json!({ "keys": counting.map(|signing| signing.schedule.key.jwk()).collect::<Vec<_>>() })
    }

    /// How long a token lives, in seconds.
    #[must_use]
    pub fn lifetime_s(&self) -> u32 {
        self.0.settings.lifetime_s
    }

    /// How long after it was issued a token is accepted at most, in seconds: its life, and what two nodes'
    /// clocks may be apart.
    #[must_use]
    pub fn accepted_s(&self) -> u32 {
        self.lifetime_s() + u32::from(LEEWAY_S)
    }

    /// A new token for this user's session.
    ///
    /// # Errors
    /// [`TokenError::NoKey`] before [`Tokens::use_keys`].
    pub fn issue(&self, user: UserId, session: Uuid, id: Uuid, roles: Roles) -> Result<String, TokenError> {
        self.issue_at(self.0.clock.now(), user, session, id, roles)
    }

    /// The token that was issued at that moment: the same text, however often it is asked for.
    ///
    /// # Errors
    /// [`TokenError::NoKey`] if no key signed then.
    pub fn issue_at(
        &self,
        at: Timestamp,
        user: UserId,
        session: Uuid,
        id: Uuid,
        roles: Roles,
    ) -> Result<String, TokenError> {
        let TokenSettings { issuer, audience, lifetime_s } = self.0.settings.clone();
        let claims = Claims {
            iss: issuer,
            aud: audience,
            sub: user,
            jti: id,
            sid: session,
            iat: at.seconds(),
            exp: at.seconds() + i64::from(lifetime_s),
            roles,
        };
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let serves = |signing: &&Signing| signing.schedule.active_from <= at && !signing.is_retired(at);
        let Signing { schedule, encoding } = keys.signing.iter().find(serves).ok_or(TokenError::NoKey)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(schedule.key.kid.clone());
        jsonwebtoken::encode(&header, &claims, encoding).map_err(|_| TokenError::NoKey)
    }

    /// What a token says, if it is good now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn read(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let claims = match self.0.good.get(&hash) {
            Some(claims) => claims,
            None => {
                let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
                let claims = Arc::new(self.check(token, &keys)?);
                // While the keys are held: they can't be retired between the check and the remembering.
                self.0.good.insert(hash, claims.clone());
                claims
            }
        };
        let now = self.0.clock.now();
        if claims.exp + i64::from(LEEWAY_S) <= now.seconds() {
            self.0.good.invalidate(&hash);
            return Err(TokenError::Expired);
        }
        if claims.iat > now.seconds() + i64::from(LEEWAY_S) {
            return Err(TokenError::Invalid);
        }
        Ok(claims)
    }

    /// Whether [`Tokens::read`] would give [`TokenError::UnknownKey`].
    #[must_use]
    pub fn names_unknown_key(&self, token: &str) -> bool {
        if token.len() > LONGEST {
            return false;
        }
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        matches!(key_of(token, &keys), Err(TokenError::UnknownKey))
    }

    fn check(&self, token: &str, keys: &Keys) -> Result<Claims, TokenError> {
        let (kid, key) = key_of(token, keys)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[&self.0.settings.issuer]);
        rules.set_audience(&[&self.0.settings.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would ask the system's clock; ours is given.
        rules.validate_exp = false;
        let now = self.0.clock.now();
        if keys.signing.iter().any(|signing| signing.schedule.key.kid == kid && signing.is_retired(now)) {
            return Err(TokenError::Invalid);
        }
        let data = jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|_| TokenError::Invalid)?;
        Ok(data.claims)
    }
}

/// The key that a token says it is signed with.
fn key_of<'a>(token: &str, keys: &'a Keys) -> Result<(String, &'a DecodingKey), TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
    if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some("at+jwt") {
        return Err(TokenError::Invalid);
    }
    let kid = header.kid.ok_or(TokenError::Invalid)?;
    let key = keys.reading.get(&kid).ok_or_else(|| unknown(&kid))?;
    Ok((kid, key))
}

/// A name that no key of ours can have is not worth looking for.
fn unknown(kid: &str) -> TokenError {
    let fits = kid.len() == 16
        && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fits { TokenError::UnknownKey } else { TokenError::Invalid }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.settings.issuer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_core::{ManualClock, OsRng, Timestamp};

    use super::*;
    use crate::Role;

    fn tokens(key: &SigningKey, clock: &Arc<ManualClock>) -> Tokens {
        let settings = TokenSettings {
            issuer: "https://here".to_owned(),
            audience: "mainstay".to_owned(),
            lifetime_s: 900,
        };
        let tokens = Tokens::new(settings, clock.clone());
        tokens.use_keys(&[always(key)]);
        tokens
    }

    fn always(key: &SigningKey) -> ScheduledKey {
        ScheduledKey { key: key.clone(), active_from: Timestamp::default(), retired_at: None }
    }

    fn setup() -> (SigningKey, Arc<ManualClock>, Tokens) {
        let key = SigningKey::generate(&OsRng);
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000)));
        let tokens = tokens(&key, &clock);
        (key, clock, tokens)
    }

    fn issue(tokens: &Tokens) -> String {
        tokens
            .issue(
                Uuid::from_u128(7).into(),
                Uuid::from_u128(8),
                Uuid::from_u128(9),
                Roles::of(&[Role::User]),
            )
            .unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let (_, clock, tokens) = setup();
        let token = issue(&tokens);

        assert_eq!(tokens.read(&token).unwrap().sub, UserId::from(Uuid::from_u128(7)));
        clock.advance(Duration::from_secs(904));
        assert!(tokens.read(&token).is_ok(), "within the leeway");
        clock.advance(Duration::from_secs(1));
        assert_eq!(tokens.read(&token), Err(TokenError::Expired));
    }

    #[test]
    fn a_changed_token_is_refused_even_beside_a_remembered_one() {
        let (_, _, tokens) = setup();
        let token = issue(&tokens);
        tokens.read(&token).unwrap();

        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            if changed != token {
                // The last character of a base64 text may carry bits that mean nothing; what it decodes to must then be refused as non-canonical.
                assert!(tokens.read(&changed).is_err(), "character {index}");
            }
        }
    }

    #[test]
    fn a_key_that_is_gone_opens_nothing_and_a_new_one_keeps_the_old_tokens_good() {
        let (old, _, tokens) = setup();
        let token = issue(&tokens);
        tokens.read(&token).unwrap();
        let new = SigningKey::generate(&OsRng);

        tokens.use_keys(&[always(&new), always(&old)]);
        assert!(tokens.read(&token).is_ok());
        assert_eq!(tokens.jwks()["keys"].as_array().unwrap().len(), 2);

        tokens.use_keys(&[always(&new)]);
        assert_eq!(tokens.read(&token), Err(TokenError::UnknownKey));
    }

    #[test]
    fn a_new_key_signs_from_its_time_and_an_old_one_ends_at_its_own() {
        let (old, clock, tokens) = setup();
        let new = SigningKey::generate(&OsRng);
        let (switch, end) =
            (clock.now().after(Duration::from_secs(300)), clock.now().after(Duration::from_secs(1300)));
        let retiring = ScheduledKey { retired_at: Some(end), ..always(&old) };
        tokens.use_keys(&[retiring, ScheduledKey { active_from: switch, ..always(&new) }]);
        let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let before = clock.now();

        assert_eq!(kid(&issue(&tokens)), old.kid);
        assert_eq!(tokens.jwks()["keys"].as_array().unwrap().len(), 2, "published before it signs");
        clock.advance(Duration::from_secs(300));
        assert_eq!(kid(&issue(&tokens)), new.kid);
        let again = |at| {
            tokens.issue_at(
                at,
                Uuid::from_u128(7).into(),
                Uuid::from_u128(8),
                Uuid::from_u128(9),
                Roles::default(),
            )
        };
        let of_the_old = again(before).unwrap();
        assert_eq!((kid(&of_the_old), again(before).unwrap()), (old.kid.clone(), of_the_old.clone()));
        assert!(tokens.read(&of_the_old).is_ok());
        clock.advance(Duration::from_secs(1000));
        assert!(tokens.read(&of_the_old).is_err());
        assert_eq!(tokens.jwks()["keys"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn forged_headers_are_refused() {
        let (key, clock, tokens) = setup();
        let claims = |change: fn(&mut serde_json::Value)| {
            let now = clock.now().seconds();
            let mut claims = serde_json::json!({
                "iss": "https://here", "aud": "mainstay", "sub": Uuid::from_u128(7), "jti": Uuid::from_u128(9),
                "sid": Uuid::from_u128(8), "iat": now, "exp": now + 900, "roles": ["admin"],
            });
            change(&mut claims);
            claims
        };
        let sign = |header: &Header, claims: &serde_json::Value| {
            jsonwebtoken::encode(header, claims, &key.encoding()).unwrap()
        };
        let header = |change: fn(&mut Header)| {
            let mut header = Header::new(Algorithm::EdDSA);
            (header.typ, header.kid) = (Some("at+jwt".to_owned()), Some(key.kid.clone()));
            change(&mut header);
            header
        };
        assert!(tokens.read(&sign(&header(|_| {}), &claims(|_| {}))).is_ok(), "the forger's tools work");

        for bad in [
            header(|header| header.typ = Some("JWT".to_owned())),
            header(|header| header.typ = None),
            header(|header| header.kid = None),
            header(|header| header.kid = Some("../../etc/passwd".to_owned())),
        ] {
            assert_eq!(tokens.read(&sign(&bad, &claims(|_| {}))), Err(TokenError::Invalid), "{bad:?}");
        }
        let bad_claims: [fn(&mut serde_json::Value); 8] = [
            |c| c["aud"] = "other".into(),
            |c| c["iss"] = "https://there".into(),
            |c| drop(c.as_object_mut().unwrap().remove("aud")),
            |c| drop(c.as_object_mut().unwrap().remove("iss")),
            |c| drop(c.as_object_mut().unwrap().remove("exp")),
            |c| drop(c.as_object_mut().unwrap().remove("sub")),
            |c| drop(c.as_object_mut().unwrap().remove("jti")),
            |c| c["iat"] = (c["iat"].as_i64().unwrap() + 60).into(),
        ];
        for change in bad_claims {
            let claims = claims(change);
            assert!(tokens.read(&sign(&header(|_| {}), &claims)).is_err(), "{claims}");
        }

        // "none", and HS256 keyed with the public key: the classic forgeries.
        let payload = URL_SAFE_NO_PAD.encode(claims(|_| {}).to_string());
        for alg in ["none", "None", "nOnE"] {
            let head =
                URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{}"}}"#, key.kid));
            assert!(tokens.read(&format!("{head}.{payload}.")).is_err());
        }
        let mut hmac = Header::new(Algorithm::HS256);
        (hmac.typ, hmac.kid) = (Some("at+jwt".to_owned()), Some(key.kid.clone()));
        let forged =
            jsonwebtoken::encode(&hmac, &claims(|_| {}), &EncodingKey::from_secret(&key.public)).unwrap();
        assert!(tokens.read(&forged).is_err());

        for junk in ["", ".", "..", "a.b.c", "eyJ.eyJ.x", &"x".repeat(10_000)] {
            assert!(tokens.read(junk).is_err());
        }
    }
}
