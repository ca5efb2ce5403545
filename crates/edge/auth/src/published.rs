//! Keys of trusted issuers that publish them: kept, fetched again, and given up at last.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use klatch_ports::issuers::IssuerKeys;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::Auth;
use crate::jwks::{KeySet, Verdict};
use crate::jwt::Unproven;

/// Keys are fetched again after this long, so that one that was taken back stops working.
const AGAIN: Duration = Duration::from_mins(10);
/// When that fails, after this long, doubled up to [`AGAIN`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// A token that names an unknown key makes keys be fetched at once, unless they were tried within
/// this time: anyone can send such tokens.
const BETWEEN: Duration = Duration::from_secs(10);
/// The last good keys are used for so long while the issuer is away, and no longer: it could not
/// take one back.
const KEPT: Duration = Duration::from_hours(24);

/// The keys of an issuer, and where they come from.
#[derive(Clone)]
pub struct PublishedKeys(Arc<Inner>);

struct Inner {
    source: Arc<dyn IssuerKeys>,
    known: RwLock<Option<Known>>,
    /// The last attempt. Held during one, so that there is one at a time.
    last: Mutex<Option<Attempt>>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    fetched: Instant,
}

#[derive(Clone, Copy)]
struct Attempt {
    ended: Instant,
    good: bool,
}

/// What came of an attempt to fetch keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    /// They are as they were.
    Same,
    /// They are others than before.
    Others,
    /// None came.
    Nothing,
    /// None came, again, and the last good ones are too old by now.
    GivenUp,
}

impl Fetched {
    fn is_none(self) -> bool {
        matches!(self, Self::Nothing | Self::GivenUp)
    }
}

/// Whether a token is signed by an issuer that publishes its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    Yes,
    No,
    /// Its key is not known, and the issuer cannot be asked for it.
    Unsure,
}

impl std::fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublishedKeys")
    }
}

impl PublishedKeys {
    /// Keys that come from `source`; none are known yet.
    pub fn new(source: Arc<dyn IssuerKeys>) -> Self {
        let (known, last) = (RwLock::new(None), Mutex::new(None));
        Self(Arc::new(Inner { source, known, last }))
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        let known = self.0.known.read();
        known.as_ref().filter(|it| it.fetched.elapsed() < KEPT).map(|it| Arc::clone(&it.keys))
    }

    fn judge(&self, token: &Unproven<'_>) -> Verdict {
        let Unproven { header, signed, signature, .. } = token;
        let key = (header.kid.as_deref(), header.alg.as_str());
        self.known().map_or(Verdict::UnknownKey, |keys| keys.judge(key, signed, signature))
    }

    /// Fetches keys now.
    async fn fetch(&self, last: &mut Option<Attempt>, issuer: &str) -> Fetched {
        let read = match self.0.source.fetch().await {
            Ok(document) => KeySet::read(&document).map_err(ToOwned::to_owned),
            Err(error) => Err(error.to_string()),
        };
        let was_good = last.is_none_or(|last| last.good);
        let ended = Instant::now();
        *last = Some(Attempt { ended, good: read.is_ok() });
        match read {
            Ok(keys) => {
                let mut known = self.0.known.write();
                let same = known.as_ref().is_some_and(|known| *known.keys == keys);
                *known = Some(Known { keys: Arc::new(keys), fetched: ended });
                drop(known);
                if !same || !was_good {
                    tracing::info!(issuer, "fetched the issuer's keys");
                }
                if same { Fetched::Same } else { Fetched::Others }
            }
            Err(error) => {
                if was_good {
                    tracing::warn!(issuer, error, "the issuer's keys could not be fetched");
                }
                let too_old = |it: &mut Known| it.fetched.elapsed() >= KEPT;
                let given_up = self.0.known.write().take_if(too_old).is_some();
                if given_up { Fetched::GivenUp } else { Fetched::Nothing }
            }
        }
    }
}

impl Auth {
    /// Keeps the keys of trusted issuers that publish them fresh, until the future is dropped. Run
    /// it once; without it keys are fetched only when a token names one that is not known.
    pub async fn run_issuers(&self) {
        let issuers = self.config.trusted.iter();
        let published = issuers.filter_map(|it| Some((it.issuer.as_str(), it.keys.published()?)));
        join_all(published.map(|(issuer, keys)| self.keep_fresh(issuer, keys))).await;
    }

    async fn keep_fresh(&self, issuer: &str, keys: &PublishedKeys) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut last = keys.0.last.lock().await;
            let fetched = keys.fetch(&mut last, issuer).await;
            drop(last);
            self.note_keys(fetched);
            let failed = fetched.is_none();
            let wait = if failed { pause } else { AGAIN };
            pause = if failed { (pause * 2).min(AGAIN) } else { FIRST_PAUSE };
            sleep(wait).await;
        }
    }

    /// Whether the token is signed by a key that the issuer publishes. Fetches keys when it names
    /// one that is not known, as often as is good.
    pub(crate) async fn is_published(&self, token: &Unproven<'_>, keys: &PublishedKeys) -> Signed {
        match keys.judge(token) {
            Verdict::Good => return Signed::Yes,
            Verdict::Forged => return Signed::No,
            Verdict::UnknownKey => {}
        }
        let mut last = keys.0.last.lock().await;
        // Whoever waited here may find the key now.
        match (keys.judge(token), *last) {
            (Verdict::Good, _) => return Signed::Yes,
            (Verdict::Forged, _) => return Signed::No,
            (Verdict::UnknownKey, Some(last)) if last.ended.elapsed() < BETWEEN => {
                return if last.good { Signed::No } else { Signed::Unsure };
            }
            (Verdict::UnknownKey, _) => {}
        }
        let fetched = keys.fetch(&mut last, &token.claims.iss).await;
        drop(last);
        self.note_keys(fetched);
        match keys.judge(token) {
            Verdict::Good => Signed::Yes,
            Verdict::UnknownKey if fetched.is_none() => Signed::Unsure,
            Verdict::Forged | Verdict::UnknownKey => Signed::No,
        }
    }

    /// What keys have proven that may be gone now has to be proven again.
    fn note_keys(&self, fetched: Fetched) {
        if matches!(fetched, Fetched::Others | Fetched::GivenUp) {
            self.verifier.forget_proofs();
        }
    }
}
