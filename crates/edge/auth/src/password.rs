//! Password hashes: Argon2id, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use klatch_domain::{Entropy, Rejection};
use klatch_ports::api::{ServiceError, ServiceResult};
use klatch_ports::{ErrorKind, PortError};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::background::Background;
use crate::config::{ConfigError, HashCost};

/// Fewest characters of a password.
const CHARS_MIN: usize = 10;
/// Most bytes of a password.
const BYTES_MAX: usize = 1_000;
/// Others are served when their threads have worked for more than this part of a hash's time.
const BUSY_PARTS: u32 = 32;
/// So many times as long as a hash took the next one waits then.
const REST: u32 = 3;
/// Longest such wait.
const REST_MAX: Duration = Duration::from_millis(100);

/// Hashes and checks passwords on threads that step back for all others, so that those who are in
/// do not wait for those who come in. At most [`HashCost::at_once`] run, so that sign-ins cannot
/// eat the memory; at most [`HashCost::waiting_max`] wait.
pub(crate) struct PasswordPool {
    argon2: Argon2<'static>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    background: Arc<Background>,
    /// A hash that no password fits: checked when there is nobody of that name, so that the answer
    /// takes as long.
    nobody: String,
}

/// Checks what a person chose.
pub(crate) fn check(password: &str) -> Result<(), Rejection> {
    check_field(password, "password")
}

/// [`check`] for a password in the field `field`.
pub(crate) fn check_field(password: &str, field: &'static str) -> Result<(), Rejection> {
    let fits = password.chars().count() >= CHARS_MIN && password.len() <= BYTES_MAX;
    if fits { Ok(()) } else { Err(Rejection::InvalidField(field)) }
}

impl PasswordPool {
    pub(crate) fn new(cost: HashCost, entropy: &dyn Entropy) -> Result<Self, ConfigError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None)
            .map_err(|_| ConfigError::HashCost)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon2
            .hash_password_with_salt(&entropy.bytes16(), &entropy.bytes16())
            .map_err(|_| ConfigError::HashCost)?;
        Ok(Self {
            argon2,
            running: Arc::new(Semaphore::new(cost.at_once.max(1))),
            background: Arc::new(Background::new(cost.at_once.max(1))),
            admitted: Arc::new(Semaphore::new(cost.at_once.max(1) + cost.waiting_max)),
            nobody: nobody.to_string(),
        })
    }

    /// The PHC text of the password's hash.
    pub(crate) async fn hash(
        &self,
        password: String,
        entropy: &dyn Entropy,
    ) -> ServiceResult<String> {
        let salt = entropy.bytes16();
        let hashed = self
            .run(move |argon2| argon2.hash_password_with_salt(password.as_bytes(), &salt))
            .await?;
        Ok(hashed.map_err(|_| broken())?.to_string())
    }

    /// Whether the password fits the hash; without one, false after the same time.
    pub(crate) async fn fits(&self, password: String, hash: Option<String>) -> ServiceResult<bool> {
        let somebody = hash.is_some() && password.len() <= BYTES_MAX;
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let fits = self
            .run(move |argon2| {
                let Ok(hash) = PasswordHash::new(&hash) else { return Err(broken()) };
                let bytes = password.as_bytes();
                let bytes = bytes.get(..BYTES_MAX).unwrap_or(bytes);
                Ok(argon2.verify_password(bytes, &hash).is_ok())
            })
            .await?;
        Ok(fits? && somebody)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&Argon2<'static>) -> T + Send + Sync + 'static,
    ) -> ServiceResult<T> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned();
        let admitted = admitted.map_err(|_| ServiceError::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| broken())?;
        let (argon2, background) = (self.argon2.clone(), Arc::clone(&self.background));
        // The permits go with the work: a caller that goes away does not make room for more.
        let task = tokio::spawn(async move {
            let (began, before) = (Instant::now(), busy());
            let work = move || background.run(&Arc::new(move || work(&argon2)));
            let outcome = tokio::task::spawn_blocking(work).await;
            drop(admitted);
            let rest = rest(began.elapsed(), busy().saturating_sub(before));
            tokio::spawn(async move {
                tokio::time::sleep(rest).await;
                drop(running);
            });
            outcome
        });
        Ok(task.await.map_err(|_| broken())?.map_err(|_| broken())??)
    }
}

/// How long the threads that serve everybody have worked. What they do is counted when they pause.
fn busy() -> Duration {
    let metrics = tokio::runtime::Handle::current().metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

/// How long a hash's place stays empty after it. Even a hash that gives its processor to whoever
/// wants it costs them something: it takes the caches from them. So whoever is served meanwhile
/// has the processors for themselves most of the time.
fn rest(took: Duration, busy: Duration) -> Duration {
    if busy > took / BUSY_PARTS { (took * REST).min(REST_MAX) } else { Duration::ZERO }
}

fn broken() -> PortError {
    PortError::new(ErrorKind::Corrupt, "argon2", "hash")
}

#[cfg(test)]
mod tests {
    use klatch_testkit::SeededEntropy;

    use super::*;

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(check("äöüäöüäöüä").is_ok() && check(&"x".repeat(1_000)).is_ok());
        assert!(check("äöüäöüäöü").is_err() && check(&"x".repeat(1_001)).is_err());
    }

    #[tokio::test]
    async fn the_standard_cost_makes_argon2id_of_19_mib_that_only_its_password_fits() {
        let entropy = SeededEntropy::new(1);
        let pool = PasswordPool::new(HashCost::default(), &entropy).unwrap();
        let hash = pool.hash("correct horse".to_owned(), &entropy).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(pool.fits("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!pool.fits("correct hors".to_owned(), Some(hash)).await.unwrap());
        assert!(!pool.fits("correct horse".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_may_wait_are_told_to_come_again() {
        let cost = HashCost { memory_kib: 64, passes: 1, at_once: 1, waiting_max: 1 };
        let pool = Arc::new(PasswordPool::new(cost, &SeededEntropy::new(1)).unwrap());
        // Holds the only running slot, so that all others have to wait.
        let slot = Arc::clone(&pool.running).acquire_owned().await.unwrap();
        let ask = |pool: Arc<PasswordPool>| {
            tokio::spawn(async move { pool.fits("x".to_owned(), None).await })
        };
        let waiting = [ask(Arc::clone(&pool)), ask(Arc::clone(&pool))];
        tokio::task::yield_now().await;
        assert!(matches!(pool.fits("x".to_owned(), None).await, Err(ServiceError::Busy)));
        drop(slot);
        for answer in waiting {
            assert!(!answer.await.unwrap().unwrap());
        }
    }

    #[test]
    fn a_place_rests_only_while_others_are_served_and_not_for_long() {
        let ms = Duration::from_millis;
        assert_eq!(rest(ms(32), ms(1)), Duration::ZERO);
        assert_eq!(rest(ms(32), ms(2)), ms(96));
        assert_eq!(rest(ms(3_200), ms(3_200)), REST_MAX);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn after_a_hash_beside_others_the_next_one_waits() {
        const PART: Duration = Duration::from_millis(20);
        let cost = HashCost { memory_kib: 64, passes: 1, at_once: 1, waiting_max: 1 };
        let pool = PasswordPool::new(cost, &SeededEntropy::new(1)).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        tokio::spawn(async move {
            let began = Instant::now();
            while began.elapsed() < PART {}
            tell.send(()).unwrap();
        });
        let (began, told) = (Instant::now(), parking_lot::Mutex::new(told));
        // Goes on until the others have paused.
        let work = move |_: &Argon2<'static>| {
            told.lock().recv().unwrap();
            std::thread::sleep(PART);
        };
        pool.run(work).await.unwrap();
        let _place = pool.running.acquire().await.unwrap();
        assert!(began.elapsed() >= PART + PART * REST, "{:?}", began.elapsed());
    }
}
