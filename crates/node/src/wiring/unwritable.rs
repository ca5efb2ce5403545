//! What is stored beside the log and takes no more writes after one that failed, until it is opened
//! again: told at once, and mended by ending, in order, so that the server is started again.
//!
//! All of it can still be read, and most of what people do needs only the log. So the server does
//! not end before it was up for a while: damage that comes back at every start must not keep it
//! from serving what it can.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{pending, select_all};
use klatch_embedded::stores::ReadModel;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Adapters;

/// A server is up for this long at least.
pub(super) const UP_LEAST: Duration = Duration::from_mins(10);

/// Why it takes no more writes, once it does not.
type Why = watch::Receiver<Option<Arc<str>>>;

/// Each by its name.
#[derive(Clone)]
pub(super) struct Stored(Vec<(&'static str, Why)>);

impl Stored {
    pub(super) fn of(adapters: &Adapters) -> Self {
        let stores = adapters.stores();
        Self(vec![
            ("accounts", adapters.accounts.broken()),
            ("keys", adapters.keys.broken()),
            ("stored-messages", stores.broken(ReadModel::Messages)),
            ("stored-metadata", stores.broken(ReadModel::Metadata)),
            ("key-index", adapters.key_index.broken()),
        ])
    }

    /// For `/readyz`; strangers read it, so what the disk said is in the log.
    pub(super) fn notes(&self) -> impl Iterator<Item = (String, Option<String>)> {
        self.0.iter().map(|(name, why)| {
            let wrong = why.borrow().is_some();
            let told = || "takes no more writes until the server starts again".to_owned();
            ((*name).to_owned(), wrong.then(told))
        })
    }

    /// Returns when one of them takes no more writes, with the reason, but not before `earliest`.
    pub(super) async fn ended(self, earliest: Instant) -> anyhow::Error {
        let ends = self.0.into_iter().map(|(name, mut why)| {
            async move {
                let told = why.wait_for(Option::is_some).await;
                let told = told.ok().and_then(|why| why.as_deref().map(str::to_owned));
                match told {
                    Some(why) => (name, why),
                    // It was closed.
                    None => pending().await,
                }
            }
            .boxed()
        });
        let ((name, why), ..) = select_all(ends).await;
        tokio::time::sleep_until(earliest).await;
        anyhow::anyhow!(
            "{name}: the disk failed ({why}): the server ends so that it starts again from what \
             is on the disk"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_no_more_writes_is_told_at_once_and_ends_the_server_after_a_while() {
        let (accounts, keys) = (watch::Sender::new(None), watch::Sender::new(None));
        let stored = Stored(vec![("accounts", accounts.subscribe()), ("keys", keys.subscribe())]);
        let wrong = || stored.notes().find_map(|(name, told)| told.map(|_| name));
        let begun = Instant::now();
        let ended = stored.clone().ended(begun + UP_LEAST);
        tokio::pin!(ended);
        let most = Duration::from_hours(1);
        assert!(tokio::time::timeout(most, &mut ended).await.is_err(), "all is well");
        assert_eq!(wrong(), None);

        accounts.send_replace(Some(Arc::from("no sectors")));
        assert_eq!(wrong().as_deref(), Some("accounts"));
        let told = ended.await.to_string();
        assert!(told.contains("accounts") && told.contains("no sectors"), "{told}");

        // At every start again: not more often than this.
        let begun = Instant::now();
        stored.clone().ended(begun + UP_LEAST).await;
        assert_eq!(begun.elapsed(), UP_LEAST);
    }
}
