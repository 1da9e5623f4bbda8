//! Password hashing on a bounded pool.
//!
//! Argon2id takes 19 MiB and tens of milliseconds of a core on purpose. Run on the
//! request threads, a few sign-ins would stop everything else; run without a
//! bound, a few hundred would take all memory. So a hash needs a permit, permits
//! are few, and the permit moves into the work: a client that hangs up does not free it
//! while its hash still runs.

mod legacy;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use mainstay_core::problem::OVERLOADED;
use mainstay_core::{Problem, Rng};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

use legacy::Legacy;

/// Bytes of the salt of a new hash.
const SALT_BYTES: usize = 16;
/// No readable hash is longer.
const MOST_HASH_BYTES: usize = 512;
/// KiB of memory, passes and lanes that a stored Argon2 hash may ask for.
const MOST_MEMORY: u32 = 256 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_LANES: u32 = 8;

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    permits: Arc<Semaphore>,
    queue: Semaphore,
    patience: Duration,
    params: Params,
    rng: Arc<dyn Rng>,
    decoy: String,
    verifications: AtomicU64,
}

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// Too many wait already.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The stored hash is of no kind we know, is damaged, or costs more than we spend on one.
    #[error("the stored password hash can't be read")]
    Unreadable,
    /// The hash function itself failed.
    #[error("the password could not be hashed")]
    Failed,
}

impl From<PasswordsError> for Problem {
    fn from(error: PasswordsError) -> Self {
        match error {
            PasswordsError::Busy => Self::retry_later(&OVERLOADED, "Too many sign-ins at once.", 2),
            PasswordsError::Unreadable | PasswordsError::Failed => Self::internal(error),
        }
    }
}

impl Passwords {
    /// Argon2id with the parameters of the OWASP cheat sheet (m = 19456 KiB, t = 2,
    /// p = 1), as many at once as there are cores, at most 64 waiting, each for at
    /// most two seconds.
    #[must_use]
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        let params = Params::new(19_456, 2, 1, None).expect("these parameters are valid");
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self::with(rng, params, cores, 64, Duration::from_secs(2))
    }

    /// The cheapest parameters there are, for tests that do not measure the cost.
    #[must_use]
    pub fn weak_for_tests(rng: Arc<dyn Rng>) -> Self {
        let params = Params::new(8, 1, 1, None).expect("these parameters are valid");
        Self::with(rng, params, 4, 1024, Duration::from_secs(20))
    }

    fn with(rng: Arc<dyn Rng>, params: Params, at_once: usize, waiting: usize, patience: Duration) -> Self {
        // What a sign-in with an unknown name is checked against: made up, not computed, so that starting
        // costs no hash and nobody knows a password for it.
        let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
        let (salt, tag) = ("WlpaWlpaWlpaWlpaWlpaWg", "bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCwgdGhhbms");
        let decoy = format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${tag}");
        Self(Arc::new(Inner {
            permits: Arc::new(Semaphore::new(at_once)),
            queue: Semaphore::new(at_once + waiting),
            patience,
            params,
            rng,
            decoy,
            verifications: AtomicU64::new(0),
        }))
    }

    /// The PHC string of a password. NFKC first (NIST SP 800-63B-4 §3.1.1.2): the
    /// same password typed on two systems may be composed differently.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when too many wait.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordsError> {
        let salt = self.0.rng.bytes::<SALT_BYTES>();
        let (params, password) = (self.0.params.clone(), normalize(password));
        self.run(move || hash_now(&params, password.as_bytes(), &salt)).await
    }

    /// Whether `password` has this hash, which may come from another system: any
    /// Argon2id or Argon2i, bcrypt, or Werkzeug's PBKDF2 and scrypt. `None` for a hash
    /// checks against a decoy and is false, in the same time as a hash of ours: an
    /// unknown name must not be told by the clock.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when too many wait, [`PasswordsError::Unreadable`]
    /// for a stored hash that [`Passwords::is_readable`] refuses.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordsError> {
        let known = hash.is_some();
        let stored = Stored::parse(hash.unwrap_or(&self.0.decoy)).ok_or(PasswordsError::Unreadable)?;
        let (inner, password) = (self.0.clone(), password.to_owned());
        let work = move || {
            inner.verifications.fetch_add(1, Ordering::Relaxed);
            stored.matches(&password)
        };
        Ok(self.run(work).await? && known)
    }

    /// Whether a right password should be hashed anew: true for every hash that is not
    /// Argon2id, version 19, with at least our memory, passes, salt and length. A
    /// stronger one is kept.
    #[must_use]
    pub fn needs_rehash(&self, hash: &str) -> bool {
        let Some(Stored::Argon2 {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params,
            salt,
            tag,
        }) = Stored::parse(hash)
        else {
            return true;
        };
        params.m_cost() < self.0.params.m_cost()
            || params.t_cost() < self.0.params.t_cost()
            || salt.len() < SALT_BYTES
            || tag.len() < Params::DEFAULT_OUTPUT_LEN
    }

    /// Whether [`Passwords::verify`] can check a password against this hash, for imports.
    /// Reads it only; no hash is computed.
    #[must_use]
    pub fn is_readable(hash: &str) -> bool {
        Stored::parse(hash).is_some()
    }

    /// How many passwords were checked since the start, those against the decoy
    /// included; what was refused as busy or unreadable is not.
    #[must_use]
    pub fn verifications(&self) -> u64 {
        self.0.verifications.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordsError> + Send + 'static,
    ) -> Result<T, PasswordsError> {
        let _place = self.0.queue.try_acquire().map_err(|_| PasswordsError::Busy)?;
        let permit = tokio::time::timeout(self.0.patience, self.0.permits.clone().acquire_owned())
            .await
            .map_err(|_| PasswordsError::Busy)?
            .map_err(|_| PasswordsError::Failed)?;
        let work = move || {
            let _held_until_done = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordsError::Failed)?
    }
}

fn normalize(password: &str) -> String {
    password.nfkc().collect()
}

fn hash_now(params: &Params, password: &[u8], salt: &[u8]) -> Result<String, PasswordsError> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_with_salt(password, salt)
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordsError::Failed)
}

/// A stored hash, read and within the bounds of what one check may cost.
enum Stored {
    Argon2 { algorithm: Algorithm, version: Version, params: Params, salt: Salt, tag: Output },
    Legacy(Legacy),
}

impl Stored {
    fn parse(hash: &str) -> Option<Self> {
        if hash.len() > MOST_HASH_BYTES {
            return None;
        }
        if hash.starts_with("$argon2") {
            Self::parse_argon2(hash)
        } else {
            Legacy::parse(hash).map(Self::Legacy)
        }
    }

    fn parse_argon2(hash: &str) -> Option<Self> {
        let hash = PasswordHash::new(hash).ok()?;
        let algorithm = match hash.algorithm.as_str() {
            "argon2id" => Algorithm::Argon2id,
            "argon2i" => Algorithm::Argon2i,
            _ => return None,
        };
        let version = match hash.version {
            // Argon2 wrote no version before it had a second one.
            None | Some(16) => Version::V0x10,
            Some(19) => Version::V0x13,
            Some(_) => return None,
        };
        let cost = |name: &str, most: u32| hash.params.get_decimal(name).filter(|&value| value <= most);
        let (m, t, p) = (cost("m", MOST_MEMORY)?, cost("t", MOST_PASSES)?, cost("p", MOST_LANES)?);
        // A key or further data would change the result, and we have neither.
        if hash.params.iter().count() != 3 {
            return None;
        }
        let (salt, tag) = (hash.salt?, hash.hash?);
        let params = Params::new(m, t, p, Some(tag.len())).ok()?;
        Some(Self::Argon2 { algorithm, version, params, salt, tag })
    }

    /// Ours are of the NFKC form. An Argon2 hash does not tell who made it, so where the two forms differ the
    /// password as typed is tried as well; the decoy's does the same, and takes as long.
    fn matches(&self, password: &str) -> Result<bool, PasswordsError> {
        match self {
            Self::Legacy(hash) => Ok(hash.matches(password.as_bytes())),
            Self::Argon2 { algorithm, version, params, salt, tag } => {
                let argon2 = Argon2::new(*algorithm, *version, params.clone());
                let has = |password: &str| {
                    let mut made = [0; Output::MAX_LENGTH];
                    let made = &mut made[..tag.len()];
                    argon2
                        .hash_password_into(password.as_bytes(), salt, made)
                        .map_err(|_| PasswordsError::Failed)?;
                    Ok(verify_slices_are_equal(made, tag.as_ref()).is_ok())
                };
                let normal = normalize(password);
                Ok(has(&normal)? || (normal != password && has(password)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::OsRng;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::weak_for_tests(Arc::new(OsRng))
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = passwords();
        let hash = passwords.hash("correct horse").await.unwrap();

        assert!(hash.starts_with("$argon2id$v=19$m="), "{hash}");
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct house", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("", None).await.unwrap(), "the decoy's own password opens nothing");
    }

    #[tokio::test]
    async fn composed_and_decomposed_spellings_are_one_password() {
        let passwords = passwords();
        let hash = passwords.hash("caf\u{e9} \u{ff21}").await.unwrap();
        assert!(passwords.verify("cafe\u{301} A", Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn no_byte_of_a_long_password_is_dropped() {
        let passwords = passwords();
        let long = "x".repeat(255);
        let hash = passwords.hash(&format!("{long}a")).await.unwrap();
        assert!(!passwords.verify(&format!("{long}b"), Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn when_too_many_wait_the_next_is_refused_at_once() {
        let params = Params::new(8, 1, 1, None).unwrap();
        let passwords = Passwords::with(Arc::new(OsRng), params, 1, 1, Duration::from_millis(50));
        let _running = passwords.0.permits.clone().acquire_owned().await.unwrap();

        let (first, second, third) =
            tokio::join!(passwords.hash("a"), passwords.hash("b"), passwords.hash("c"));

        assert!([first, second, third].iter().all(|result| matches!(result, Err(PasswordsError::Busy))));
    }

    /// Made with Python's bcrypt 5.0, Werkzeug 3.1 and argon2-cffi 25.1.
    const ELSEWHERE: &str = include_str!("elsewhere.txt");

    fn elsewhere() -> impl Iterator<Item = (String, &'static str)> {
        ELSEWHERE.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (password, hash) = line.split_once('\t').unwrap();
            (serde_json::from_str(password).unwrap(), hash)
        })
    }

    #[tokio::test]
    async fn hashes_of_other_systems_are_checked() {
        let passwords = passwords();
        for (password, hash) in elsewhere() {
            assert!(Passwords::is_readable(hash), "{hash}");
            assert!(passwords.verify(&password, Some(hash)).await.unwrap(), "{password:?} {hash}");
            for wrong in [format!("x{password}"), password.to_uppercase() + "A", "wrong".to_owned()] {
                assert!(!passwords.verify(&wrong, Some(hash)).await.unwrap(), "{wrong:?} {hash}");
            }
        }
    }

    #[tokio::test]
    async fn other_systems_hashed_the_bytes_as_typed() {
        let passwords = passwords();
        for (password, hash) in elsewhere().filter(|(password, _)| normalize(password) != *password) {
            let composed = passwords.verify(&normalize(&password), Some(hash)).await.unwrap();
            assert!(!composed, "another spelling, other bytes: {hash}");
        }
    }

    #[tokio::test]
    async fn bcrypt_reads_72_bytes_and_no_nul() {
        let passwords = passwords();
        let cut = |hash: &&str| hash.starts_with("$2");
        let (long, hash) = elsewhere().find(|(password, hash)| password.len() > 72 && cut(hash)).unwrap();
        let same = format!("{}something else", &long[..long.floor_char_boundary(72)]);
        assert_eq!(passwords.verify(&same, Some(hash)).await.unwrap(), long.is_char_boundary(72));

        let (empty, hash) = elsewhere().find(|(password, hash)| password.is_empty() && cut(hash)).unwrap();
        assert!(passwords.verify(&empty, Some(hash)).await.unwrap());
        assert!(!passwords.verify("\0", Some(hash)).await.unwrap(), "the same key to bcrypt");
    }

    #[tokio::test]
    async fn only_what_is_weaker_than_ours_is_hashed_anew() {
        let strict = Passwords::new(Arc::new(OsRng));
        let (ours, weak) =
            (strict.hash("correct horse").await.unwrap(), passwords().hash("x").await.unwrap());

        assert!(!strict.needs_rehash(&ours));
        assert!(strict.needs_rehash(&weak));
        assert!(!passwords().needs_rehash(&ours), "a stronger one is kept");
        for hash in [
            "$2b$12$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            "",
            "nonsense",
            &ours.replace("argon2id", "argon2i"),
            &ours.replace("v=19", "v=16"),
            &ours.replace("t=2", "t=1"),
            &ours.replace("m=19456", "m=19455"),
            &ours[..ours.len() - 4],
        ] {
            assert!(strict.needs_rehash(hash), "{hash}");
        }
        assert!(!strict.needs_rehash(&ours.replace("m=19456,t=2,p=1", "m=65536,t=3,p=4")));
    }

    #[tokio::test]
    async fn what_is_damaged_or_too_costly_is_unreadable() {
        const TAG: &str = "PsUi0fcfLeSnihL3PsUi0fcfLeSnihL3PsUi0fcfLeE";
        let (hex32, hex64) = ("ab".repeat(32), "ab".repeat(64));
        let bcrypt = "DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
        let argon2 = |params: &str| format!("$argon2id$v=19${params}$WlpaWlpaWlpaWlpaWlpaWg${TAG}");
        for good in [
            argon2("m=262144,t=10,p=8"),
            format!("$2b$15${bcrypt}"),
            format!("pbkdf2:sha256:5000000$salt${hex32}"),
            format!("pbkdf2:sha512:1$s${hex64}"),
            format!("scrypt:65536:8:1$salt${hex64}"),
        ] {
            assert!(Passwords::is_readable(&good), "{good}");
        }
        for bad in [
            argon2("m=262145,t=2,p=1"),
            argon2("m=64,t=11,p=1"),
            argon2("m=128,t=2,p=9"),
            argon2("m=64,t=0,p=1"),
            argon2("m=7,t=1,p=1"),
            argon2("m=64,t=2"),
            argon2("m=64,t=2,p=1,keyid=c2FsdA"),
            argon2("m=64,t=2,p=1").replace("argon2id", "argon2d"),
            argon2("m=64,t=2,p=1").replace("v=19", "v=18"),
            format!("$2b$16${bcrypt}"),
            format!("$2b$03${bcrypt}"),
            format!("$2b$4${bcrypt}"),
            format!("$2b$+4${bcrypt}"),
            format!("$2x$10${bcrypt}"),
            format!("$2b$10${bcrypt}a"),
            format!("$2b$10${}", &bcrypt[1..]),
            format!("$2b$10${}é", &bcrypt[2..]),
            format!("$2b$10$!{}", &bcrypt[1..]),
            format!("pbkdf2:sha256:5000001$salt${hex32}"),
            format!("pbkdf2:sha256:0$salt${hex32}"),
            format!("pbkdf2:sha256:-1$salt${hex32}"),
            format!("pbkdf2:sha256$salt${hex32}"),
            format!("pbkdf2:sha256:1000$${hex32}"),
            format!("pbkdf2:sha256:1000$salt${hex32}$"),
            format!("pbkdf2:sha256:1000$salt${hex64}"),
            format!("pbkdf2:sha256:1000$salt$+{}", &hex32[1..]),
            format!("pbkdf2:md5:1000$salt${hex32}"),
            format!("scrypt:131072:8:1$salt${hex64}"),
            format!("scrypt:4294967295:4294967295:1$salt${hex64}"),
            format!("scrypt:1000:8:1$salt${hex64}"),
            format!("scrypt:1024:8:17$salt${hex64}"),
            format!("scrypt:1024:0:1$salt${hex64}"),
            format!("scrypt:1024:8$salt${hex64}"),
            format!("scrypt:1024:8:1:1$salt${hex64}"),
            format!("scrypt:1024:8:1$salt${hex32}"),
            format!("pbkdf2:sha256:1000${}${hex32}", "s".repeat(1000)),
            "plain text".to_owned(),
            String::new(),
        ] {
            assert!(!Passwords::is_readable(&bad), "{bad}");
            let refused = passwords().verify("x", Some(&bad)).await;
            assert!(matches!(refused, Err(PasswordsError::Unreadable)), "{bad}");
        }
    }

    #[tokio::test]
    async fn every_check_is_counted_the_decoys_too() {
        let passwords = passwords();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert_eq!(passwords.verifications(), 0);
        passwords.verify("correct horse", Some(&hash)).await.unwrap();
        passwords.verify("wrong", Some(&hash)).await.unwrap();
        passwords.clone().verify("nobody", None).await.unwrap();
        passwords.verify("x", Some("nonsense")).await.unwrap_err();
        assert_eq!(passwords.verifications(), 3);
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = Passwords::is_readable(&text);
        }

        #[test]
        fn reading_what_looks_like_a_hash_never_panics(
            text in r"(\$2[aby]\$|\$argon2id?\$|pbkdf2:sha(256|512):|scrypt:)[0-9a-f:$=,./é]{0,120}",
        ) {
            let _ = Passwords::is_readable(&text);
        }

        #[test]
        fn a_damaged_hash_is_refused_or_another_one(
            which in 0..100_usize, at in 0..200_usize, with in proptest::char::any(),
        ) {
            let (password, hash) = elsewhere().nth(which % elsewhere().count()).unwrap();
            let mut damaged: Vec<char> = hash.chars().collect();
            let at = at % damaged.len();
            damaged[at] = with;
            // Reading is enough for most: a changed cost would make the test slow.
            let damaged: String = damaged.into_iter().collect();
            let body = at > hash.rfind('$').unwrap();
            if let Some(stored) = Stored::parse(&damaged).filter(|_| body && damaged != hash && !hash.starts_with("scrypt:32768")) {
                let same = stored.matches(&password).unwrap();
                // Hex has two cases, and bcrypt's last character two bits that nobody reads.
                let spelled = damaged.eq_ignore_ascii_case(hash) || (hash.starts_with("$2") && at == 59);
                proptest::prop_assert!(!same || spelled, "{damaged}");
            }
        }
    }
}
