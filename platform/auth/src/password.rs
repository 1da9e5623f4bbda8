//! Password hashing on a bounded pool.
//!
//! Argon2id takes 19 MiB and tens of milliseconds of a core on purpose. Run on the
//! request threads, a few sign-ins would stop everything else; run without a
//! bound, a few hundred would take all memory. So a hash needs a permit, permits
//! are few, and the permit moves into the work: a client that hangs up does not free it
//! while its hash still runs.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use mainstay_core::problem::OVERLOADED;
use mainstay_core::{Problem, Rng};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

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
}

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// Too many wait already.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The stored hash is not one of ours.
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
        }))
    }

    /// The PHC string of a password. NFKC first (NIST SP 800-63B-4 §3.1.1.2): the
    /// same password typed on two systems may be composed differently.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when too many wait.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordsError> {
        let salt = self.0.rng.bytes::<16>();
        let (params, password) = (self.0.params.clone(), normalize(password));
        self.run(move || hash_now(&params, password.as_bytes(), &salt)).await
    }

    /// Whether `password` has this hash. `None` for a hash checks against a decoy and
    /// is false, in the same time: an unknown name must not be told by the clock.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when too many wait, [`PasswordsError::Unreadable`]
    /// for a stored hash that is none.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordsError> {
        let known = hash.is_some();
        let (hash, password) = (hash.unwrap_or(&self.0.decoy).to_owned(), normalize(password));
        let right = self.run(move || verify_now(password.as_bytes(), &hash)).await?;
        Ok(right && known)
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

fn verify_now(password: &[u8], hash: &str) -> Result<bool, PasswordsError> {
    use argon2::password_hash::Error;
    match Argon2::default().verify_password(password, hash) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordsError::Unreadable),
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
}
